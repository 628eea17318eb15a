"""Worker processes that start in milliseconds: forked from a process that has everything imported.

Each is single-threaded, as a user namespace wants, and ends with the process that asked for it, however
that ends: the nursery notices by its control socket and by PR_SET_PDEATHSIG, its workers by the latter.
Nothing lies in any folder meanwhile.  (multiprocessing's forkserver does the same and leaves a
temporary folder behind when it is killed.)

    with Nursery("testbed.scenarios.runner") as nursery:
        pipe = nursery.start(function, *arguments)    # calls function(*arguments, pipe) in a worker
        pipe.recv()                                   # EOFError once the worker has ended
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from .interpreter import run_module
from .libc import die_with_parent, dying_with_parent

GRACE_SECONDS: Final = 3.0


class Nursery:
    """A process with `modules` imported, which forks workers on request; a context manager."""

    def __init__(self, *modules: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                run_module(__name__, str(theirs.fileno()), *modules),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                preexec_fn=dying_with_parent(),
            )
        self._control = ours

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, function: Callable[..., None], *arguments: Any) -> Pipe:
        """Have `function(*arguments, pipe)` called in a worker; all must be picklable.

        What it sends comes out of the pipe that is returned, which then raises EOFError once it has ended.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
        pipe = Pipe(ours.detach())
        with contextlib.suppress(BrokenPipeError):  # it has ended: the asker's recv() says so
            pipe.send((function, arguments))  # through the pipe, which takes any size
        return pipe

    def close(self) -> None:
        """End it, and the workers that are left."""
        self._control.close()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _serve(control: socket.socket) -> None:
    """In the nursery: fork for each request, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the asker's to handle
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers: their pipes tell
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if not request:
            return
        (descriptor,) = descriptors
        if os.fork() == 0:
            _work(control, descriptor)
        os.close(descriptor)


def _work(control: socket.socket, descriptor: int) -> NoReturn:
    """In the worker."""
    status = 1
    try:
        die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        pipe = Pipe(descriptor)
        function, arguments = pipe.recv()
        function(*arguments, pipe)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _main(arguments: list[str]) -> None:
    descriptor, *modules = arguments
    for module in modules:
        importlib.import_module(module)
    with socket.socket(fileno=int(descriptor)) as control:
        _serve(control)


if __name__ == "__main__":
    _main(sys.argv[1:])
