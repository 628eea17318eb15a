"""A command in a PID namespace: it and all that it ever starts can be ended, and none can slip away.

    command = Enclosed(["nginx", "-g", "daemon off;"], ...)     pid, as this process sees it
    command.end()                                               all of it is gone when this returns

Three processes: a keeper, which makes the namespace; its first process, which adopts and reaps
whatever loses its parent (a daemon that forked twice, a worker whose master was killed); and the command.
When the first process of a PID namespace ends, the kernel kills all others in it
(pid_namespaces(7)).  It ends with the keeper, and the keeper with the thread that started it, by
PR_SET_PDEATHSIG.  So whichever of us is killed, by whatever signal, nothing stays behind; no list of
processes has to be kept or searched for.

The command sees its own process numbers from 1 on, and a /proc that agrees with them where that may be
mounted (not as an ordinary user in most containers).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from ..errors import CapabilityError, ExperimentError
from . import libc
from .child import fork

_REMEDY: Final = "raise the limit: sysctl user.max_pid_namespaces=10000, or run as root"


class Ended(NamedTuple):
    """The command's own end: `status` as of `os.waitstatus_to_exitcode`, negative for a signal."""

    time_ns: int
    status: int


class Enclosed:
    """A command, started by making one of these.

    argv      the program and its arguments; looked for on the PATH of `env`
    output    a descriptor for its standard output and error; its standard input is empty
    env, cwd  its environment and directory

    pid       the command's, as this process sees it
    reports   a descriptor to watch: readable when there is news for `read_reports`
    ended     the command's own end, once it is read
    all_ended_ns
              when the last of its processes was reaped, by the one that reaps them: however late that is read

    It has a session of its own, and every signal at its default and unblocked, which is what a supervisor
    gives it, and not what it would inherit from a shell's background job.

    Error handling: FileNotFoundError, PermissionError and other OSErrors of execve(2) when the command
    cannot be run; CapabilityError where this user may have no PID namespace.
    """

    def __init__(self, argv: Sequence[str], *, output: int, env: Mapping[str, str], cwd: Path) -> None:
        libc.require_linux("a command in a PID namespace")
        self._keeper: int | None = None
        self.ended: Ended | None = None
        self.all_ended_ns: int | None = None
        self._first = 0
        self._held: list[int] = []  # the first process and its namespace: their numbers are given out again
        self._last_reaped_ns: int | None = None
        self._buffer = b""
        reading, writing = os.pipe()
        parent = os.getpid()
        try:
            keeper = self._keeper = fork()
            if keeper == 0:
                _in_child(lambda: _keep(argv, output, env, cwd, writing, parent))
        finally:
            os.close(writing)
        self.reports = reading
        try:
            self.pid = self._wait_for_start()
        except BaseException:
            self.end()
            raise
        os.set_blocking(reading, False)

    # ---- what is known of it

    def read_reports(self) -> None:
        """Take in what has been reported by now: sets `ended`, and `all_ended_ns` when none is left."""
        while self.all_ended_ns is None:
            try:
                chunk = os.read(self.reports, 4096)
            except BlockingIOError:
                return
            if not chunk:
                self.all_ended_ns = self._last_reaped_ns or time.time_ns()
                return
            for report in self._lines(chunk):
                self._note(report)

    def pids(self) -> list[int]:
        """The command and its descendants that run now, oldest first."""
        if not self._held or self.all_ended_ns is not None:
            return []
        home = os.fstat(self._held[1]).st_ino
        found = []
        for name in os.listdir("/proc"):  # noqa: PTH208  asked for often, and twice as fast as with paths
            if name.isdecimal() and int(name) != self._first:
                with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
                    if os.stat(f"/proc/{name}/ns/pid").st_ino == home:  # noqa: PTH116
                        found.append(int(name))
        return sorted(found)

    # ---- its end

    def end(self) -> None:
        """Kill all of it, now, and return when the kernel has done so; again is harmless."""
        if self._keeper is None:
            return
        keeper, self._keeper = self._keeper, None
        # The first process's end is not over before every other in its namespace is reaped, and the keeper
        # waits for it.  Without a first process the keeper itself is all there is, not yet reaped.
        with contextlib.suppress(ProcessLookupError):
            if self._held:
                signal.pidfd_send_signal(self._held[0], signal.SIGKILL)
            else:
                os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        self.read_reports()
        for descriptor in (self.reports, *self._held):
            os.close(descriptor)
        self._held.clear()

    # ---- starting it

    def _wait_for_start(self) -> int:
        """The command's pid, once its program runs."""
        pid, running = 0, False
        while not (self._first and pid and running):
            chunk = os.read(self.reports, 4096)
            if not chunk:
                raise ExperimentError("the process that was to start the command ended without a word")
            for report in self._lines(chunk):
                if "first" in report:
                    self._first = report["first"]
                    self._held = _hold(self._first)
                elif "refused" in report:
                    raise CapabilityError(
                        f"a PID namespace is refused to this user ({report['refused']})", _REMEDY
                    )
                elif "errno" in report:
                    raise OSError(report["errno"], os.strerror(report["errno"]))
                elif "pid" in report:
                    pid = report["pid"]
                running = running or "running" in report
                self._note(report)  # it may be over already
        return pid

    def _note(self, report: dict[str, Any]) -> None:
        if "status" in report:
            self.ended = Ended(report["time_ns"], report["status"])
        self._last_reaped_ns = report.get("last_reaped_ns")

    def _lines(self, chunk: bytes) -> list[dict[str, Any]]:
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines]


