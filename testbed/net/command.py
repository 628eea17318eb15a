"""Running a command in a private network, as though it had been run directly (`testbed exec`)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, NoReturn, Self

from ..errors import CapabilityError, UsageError
from .child import fork
from .libc import dying_with_parent, require_linux
from .network import processes_in
from .private import enter_private_network

FORWARDED: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_LOOK_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 2.0
"""What the command leaves running has this long between SIGTERM and SIGKILL."""


def exec_private(argv: Sequence[str], *, mtu: int = 1500) -> int:
    """Run `argv` in a private network and return its exit status, 128 + n when signal n ended it.

    Standard streams, directory and environment are the caller's.  SIGINT, SIGTERM, SIGHUP and SIGQUIT
    are handed on; from the terminal the command gets them by itself.  It gets SIGTERM when this
    process is killed.  What it leaves running in that network is ended after it.  Call it from the main
    thread; other threads may run.
    Error handling: UsageError when the command does not exist or cannot be executed, CapabilityError
    when this user cannot have a private network.
    """
    with Command(argv, lambda: enter_private_network(mtu=mtu)) as command, emptied(command.network):
        while (status := command.poll(_LOOK_SECONDS)) is None:
            pass
        return status


class Command:
    """A command as a child process that gets the signals which this process gets, as a context manager.

    argv     the command
    enter    called in the child first: what it enters, the command is in

    network  the inode of the command's network namespace, which is nobody else's until this is left

    Until it is left, the signals of `FORWARDED` are blocked here, and those that come are handed on by
    `poll`.  Leaving kills a command that has not ended.

    Error handling: entering raises as `exec_private` does.
    """

    def __init__(self, argv: Sequence[str], enter: Callable[[], None] = lambda: None) -> None:
        require_linux("running a command and its network")
        if not argv:
            raise UsageError("no command was given; write it after --, such as: testbed exec -- pytest")
        self.network = 0
        self._argv = argv
        self._enter = enter
        self._pid = 0
        self._before: set[int] = set()
        self._namespace: list[int] = []  # a descriptor of it: the kernel gives a number that is free anew

    def __enter__(self) -> Self:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
        try:
            self._start()
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
            raise
        return self

    def _start(self) -> None:
        # closed by the exec: what comes through it is the network, and why there was no exec
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wish = dying_with_parent()
        pid = fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                ours.close()
                _become(self._argv, self._enter, self._before, wish, theirs)
            os._exit(127)
        theirs.close()
        kind, what, remedy = "usage", "the command could not be started", ""
        with ours:
            while (message := socket.recv_fds(ours, 65536, 1, socket.MSG_CMSG_CLOEXEC))[0]:
                kind, what, remedy = json.loads(message[0])
                self._namespace += message[1]
        if kind != "network":
            os.waitpid(pid, 0)
            self._let_go()
            raise CapabilityError(what, remedy) if kind == "capability" else UsageError(what)
        self._pid, self.network = pid, os.fstat(self._namespace[0]).st_ino

    def _let_go(self) -> None:
        while self._namespace:
            os.close(self._namespace.pop())

    def poll(self, seconds: float = 0.0) -> int | None:
        """Hand on the signals that have come, and wait for one, or for the command's end, for at most
        `seconds`.  Returns its exit status once it has ended."""
        ended, status = os.waitpid(self._pid, os.WNOHANG)
        if ended:
            self._pid = 0
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        # a limit, because another thread may take the SIGCHLD
        told = signal.sigtimedwait({*FORWARDED, signal.SIGCHLD}, seconds)
        # si_code > 0: the kernel sent it, for a key on the terminal, to the command as well
        if told is not None and told.si_signo != signal.SIGCHLD and told.si_code <= 0:
            os.kill(self._pid, told.si_signo)
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._let_go()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _become(
    argv: Sequence[str],
    enter: Callable[[], None],
    mask: Iterable[int],
    wish: Callable[[], None],
    teller: socket.socket,
) -> NoReturn:
    """In the child: enter the network, and become the command."""
    try:
        enter()
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        socket.send_fds(teller, [json.dumps(["network", "", ""]).encode()], [namespace])
        wish()  # after the new credentials, which would have taken it back
        for number in (*FORWARDED, signal.SIGPIPE, signal.SIGXFSZ):
            # what Python ignores or handles is not what a program expects to start with
            if number in (signal.SIGPIPE, signal.SIGXFSZ) or callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvp(argv[0], list(argv))  # noqa: S606 - running the user's command is what this is for
    except CapabilityError as error:
        _tell(teller, "capability", error.what, error.remedy)
    except (OSError, ValueError) as error:
        # a directory on PATH that may not be read makes "not found" a "permission denied"
        named = os.path.exists(argv[0]) if "/" in argv[0] else shutil.which(argv[0], os.F_OK)  # noqa: PTH110
        missing = isinstance(error, OSError) and not named
        if missing:
            _tell(teller, "usage", f"{argv[0]}: no such command")
        else:
            _tell(teller, "usage", f"{argv[0]!r} cannot be run: {getattr(error, 'strerror', None) or error}")
    os._exit(127)


def _tell(teller: socket.socket, kind: str, what: str, remedy: str = "") -> None:
    teller.send(json.dumps([kind, what, remedy]).encode())


@contextlib.contextmanager
def emptied(network: int, spare: Collection[int] = ()) -> Iterator[None]:
    """What runs in a network at the end, but for those to `spare`, is ended; also when this process is
    killed.

    A forked child sees to that: it waits for this process to say that it is done, or to be gone.
    """
    reading, writing = os.pipe()
    guard = fork()
    if guard == 0:
        with contextlib.suppress(BaseException):
            os.setsid()  # no key of the terminal's is for it
            os.close(writing)
            if not os.read(reading, 1):
                end_all_in(network, {os.getpid()})
        os._exit(0)
    os.close(reading)
    try:
        try:
            yield
        finally:
            end_all_in(network, {*spare, guard})
    finally:
        os.write(writing, b".")
        os.close(writing)
        os.waitpid(guard, 0)


def end_all_in(network: int, spare: Container[int] = ()) -> None:
    """End what a command has left running: every process whose network is the one made for it, but those
    to `spare`."""
    for number, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + patience
        left = processes_in(network, spare)
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        while left and time.monotonic() < deadline:
            time.sleep(0.01)
            left = processes_in(network, spare)
        if not left:
            return
