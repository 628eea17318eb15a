"""A run that is killed leaves no process behind, whatever it was doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from testbed.errors import UsageError
from testbed.scenarios import run

MARK = "TESTBED_TEST_RUN"


def marked(value: str) -> list[psutil.Process]:
    """The processes that have our mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


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


def test_an_unknown_name_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError):
        list(run(["no-such-scenario"]))
