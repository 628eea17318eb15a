"""A run that is killed leaves no process behind, whatever it was doing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from testbed.errors import CapabilityError, UsageError
from testbed.kernel import tracefs
from testbed.scenarios import run

from ..leftovers import MARK, marked


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.2, 0.6, 1.2])
def test_a_killed_run_leaves_nothing(
    number: signal.Signals, after: float, tmp_path: Path, live: None
) -> None:
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed", "run", "time-wait", "missing-fin", "--out", str(tmp_path)],
        env={**os.environ, MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    time.sleep(after)  # the moment does not matter: whatever has been started must go
    process.send_signal(number)
    process.wait(timeout=20)
    deadline = time.monotonic() + 20
    while left := marked(mark):
        assert time.monotonic() < deadline, f"still running: {[p.cmdline() for p in left]}"
        time.sleep(0.05)


KILLS = int(os.environ.get("TESTBED_KILLS", "4"))


@pytest.mark.timeout(30 + 10 * KILLS)
def test_what_a_kill_leaves_the_next_command_sweeps(tmp_path: Path, live: None) -> None:
    """SIGKILL at random moments: no process, temporary file or tracing instance after the next command."""
    moments = random.Random(os.environ.get("TESTBED_SEED"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for number in range(KILLS):
        mark = uuid.uuid4().hex
        environment = {**os.environ, MARK: mark, "TMPDIR": str(temporary)}
        command = [sys.executable, "-m", "testbed", "run", "simultaneous-close", "unread-data", "missing-fin"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
        process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
        after = moments.uniform(0, 1.5)
        time.sleep(after)
        process.kill()
        process.wait(timeout=20)
        following = subprocess.run(
            [sys.executable, "-m", "testbed", "run", "refused"], env=environment, check=False, timeout=60
        )
        assert following.returncode == 0
        deadline = time.monotonic() + 20
        while left := [*marked(mark), *instances_of_the_dead()]:
            assert time.monotonic() < deadline, f"kill {number} after {after:.3f} s left {left}"
            time.sleep(0.05)
        assert list(temporary.iterdir()) == [], f"kill {number} after {after:.3f} s"


def instances_of_the_dead() -> list[str]:
    """Tracing instances of ours whose process is no more; none where this user may not look."""
    try:
        folder = tracefs.root() / "instances"
        names = [path.name for path in folder.glob(f"{tracefs.PREFIX}*")]
    except (CapabilityError, OSError):
        return []
    return [name for name in names if not psutil.pid_exists(int(name.split("-")[1]))]


def test_an_unknown_name_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError):
        list(run(["no-such-scenario"]))


def test_a_folder_of_the_same_name_is_not_taken_for_the_package(tmp_path: Path, live: None) -> None:
    """The workers, the link and the servers are this package's, whatever lies in the current directory."""
    (tmp_path / "testbed").mkdir()
    (tmp_path / "testbed" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    command = [sys.executable, "-P", "-m", "testbed", "run", "simultaneous-close", "missing-fin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stdout + done.stderr


@pytest.mark.parametrize("turn", [0, 1, 5])
def test_a_scenario_and_its_children_stay_on_one_processor(turn: int) -> None:
    look = "import os; print(sorted(os.sched_getaffinity(0)))"
    program = (
        "import subprocess, sys, testbed.scenarios.runner as runner\n"
        f"runner._stay_on_one_processor({turn})\n"
        f"subprocess.run([sys.executable, '-c', {look!r}], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    allowed = sorted(os.sched_getaffinity(0))
    assert done.stdout == f"[{allowed[turn % len(allowed)]}]\n"
