"""The kernel's socket tables through psutil: the witness that works wherever psutil does.

psutil reads /proc/net, which is the network of the process's *first* thread: where the calling
thread is in another network its answer would be about the wrong sockets, and is refused.

It does not see queues, timers or what half is shut; sock_diag does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from ..errors import CapabilityError
from ..net.libc import require_linux
from ..tcp.states import State
from .owners import command_of
from .sample import SocketSample, Witness, normal

WITNESS: Final[Witness] = "psutil"

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
            names[pid] = command_of(pid)
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

    class Few(inside.NetConnections):  # type: ignore[misc]  # a base of type Any: psutil's inside has no types
        def get_all_inodes(self) -> dict[str, Any]:
            inodes: dict[str, Any] = {}
            for pid in pids:
                with contextlib.suppress(OSError):
                    inodes.update(self.get_proc_inodes(pid))
            return inodes

    if "get_all_inodes" not in vars(inside.NetConnections):
        raise AttributeError("get_all_inodes")
    return [(row.fd, row.laddr, row.raddr, row.status, row.pid) for row in Few().retrieve("tcp")]