def _hold(first: int) -> list[int]:
    """Descriptors of a process and of its PID namespace; none when it is gone already."""
    try:
        process = os.pidfd_open(first)
    except ProcessLookupError:
        return []
    try:
        return [process, os.open(f"/proc/{first}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)]
    except OSError:
        os.close(process)
        return []


# ---- in the children: system calls, and no way back


def _in_child(action: Callable[[], None]) -> NoReturn:
    try:
        action()
    finally:
        os._exit(127)


def _report(writing: int, **news: object) -> None:
    os.write(writing, json.dumps(news).encode() + b"\n")


def _keep(
    argv: Sequence[str], output: int, env: Mapping[str, str], cwd: Path, writing: int, parent: int
) -> None:
    """The keeper: make the namespace and its first process, and wait for that."""
    libc.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it died before the wish was made
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    alive, held = os.pipe()  # whose other end nobody but the keeper has
    try:
        libc.unshare(libc.CLONE_NEWPID)
        first = fork()
    except OSError as error:
        _report(writing, refused=error.strerror)
        return
    if first == 0:
        os.close(held)
        _in_child(lambda: _adopt(argv, output, env, cwd, writing, alive))
    _report(writing, first=first)
    for descriptor in (output, writing):
        os.close(descriptor)
    os.waitpid(first, 0)


def _adopt(
    argv: Sequence[str], output: int, env: Mapping[str, str], cwd: Path, writing: int, alive: int
) -> None:
    """The first process: start the command, then reap until there is nobody left."""
    libc.die_with_parent(signal.SIGKILL)
    if select.select([alive], [], [], 0)[0]:  # as above; whose parent is outside its namespace has no number
        return
    outside = os.open("/proc", os.O_PATH)  # where a process's number is the one known outside
    with contextlib.suppress(OSError):
        libc.mount_own_proc()
    reading, started = os.pipe()  # closed by the exec: what comes through it is why there was none
    command = fork()
    if command == 0:
        _in_child(lambda: _become(argv, output, env, cwd, outside, writing, started))
    os.close(started)
    os.close(output)
    complaint = os.read(reading, 64)
    os.close(reading)
    if complaint:
        _report(writing, errno=int(complaint))
        return
    _report(writing, running=True)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            _report(writing, last_reaped_ns=time.time_ns())
            return
        if pid == command:
            _report(writing, time_ns=time.time_ns(), status=os.waitstatus_to_exitcode(status))


def _become(
    argv: Sequence[str],
    output: int,
    env: Mapping[str, str],
    cwd: Path,
    outside: int,
    writing: int,
    started: int,
) -> None:
    """The command."""
    try:
        _report(writing, pid=int(os.readlink("self", dir_fd=outside)))
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((nothing, output, output)):
            os.dup2(descriptor, number)
        os.chdir(cwd)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError):  # the C library keeps a few to itself
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - running the user's command is what this is for
    except OSError as error:
        os.write(started, str(error.errno or errno.EIO).encode())
    except ValueError:  # a NUL in an argument
        os.write(started, str(errno.EINVAL).encode())
