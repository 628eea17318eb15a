"""How far apart the witnesses' clocks are, measured on real connections over loopback.

A change of state that a packet caused follows it by microseconds; what the tracepoint's time says
more than that is the clocks' error.  A sample of the tables is stamped when it has been read, so it
may be late by the time that the reading took.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from ..errors import CapabilityError
from ..kernel.trace_clock import Offset
from ..tcp.states import Event
from .cross_examination import cross_examine
from .lab import Lab

CAUSED_BY_A_PACKET = frozenset(
    {Event.RECEIVE_SYN_ACK, Event.RECEIVE_ACK_OF_SYN, Event.RECEIVE_FIN, Event.RECEIVE_ACK_OF_FIN}
)
"""The changes that a packet causes and an event tells at once; not the SYN that makes a request socket."""


class ClockError(NamedTuple):
    """What was measured; times in ns.

    changes     how many changes of state were compared with the packet that caused them
    typical_ns  half of them came no later after their packet
    most_ns     99 % of them lie within this of their packet
    inversions  how many came before it
    clock       the tracing clock, and what was added to it
    sample_ns   how long a sample of the socket tables took at most
    """

    changes: int
    typical_ns: int
    most_ns: int
    inversions: int
    clock: str
    offset: Offset
    sample_ns: int

    def __str__(self) -> str:
        exact = f", set to {self.offset.error_ns} ns" if self.offset.error_ns else ""
        return (
            f"every change of state, on the capture's clock ({self.clock}{exact}): 99 % of {self.changes} "
            f"within {self.most_ns / 1000:.0f} us of their packet"
            + (f", {self.inversions} before it" if self.inversions else "")
        )


async def measure(connections: int = 100) -> ClockError:
    """Open and close this many connections on loopback, and compare.

    Error handling: CapabilityError where there are no tracepoints or no capture.
    """
    slowest = 0
    async with Lab() as lab:
        if lab.tracepoints is None:
            raise CapabilityError(lab.untold, lab.untold_remedy)
        await lab.serve("echo")
        for _ in range(connections):
            client = await lab.connect()
            await client.send(b"hello\r\n")
            await client.recv_exactly(18)
            client.close()
            before = time.monotonic_ns()
            lab.sampler.sample()
            slowest = max(slowest, time.monotonic_ns() - before)
        source = lab.tracepoints.source
        await lab.see_gone("server", client=client)
    apart = sorted(
        row.apart_ns
        for connection in lab.experiment.connections
        for row in cross_examine(connection)
        if row.wire is not None
        and row.kernel is not None
        and row.kernel.witness == "tracepoint"
        and row.wire.event in CAUSED_BY_A_PACKET
        and row.apart_ns is not None
    )
    size = sorted(map(abs, apart))
    return ClockError(
        len(apart),
        size[len(size) // 2],
        size[len(size) * 99 // 100],
        sum(one < 0 for one in apart),
        source.clock,
        source.offset,
        slowest,
    )
