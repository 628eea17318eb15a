"""Children: one in which something is tried, and one that takes its time to end.

What a forked child does to its process ends with it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ..errors import CapabilityError


class Outcome(NamedTuple):
    """What came of it: whether it worked, what it said, and what to do about it when it did not."""

    worked: bool
    said: str
    remedy: str = ""


@contextlib.contextmanager
def without_fork_warning() -> Iterator[None]:
    """Silence 3.12's warning that other threads may hold locks at a fork: the children made here make
    system calls, and then run another program or end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def fork() -> int:
    """`os.fork` for such a child."""
    with without_fork_warning():
        return os.fork()


def how_it_ended(status: int) -> str:
    """`subprocess.Popen.returncode` in words: ``exit status 1``, ``by SIGKILL``."""
    return f"exit status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"


def tried_in_child(action: Callable[[], str], *, timeout: float = 10.0) -> Outcome:
    """Run `action` in a forked child and bring back what it returned or why it raised.

    A child that is not done after `timeout` seconds is killed, which is an outcome too.
    """
    reading, writing = os.pipe()
    pid = fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            os.write(writing, json.dumps(_outcome(action)).encode()[:65536])
            status = 0
        finally:
            os._exit(status)  # nothing of the parent's is flushed or cleaned up twice
    os.close(writing)
    try:
        answer = _read_all(reading, timeout)
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)  # not reaped yet, so the id is still its own
        os.waitpid(pid, 0)
    try:
        return Outcome(*json.loads(answer))
    except (ValueError, TypeError):
        return Outcome(False, f"no answer within {timeout:g} s", "try again; if it stays, report it")


def _outcome(action: Callable[[], str]) -> Outcome:
    try:
        return Outcome(True, action())
    except CapabilityError as error:
        return Outcome(False, error.what, error.remedy)
    except BaseException as error:
        return Outcome(False, f"{type(error).__name__}: {error}")


def _read_all(descriptor: int, timeout: float) -> bytes:
    deadline = time.monotonic() + timeout
    answer = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        chunk = os.read(descriptor, 65536)
        if not chunk:
            break
        answer += chunk
    return answer


_dying: list[subprocess.Popen[bytes]] = []
_REAP_SECONDS: Final = 0.03


def end_without_waiting(process: subprocess.Popen[bytes]) -> None:
    """Kill a child, and have it reaped when it has ended: closing a packet ring takes the kernel 20 ms.

    The running event loop sees to that, or the next call, or the end of this process.
    """
    process.kill()
    _dying.append(process)
    _reap()


def _reap() -> None:
    _dying[:] = [process for process in _dying if process.poll() is None]
    if _dying:
        with contextlib.suppress(RuntimeError):  # there is no loop: at the end of a process
            asyncio.get_running_loop().call_later(_REAP_SECONDS, _reap)


@atexit.register
def _reap_all() -> None:
    for process in _dying:
        process.wait()
