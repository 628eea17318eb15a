"""One look at the kernel's socket tables, by either witness: its rows, and what changes are noticed by.

A look at tens of thousands of sockets is mostly compared with the look before; a sample of a socket is
made when somebody asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import ClassVar, NamedTuple, Protocol, overload

from ..errors import CapabilityError
from ..tcp.states import State
from . import psutil_witness
from .diag_socket import DiagSocket
from .rows import Rows
from .sample import SocketAddress, SocketSample, Witness
from .sock_diag import SockDiag
from .sock_diag_codec import CLOSED, Mark, mark_of, outline

Inside = Callable[[], AbstractContextManager[None]]
"""Makes a context in which the calling thread is in some network (`testbed.net.hosts`)."""

AnyMark = Mark | tuple[State | None, Hashable, int | None]
"""What a change of a socket is noticed by: its state, its two ends, who holds it."""


class Standing(NamedTuple):
    """The connections of a look.

    now     by its ends: the mark of each, and the number of its row
    hidden  rows beside another of the same connection: a descriptor left open after `shutdown()` can
            show as CLOSED beside the kernel's own TIME_WAIT
    """

    now: dict[Hashable, tuple[AnyMark, int]]
    hidden: list[int]


class Look(Sequence[SocketSample]):
    """What a witness saw at one time, a sample for each socket.

    time_ns  nanoseconds since the epoch by which all of it had been read
    """

    time_ns: int
    CLOSED: ClassVar[object]

    @cached_property
    def marks(self) -> Sequence[AnyMark]:
        """What changes are noticed by, for each row."""
        raise NotImplementedError

    def same_as(self, earlier: Look) -> bool:
        """Whether nothing has changed since `earlier`: no state, no holder, no row and not their order."""
        return self.marks == earlier.marks

    def standing(self) -> Standing:
        """The rows by connection; where one has two, the row that is not CLOSED counts."""
        now: dict[Hashable, tuple[AnyMark, int]] = {}
        hidden: list[int] = []
        for number, mark in enumerate(self.marks):
            ends = mark[1]
            if ends not in now:
                now[ends] = mark, number
            elif now[ends][0][0] == self.CLOSED:
                hidden.append(now[ends][1])
                now[ends] = mark, number
            else:
                hidden.append(number)
        return Standing(now, hidden)


class DiagLook(Look):
    """By sock_diag."""

    CLOSED = CLOSED

    def __init__(self, rows: Rows, time_ns: int) -> None:
        self.rows = rows
        self.time_ns = time_ns

    @cached_property
    def marks(self) -> Sequence[AnyMark]:
        return list(map(mark_of, self.rows.raw))

    @cached_property
    def outline(self) -> tuple[bytes, bytes]:
        """What changes seldom: not the time that a timer has to go."""
        return outline(self.rows.raw)

    def same_as(self, earlier: Look) -> bool:
        if isinstance(earlier, DiagLook) and (
            self.rows.raw == earlier.rows.raw or self.outline == earlier.outline
        ):
            return True
        return super().same_as(earlier)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> SocketSample: ...
    @overload
    def __getitem__(self, index: slice) -> list[SocketSample]: ...
    def __getitem__(self, index: int | slice) -> SocketSample | list[SocketSample]:
        if isinstance(index, slice):
            return [_sampled(one, self.time_ns) for one in self.rows[index]]
        return _sampled(self.rows[index], self.time_ns)

    def __iter__(self) -> Iterator[SocketSample]:
        return (_sampled(one, self.time_ns) for one in self.rows)


def _sampled(one: DiagSocket, time_ns: int) -> SocketSample:
    return SocketSample(
        time_ns, one.local, one.remote, one.state, None, None, None, "sock_diag", one.inode, one
    )


class PsutilLook(Look):
    """By psutil."""

    CLOSED = State.CLOSED

    def __init__(self, samples: list[SocketSample], time_ns: int) -> None:
        self.samples = samples
        self.time_ns = time_ns

    @cached_property
    def marks(self) -> Sequence[AnyMark]:
        return [(one.state, (one.local, one.remote), one.pid) for one in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> SocketSample: ...
    @overload
    def __getitem__(self, index: slice) -> list[SocketSample]: ...
    def __getitem__(self, index: int | slice) -> SocketSample | list[SocketSample]:
        return self.samples[index]


class Looker(Protocol):
    """One way to look."""

    name: Witness

    def look(self, port: int | None, pids: Sequence[int]) -> Look: ...

    def one(self, local: SocketAddress, remote: SocketAddress) -> SocketSample | None:
        """The socket with these ends, at a tenth of the cost of a look at all of them.

        None where there is none, or this witness knows no quicker way.
        """

    def close(self) -> None: ...


class DiagLooker:
    """Looks through sock_diag; see `SockDiag` for what goes wrong.

    networks  the networks to look at together; none: the one that the thread is in now
    """

    name: Witness = "sock_diag"

    def __init__(self, networks: Sequence[Inside] = ()) -> None:
        self._kernels: list[SockDiag] = []
        self._last: Rows | None = None
        try:
            for inside in networks or (nullcontext,):
                with inside():
                    self._kernels.append(SockDiag())
        except BaseException:
            self.close()
            raise

    def look(self, port: int | None, pids: Sequence[int]) -> Look:
        told = [kernel.rows(ports=() if port is None else (port,)) for kernel in self._kernels]
        if len(told) > 1:
            told = [Rows([row for rows in told for row in rows.raw], self._last)]
        self._last = told[0]
        return DiagLook(told[0], time.time_ns())

    def one(self, local: SocketAddress, remote: SocketAddress) -> SocketSample | None:
        found = next((s for kernel in self._kernels if (s := kernel.lookup(local, remote))), None)
        return None if found is None else _sampled(found, time.time_ns())

    def close(self) -> None:
        for kernel in self._kernels:
            kernel.close()


class PsutilLooker:
    """Looks through psutil; see `psutil_witness`."""

    name: Witness = "psutil"

    def look(self, port: int | None, pids: Sequence[int]) -> Look:
        return PsutilLook(psutil_witness.sockets(port=port, pids=pids), time.time_ns())

    def one(self, local: SocketAddress, remote: SocketAddress) -> SocketSample | None:
        return None

    def close(self) -> None:
        pass


def looker(witness: Witness | None, networks: Sequence[Inside] = ()) -> Looker:
    """By `witness`, or with None by the best that answers here.  CapabilityError where it does not."""
    if witness == "psutil":
        return PsutilLooker()
    try:
        return DiagLooker(networks)
    except CapabilityError:
        if witness is not None or networks:  # psutil sees one network, that of the process
            raise
        return PsutilLooker()
