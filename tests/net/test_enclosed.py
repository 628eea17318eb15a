"""A command in a PID namespace: what is reported of it, and that nothing of it stays."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from testbed.errors import CapabilityError
from testbed.net.child import fork
from testbed.net.enclosed import Enclosed, _adopt, _in_child, _keep
from testbed.net.private import PrivateNetwork

DAEMON = "(setsid sh -c 'sleep 1000 & sleep 1000' &) ; exit 3"
"""Forks twice, into sessions of its own, and leaves."""


@pytest.fixture
def output(network: PrivateNetwork) -> Iterator[tuple[int, int]]:
    """A pipe for the command's output; `network` is here for the capability that both need."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def start(*argv: str, output: tuple[int, int]) -> Enclosed:
    try:
        # not the user's PATH: a folder on it that may not be read turns "not found" into "not permitted"
        return Enclosed(argv, output=output[1], env={"PATH": os.defpath}, cwd=Path("/"))
    except CapabilityError as error:
        pytest.skip(str(error))


def news(command: Enclosed) -> None:
    assert select.select([command.reports], [], [], 10)[0], "nothing was reported"
    command.read_reports()


@pytest.mark.parametrize("again", range(5))
@pytest.mark.parametrize(("what", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9)])
def test_exit_status(what: str, status: int, again: int, output: tuple[int, int]) -> None:
    """Some are over before their start has been told."""
    command = start("sh", "-c", what, output=output)
    try:
        while command.all_ended_ns is None:
            news(command)
        assert command.ended is not None and command.ended.status == status
    finally:
        command.end()


def test_it_runs_under_the_number_that_is_told(output: tuple[int, int]) -> None:
    command = start("sleep", "1000", output=output)
    try:
        assert psutil.Process(command.pid).cmdline() == ["sleep", "1000"]
        assert command.pids() == [command.pid]
        os.kill(command.pid, signal.SIGTERM)
        while command.ended is None:
            news(command)
        assert command.ended.status == -signal.SIGTERM
    finally:
        command.end()


def test_signals_are_at_their_defaults(output: tuple[int, int]) -> None:
    """A supervisor starts a server so; a shell's background job ignores SIGINT and SIGQUIT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGQUIT})
    try:
        command = start("cat", "/proc/self/status", output=output)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGQUIT})
    try:
        while command.all_ended_ns is None:
            news(command)
    finally:
        command.end()
    said = dict(
        line.split(":\t") for line in os.read(output[0], 65536).decode().splitlines() if ":\t" in line
    )
    assert int(said["SigIgn"], 16) == int(said["SigBlk"], 16) == 0


def test_the_end_of_all_is_when_it_was_reaped_and_not_when_that_is_read(output: tuple[int, int]) -> None:
    command = start("sleep", "0.3", output=output)
    first = psutil.Process(command._first)
    first.wait(10)
    over = time.time_ns()
    time.sleep(0.05)
    command.read_reports()
    assert command.all_ended_ns is not None and command.all_ended_ns <= over
    command.end()


def test_what_slips_away_is_still_seen_and_ended(output: tuple[int, int]) -> None:
    command = start("sh", "-c", DAEMON, output=output)
    while command.ended is None:
        news(command)
    left = command.pids()
    assert left and command.pid not in left
    assert command.all_ended_ns is None
    command.end()
    assert command.all_ended_ns is not None
    assert not any(psutil.pid_exists(pid) for pid in left)
    command.end()


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["no-such-command"], FileNotFoundError),
        (["/etc/passwd"], PermissionError),
        (["a\0b"], OSError),
    ],
)
def test_a_command_that_cannot_be_run(argv: list[str], error: type[OSError], output: tuple[int, int]) -> None:
    with pytest.raises(error):
        start(*argv, output=output)


OWNER = """
import os, sys, time
from pathlib import Path
from testbed.net.enclosed import Enclosed
command = Enclosed(["sh", "-c", sys.argv[1]], output=2, env=os.environ, cwd=Path("/"))
while len(pids := command.pids()) < 3: time.sleep(0.01)  # a shell and its two programs: these stay
print(*pids, flush=True)
time.sleep(1000)
"""


def test_killing_who_started_it_ends_all_of_it(output: tuple[int, int]) -> None:
    """SIGKILL gives no time to clean up: the kernel does."""
    start("true", output=output).end()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, DAEMON], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert owner.stdout is not None
    try:
        with owner.stdout:
            pids = [int(word) for word in owner.stdout.readline().split()]
    finally:
        owner.kill()
        owner.wait(10)
    assert len(pids) == 3
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline, "still running"
        time.sleep(0.01)


@pytest.mark.parametrize("role", ["keeper", "first process"])
def test_whose_parent_died_before_it_could_wish_to_die_with_it_starts_nothing(
    role: str, output: tuple[int, int]
) -> None:
    """PR_SET_PDEATHSIG tells of a death to come, and not of one that was."""
    reports, writing = os.pipe()
    alive, held = os.pipe()
    os.close(held)  # nobody has the other end any more
    environment, home = {"PATH": os.defpath}, Path("/")
    child = fork()
    if child == 0:
        if role == "keeper":
            mine = os.getpid()  # which is not its parent's number
            _in_child(lambda: _keep(["sleep", "1000"], output[1], environment, home, writing, mine))
        _in_child(lambda: _adopt(["sleep", "1000"], output[1], environment, home, writing, alive))
    os.close(writing)
    os.close(alive)
    with os.fdopen(reports, "rb") as file:
        assert file.read() == b"", "neither a process nor a word of one"
    os.waitpid(child, 0)
