"""The kernel's socket tables through psutil, once or sampled in the background.

psutil reads /proc/net, which is the network of the process's *first* thread: where the calling
thread is in another network its answer would be about the wrong sockets, and is refused.

Sampling sees what stands still.  On loopback FIN_WAIT_1, CLOSING and LAST_ACK pass within
microseconds and are almost never among the samples: that a state was not seen is no evidence that
it was not there.  It also does not see queues, timers or what half is shut; sock_diag does.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from ..errors import CapabilityError, UsageError, WitnessTimeout
from ..net.libc import require_linux
from ..tcp.states import State
from .sample import SocketAddress, SocketSample, Where, is_at, matching, name_of, normal

WITNESS: Final = "psutil"

STATES: Final[dict[str, State]] = {
    psutil.CONN_ESTABLISHED: State.ESTABLISHED,
    psutil.CONN_SYN_SENT: State.SYN_SENT,
    psutil.CONN_SYN_RECV: State.SYN_RECEIVED,
    psutil.CONN_FIN_WAIT1: State.FIN_WAIT_1,
    psutil.CONN_FIN_WAIT2: State.FIN_WAIT_2,
    psutil.CONN_TIME_WAIT: State.TIME_WAIT,
    psutil.CONN_CLOSE: State.CLOSED,
    psutil.CONN_CLOSE_WAIT: State.CLOSE_WAIT,
    psutil.CONN_LAST_ACK: State.LAST_ACK,
    psutil.CONN_LISTEN: State.LISTEN,
    psutil.CONN_CLOSING: State.CLOSING,
}
"""psutil's names (the kernel's) and RFC 9293's (section 3.3.2)."""

_Key = tuple[SocketAddress, SocketAddress | None]


def sockets(*, port: int | None = None, pids: Sequence[int] = ()) -> list[SocketSample]:
    """The TCP sockets of this network, those with `port` at either end if one is given.

    Holders are looked for in the processes `pids`, or in all of the machine's, which takes about
    10 ms for each hundred of them.

    Error handling: CapabilityError where the calling thread is in another network than its process's
    first thread.
    """
    _check_thread()
    found = list(_table(pids))
    now = time.time_ns()
    names: dict[int, str | None] = {}
    samples = []
    for fd, local, remote, status, pid in found:
        if not local or status not in STATES:
            continue
        here = normal(local[0], local[1])
        there = normal(remote[0], remote[1]) if remote else None
        if port is not None and here[1] != port and (there is None or there[1] != port):
            continue
        if pid is not None and pid not in names:
            names[pid] = _command(pid)
        command = names[pid] if pid is not None else None
        held = None if pid is None else fd
        samples.append(SocketSample(now, here, there, STATES[status], pid, held, command, WITNESS))
    return samples


def _check_thread() -> None:
    require_linux("looking at a network's sockets")
    if Path("/proc/self/ns/net").stat().st_ino != Path("/proc/thread-self/ns/net").stat().st_ino:
        raise CapabilityError(
            "psutil shows the network of the process's first thread, and this thread is in another one",
            "run the experiment in the main thread",
        )


def _table(pids: Sequence[int]) -> Iterator[tuple[int, Any, Any, str, int | None]]:
    """(fd, local, remote, status, pid) of each TCP socket."""
    if pids:
        with contextlib.suppress(AttributeError, ImportError):
            yield from _table_of(pids)
            return
    for row in psutil.net_connections("tcp"):
        yield row.fd, row.laddr, row.raddr, row.status, row.pid


def _table_of(pids: Sequence[int]) -> list[tuple[int, Any, Any, str, int | None]]:
    """The same, with holders looked for in `pids` alone.

    psutil has no public way to read the tables without going through every process's descriptors;
    where its inside has changed, the AttributeError makes the caller take the slow way.
    """
    from psutil import _pslinux

    inside: Any = _pslinux

    class Few(inside.NetConnections):  # type: ignore[misc]
        def get_all_inodes(self) -> dict[str, Any]:
            inodes: dict[str, Any] = {}
            for pid in pids:
                with contextlib.suppress(OSError):
                    inodes.update(self.get_proc_inodes(pid))
            return inodes

    if "get_all_inodes" not in vars(inside.NetConnections):
        raise AttributeError("get_all_inodes")
    return [(row.fd, row.laddr, row.raddr, row.status, row.pid) for row in Few().retrieve("tcp")]


def _command(pid: int) -> str | None:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return None


