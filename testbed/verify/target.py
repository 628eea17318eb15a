"""The server under test: started, watched, signalled, and ended with all its children whatever happens.

It is waited for through the kernel's tables: a connection made to see whether it listens already
would be the first one that it has to deal with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..errors import CapabilityError, TargetError, UsageError
from ..kernel import DiagSocket, SockDiag
from ..kernel.owners import command_of, owners
from ..kernel.sample import name_of
from ..net.child import how_it_ended
from ..net.enclosed import Enclosed
from ..render.escape import visible
from ..tcp.states import State
from .outcome import seconds
from .plan import PLACEHOLDER, Plan
from .waiting import until

KEPT_OUTPUT: Final = 64 << 10
"""Bytes of its output that are kept: the last ones."""

_CHUNK: Final = 1 << 20
_LOOK: Final = 0.01
_OTHER_PORT_SECONDS: Final = 3.0
"""A server that listens elsewhere has this long to listen where it should, too."""


class Target:
    """One run of the server's command, in the network of this process.

    address    where it listens, once `listening` has returned
    main       the process that signals go to: the command, or what it left listening when it forked
               into the background
    """

    def __init__(self, plan: Plan, kernel: SockDiag) -> None:
        self._plan = plan
        self._kernel = kernel
        self._loop = asyncio.get_running_loop()
        self._output = b""
        self._output_bytes = 0
        self.address: tuple[str, int] = ("", 0)
        self.began_ns = time.time_ns()
        self._reading, writing = os.pipe()
        argv = plan.argv
        try:
            self._process = Enclosed(
                argv, output=writing, env={**dict(plan.env), "PORT": str(plan.port)}, cwd=plan.cwd
            )
        except OSError as error:
            os.close(self._reading)
            # a directory on PATH that may not be read makes "not found" a "permission denied"
            path = dict(plan.env).get("PATH", os.defpath)
            there = "/" in argv[0] or shutil.which(argv[0], os.F_OK, path)
            if not there or isinstance(error, FileNotFoundError):
                raise UsageError(f"{argv[0]}: no such command") from None
            raise UsageError(f"{argv[0]!r} cannot be run: {error.strerror}") from None
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)
        self.main = self._process.pid
        os.set_blocking(self._reading, False)
        self._loop.add_reader(self._reading, self._read_output)
        self._loop.add_reader(self._process.reports, self._read_reports)

    # ---- its life

    async def listening(self) -> None:
        """Wait until it listens at its port.  TargetError when it ends, never does, or does so elsewhere."""
        limit = time.monotonic() + self._plan.start
        elsewhere_since: float | None = None
        while True:
            listeners = self._kernel.dump(states={State.LISTEN})
            here = [row for row in listeners if row.local[1] == self._plan.port]
            if here:
                self.address = _reachable(here)
                return
            now = time.monotonic()
            if self.all_ended_ns is not None:
                raise TargetError(self.told(f"the command ended ({self.exit_status}) without listening"))
            if listeners and elsewhere_since is None:
                elsewhere_since = now
            if now > limit or (elsewhere_since is not None and now - elsewhere_since > _OTHER_PORT_SECONDS):
                raise TargetError(self.told(self._not_here(listeners)))
            await asyncio.sleep(_LOOK)

    def _not_here(self, listeners: list[DiagSocket]) -> str:
        port = self._plan.port
        if not listeners:
            return f"the command runs and has not listened on port {port} within {seconds(self._plan.start)}"
        elsewhere = ", ".join(sorted({name_of(row.local) for row in listeners}))
        hint = (
            "" if any(PLACEHOLDER in word for word in self._plan.command) else f"; write {PLACEHOLDER} there"
        )
        return (
            f"it listens on {elsewhere}, not on port {port}: tell the command its port{hint}, "
            f"or say --port {listeners[0].local[1]}"
        )

    def find_main(self) -> None:
        """Where the command has ended and left a daemon, the oldest holder of the listener is it."""
        if self.ended is None or self.main != self._process.pid:
            return
        listeners = find_listener(self._kernel, self._plan.port)
        pids = self.pids()
        holders = {owner.pid for row in listeners for owner in owners(row.inode, pids) if owner.pid in pids}
        if holders:
            self.main = min(holders, key=pids.index)

    def end(self) -> None:
        """Kill all of it and forget it; again is harmless."""
        self._loop.remove_reader(self._process.reports)
        self._loop.remove_reader(self._reading)
        self._process.end()
        with contextlib.suppress(OSError):
            self._read_output()
            os.close(self._reading)

    # ---- signals

    def send(self, number: signal.Signals) -> int:
        """Send `number` to the main process, if it still runs; the time, in nanoseconds, just before."""
        self.find_main()
        there = not self.main_ended  # else its number may be another's
        now = time.time_ns()
        if there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.main, number)
        return now

    def send_all(self, number: signal.Signals) -> int:
        """Send `number` to every process; the time just before."""
        now = time.time_ns()
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return now

    async def freeze(self) -> bool:
        """SIGSTOP all of it, and wait until it has; False when it would not."""
        self.send_all(signal.SIGSTOP)
        return await until(lambda: all(_is_stopped(pid) for pid in self.pids()), 2.0)

    def thaw(self) -> None:
        """Let it go on."""
        self.send_all(signal.SIGCONT)

    # ---- what is known of it

    @property
    def exit_status(self) -> str:
        """How the command ended, in words."""
        if self.ended is None:
            return "still running"
        status = self._process.ended.status if self._process.ended else 0
        return how_it_ended(status)

    @property
    def ended(self) -> int | None:
        """When the command itself ended, in nanoseconds since the epoch; None while it runs."""
        self._process.read_reports()
        return self._process.ended.time_ns if self._process.ended else None

    @property
    def main_ended(self) -> bool:
        """Whether the process that signals go to has ended."""
        if self.main == self._process.pid:
            return self.ended is not None
        return self.main not in self.pids()

    @property
    def all_ended_ns(self) -> int | None:
        """When the last of its processes had ended; None while one runs."""
        self._process.read_reports()
        return self._process.all_ended_ns

    def pids(self) -> list[int]:
        """Its processes, oldest first."""
        return self._process.pids()

    async def gone(self, within: float) -> bool:
        """Wait until none of its processes is left."""
        return await until(lambda: self.all_ended_ns is not None, within)

    def names(self) -> list[str]:
        """Its processes, each as ``pid (program)``."""
        return [f"{pid} ({(command_of(pid) or 'ended, not reaped').strip()})" for pid in self.pids()]

    @property
    def output(self) -> str:
        """The last of what it printed."""
        return self._output.decode(errors="replace")

    def told(self, what: str) -> str:
        """`what` with the last words of the command."""
        lines = [line for line in self.output.splitlines() if line.strip()][-5:]
        if not lines:
            return f"{what}; it printed nothing"
        return f"{what}; its last words: {' | '.join(visible(_plain(line))[:160] for line in lines)}"

    def _read_reports(self) -> None:
        self._process.read_reports()
        if self._process.all_ended_ns is not None:
            self._loop.remove_reader(self._process.reports)

    def _read_output(self) -> None:
        """Take what it printed; a flood is drained, so that it never waits for us."""
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._reading, _CHUNK)
            if not chunk:
                self._loop.remove_reader(self._reading)
            self._output_bytes += len(chunk)
            self._output = (self._output + chunk[-KEPT_OUTPUT:])[-KEPT_OUTPUT:]


def find_listener(kernel: SockDiag, port: int) -> list[DiagSocket]:
    """Who listens at a port of this network."""
    return kernel.dump(states={State.LISTEN}, ports=(port,))


def processor_waits(pids: Iterable[int]) -> dict[str, float]:
    """For how many seconds, ever, each thread of these processes was ready to run and did not.

    The second figure of /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst), by thread id;
    nothing where the kernel keeps none.
    """
    waits = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waits[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return waits


def disposition(pid: int, number: int) -> str | None:
    """What a process has arranged for a signal: ``handled``, ``ignored``, ``blocked`` (to be fetched by
    sigwait(3) or signalfd(2)) or ``default``; None where it is gone (proc_pid_status(5))."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    masks = dict(line.split(":\t", 1) for line in lines if line.startswith("Sig"))
    for name, said in (("SigCgt", "handled"), ("SigIgn", "ignored"), ("SigBlk", "blocked")):
        if int(masks[name], 16) >> (number - 1) & 1:
            return said
    return "default"


def resolve(connect: str) -> tuple[str, int]:
    """``HOST:PORT`` as a numeric address.  UsageError where it is none, CapabilityError where it has none."""
    import socket

    host, colon, port = connect.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UsageError(f"--connect {connect!r} is not HOST:PORT, such as 127.0.0.1:8000")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise CapabilityError(
            f"--connect {connect}: {error.strerror}", "name a host that has an address"
        ) from None
    address = found[0][4]
    return str(address[0]), int(address[1])


def _reachable(listeners: Iterable[DiagSocket]) -> tuple[str, int]:
    """An address of this host's at which one of `listeners` is reached, IPv4 first."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    rows = sorted(listeners, key=lambda row: (row.family, row.local))
    host, port = rows[0].local
    return wildcards.get(host, host), port


_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def _plain(line: str) -> str:
    """Without the colours that a logger put in."""
    return _ESCAPES.sub("", line).strip()


def _is_stopped(pid: int) -> bool:
    """Whether each of its threads is (proc_pid_stat(5): the state follows the name in brackets)."""
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            if (task / "stat").read_text().rpartition(")")[2].split()[0] not in "TtZX":
                return False
    except OSError:
        pass  # it has ended
    return True
