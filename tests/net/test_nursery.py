"""Workers of a nursery: they answer, they are single-threaded, and they end with whoever wanted them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import psutil
import pytest

from testbed.net.nursery import Nursery
from tests.conftest import ROOT


def tell(value: str, pipe: Pipe) -> None:
    pipe.send((value, os.getpid(), threading.active_count()))


def sleep(pipe: Pipe) -> None:
    pipe.send(os.getpid())
    time.sleep(600)


def fail(pipe: Pipe) -> None:
    raise ZeroDivisionError("as planned")


def gone(pid: int) -> bool:
    """Whether the process is no more; waits a little for it."""
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_workers_answer_each_in_its_process() -> None:
    with Nursery(__name__) as nursery:
        pipes = [nursery.start(tell, str(number)) for number in range(3)]
        answers = [pipe.recv() for pipe in pipes]
    assert [value for value, _, _ in answers] == ["0", "1", "2"]
    assert len({pid for _, pid, _ in answers}) == 3
    assert {threads for _, _, threads in answers} == {1}


def test_a_worker_that_ends_is_told_by_the_end_of_its_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    with Nursery(__name__) as nursery:
        pipe = nursery.start(fail)
        with pytest.raises(EOFError):
            pipe.recv()
    assert "ZeroDivisionError: as planned" in capfd.readouterr().err


def test_leaving_ends_the_workers() -> None:
    with Nursery(__name__) as nursery:
        pid = nursery.start(sleep).recv()
    assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_wanted_them(number: signal.Signals) -> None:
    script = (
        "import time, tests.net.test_nursery as t\n"
        "n = t.Nursery('tests.net.test_nursery')\n"
        "print(n.start(t.sleep).recv(), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        asker.send_signal(number)
    assert gone(pid)


def test_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Nursery(__name__) as nursery:
        assert nursery.start(tell, "x").recv()[0] == "x"
        assert list(tmp_path.iterdir()) == []
