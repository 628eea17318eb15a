"""The kernel's socket tables as they were when the capture was cut, read as evidence.

The cut takes its time, and sockets change meanwhile.  So the tables are looked at before it and after
it, and what both looks show alike was so at the cut: connections do not go back to a state they left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..findings import KernelReading
from ..findings.table import Side
from ..kernel import Reading, SocketSample, readings
from ..kernel.sample import SocketAddress

_Pair = tuple[SocketAddress, SocketAddress | None]
_SIDES: tuple[Side, ...] = ("client", "server")


class Tables:
    """Two looks at the tables, around the cut.

    before, after  what each of them showed
    seen           the changes seen until then, which tell of sockets that were there and are gone
    """

    def __init__(
        self,
        before: Sequence[SocketSample] = (),
        after: Sequence[SocketSample] = (),
        seen: Sequence[SocketSample] = (),
    ) -> None:
        self._before, self._after = _by_pair(before), _by_pair(after)
        self._gone = {(s.local, s.remote): s.state is None for s in seen}

    def readings(self, client: SocketAddress, server: SocketAddress) -> Iterator[KernelReading]:
        """What both ends' sockets meant at the cut; nothing where no sock_diag was asked."""
        pairs = (client, server), (server, client)
        for side, pair, across in zip(_SIDES, pairs, reversed(pairs), strict=True):
            alone = self._gone.get(across, False) and across not in self._after
            for sample in self._before.get(pair, ()):
                then = _read(sample, alone)
                now = {r.code for s in self._after.get(pair, ()) if _same(s, sample) for r in _read(s, alone)}
                for reading in then:
                    if reading.code in now:
                        yield KernelReading(
                            side, reading.code, reading.text, str(sample.state), sample.witness
                        )


def _by_pair(samples: Sequence[SocketSample]) -> dict[_Pair, list[SocketSample]]:
    found: dict[_Pair, list[SocketSample]] = {}
    for sample in samples:
        found.setdefault((sample.local, sample.remote), []).append(sample)
    return found


def _read(sample: SocketSample, alone: bool) -> tuple[Reading, ...]:
    return readings(sample.diag, peer_gone=alone) if sample.diag is not None else ()


def _same(one: SocketSample, other: SocketSample) -> bool:
    """Whether both are one socket in one state."""
    return (
        one.diag is not None
        and other.diag is not None
        and (one.diag.cookie, one.state) == (other.diag.cookie, other.state)
    )