class Sampler:
    """Samples the socket tables every `interval` seconds, as an async context manager.

    port        only sockets with this port at either end
    pids        processes to look for holders in; may be changed at any time; none: all of them
    changes     each change seen of a (local, remote) pair, in order; its end is a sample with
                state None
    samples     how often the tables were read

    Where one pair has two rows (a descriptor left open after `shutdown()` shows as CLOSED beside the
    kernel's own TIME_WAIT) the row that is not CLOSED has the state.

    Error handling: what goes wrong in the background is raised by the next `wait_for`, `wait_gone`,
    `sample`, or on leaving.
    """

    def __init__(self, *, interval: float = 0.02, port: int | None = None, pids: Sequence[int] = ()) -> None:
        if interval <= 0:
            raise UsageError(f"an interval of {interval} s is none")
        self.interval = interval
        self.port = port
        self.pids: Sequence[int] = pids
        self.changes: list[SocketSample] = []
        self.samples = 0
        self._now: dict[_Key, SocketSample] = {}
        self._holders: dict[_Key, SocketSample] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise UsageError("this Sampler was entered already; make another one")
        self.sample()
        self._task = asyncio.create_task(self._run(), name="psutil witness")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = self._task
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
        if kind is None:
            self._raise_failure()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            self.sample()

    def _raise_failure(self) -> None:
        task = self._task
        if task is not None and task.done() and not task.cancelled() and (error := task.exception()):
            raise error

    # ---- looking

    def sample(self) -> list[SocketSample]:
        """Read the tables now, note what changed, and return what is there."""
        found = sockets(port=self.port, pids=self.pids)
        self.samples += 1
        now: dict[_Key, SocketSample] = {}
        for sample in found:
            key = (sample.local, sample.remote)
            if sample.pid is not None:
                self._holders[key] = sample
            if key not in now or now[key].state is State.CLOSED:
                now[key] = sample
        for key, sample in now.items():
            before = self._now.get(key)
            if before is None or (before.state, before.pid) != (sample.state, sample.pid):
                self.changes.append(sample)
        ended = time.time_ns()
        for key, sample in self._now.items():
            if key not in now:
                self.changes.append(
                    sample._replace(time_ns=ended, state=None, pid=None, fd=None, command=None)
                )
        self._now = now
        return found

    @property
    def current(self) -> list[SocketSample]:
        """What was there at the last sample."""
        return list(self._now.values())

    def holder_of(self, local: Where = None, remote: Where = None) -> SocketSample | None:
        """The last sample in which a process held such a socket; None when none was ever seen to."""
        return max(
            matching(self._holders.values(), local, remote), key=lambda sample: sample.time_ns, default=None
        )

    # ---- waiting

    async def wait_for(
        self,
        local: Where = None,
        remote: Where = None,
        *,
        state: State | Collection[State],
        timeout: float = 5.0,
    ) -> SocketSample:
        """Wait until a socket with these ends is seen in `state` (or one of several).

        A state seen at any sample from now on counts, even when it has passed by the next one.

        Error handling: WitnessTimeout after `timeout` seconds, with the states that were seen.
        """
        wanted = {state} if isinstance(state, State) else set(state)
        for sample in matching(self.sample(), local, remote):
            if sample.state in wanted:
                return sample
        seen = len(self.changes)
        for left in self._until(timeout):
            await asyncio.sleep(left)
            self._look()
            for sample in matching(self.changes[seen:], local, remote):
                if sample.state in wanted:
                    return sample
            seen = len(self.changes)
        names = " or ".join(sorted(wanted))
        raise WitnessTimeout(
            f"{_pair(local, remote)} was not seen in {names} within {timeout:g} s: "
            + self._history(local, remote)
        )

    async def wait_gone(self, local: Where = None, remote: Where = None, *, timeout: float = 5.0) -> None:
        """Wait until no socket with these ends is in the tables.

        Error handling: WitnessTimeout after `timeout` seconds, with what is still there.
        """
        if not matching(self.sample(), local, remote):
            return
        for left in self._until(timeout):
            await asyncio.sleep(left)
            if not matching(self._look(), local, remote):
                return
        raise WitnessTimeout(
            f"{_pair(local, remote)} was still there after {timeout:g} s: " + self._history(local, remote)
        )

    def _look(self) -> list[SocketSample]:
        self._raise_failure()
        return self.sample()

    def _until(self, timeout: float) -> Iterator[float]:
        """Pauses, of a millisecond and then of the interval at most, until `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        pause = min(0.001, self.interval)
        while (left := deadline - time.monotonic()) > 0:
            yield min(left, pause)
            pause = min(2 * pause, self.interval)

    def _history(self, local: Where, remote: Where) -> str:
        """What was seen of such sockets, in order."""
        pairs: dict[_Key, list[str]] = {}
        for change in self.changes:
            if is_at(change.local, local) and is_at(change.remote, remote):
                pairs.setdefault((change.local, change.remote), []).append(change.state or "gone")
        if not pairs:
            return f"no such socket was seen at all in {self.samples} samples"
        told = [f"{_pair(*key)} went {', '.join(states)}" for key, states in list(pairs.items())[:5]]
        more = f"; and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        return f"{'; '.join(told)}{more} ({self.samples} samples)"


def _pair(local: Where, remote: Where) -> str:
    return f"{name_of(local)} -> {name_of(remote)}"
