"""What the pure core says of each connection: its verdict, asked for once for each kind of connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from ..findings import Evidence, Severity, judge
from ..tcp.connection import Connection
from ..tcp.endpoint import Endpoint
from ..wire.decode import IcmpError
from ..wire.segment import reverse
from .batch import Batch
from .kinds import kinds
from .layout import Array, Of
from .revive import client_flow, revived

LAST_FRAME: Final = 1 << 32
"""A number that no packet has: scans end before it."""


class Found(NamedTuple):
    """A finding without its words: they need the segments, and `explain` has them."""

    code: str
    severity: Severity
    side: Literal["client", "server"] | None


class Verdict(NamedTuple):
    """What is the same for all connections of a kind; the words are those of `explain --json`."""

    opening: str
    ending: str
    first_fin: str | None
    reset_by: str | None
    close_segments: int | None
    findings: tuple[Found, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The findings' codes, the worst first, each once."""
        return tuple(dict.fromkeys(found.code for found in self.findings))

    @property
    def severity(self) -> str | None:
        """The worst."""
        return str(self.findings[0].severity) if self.findings else None


def verdict_of(connection: Connection, evidence: Evidence) -> Verdict:
    """The verdict on one connection."""
    return Verdict(
        str(connection.opening),
        str(connection.ending),
        _side(connection.first_fin),
        _side(connection.reset_by),
        connection.close_segments,
        tuple(Found(f.code, f.severity, f.side) for f in judge(connection, evidence)),
    )


def _side(end: Endpoint | None) -> str | None:
    return None if end is None else end.side


class Verdicts:
    """All verdicts so far; a connection is told its verdict's place in `known`."""

    def __init__(self) -> None:
        self.known: list[Verdict] = []
        self._places: dict[Verdict, int] = {}
        self._by_kind: dict[int, int] = {}

    def of(
        self,
        batch: Batch,
        pure: Mapping[int, Connection],
        icmp: Mapping[bytes, Sequence[IcmpError]],
        end_ns: int,
    ) -> Array:
        """The place of each connection's verdict.

        pure   those that the pure core follows, by their numbers
        icmp   the ICMP errors known by now, as in `Evidence`
        end_ns as in `Evidence`: 0 where the capture goes on
        """
        numbers, first, inverse = np.unique(kinds(batch), return_index=True, return_inverse=True)
        places = np.array(
            [self._of_kind(number, batch, at) for number, at in zip(numbers.tolist(), first, strict=True)],
            dtype=np.int32,
        )
        answer: Array = places[inverse.ravel()] if len(batch) else np.zeros(0, np.int32)
        evidence = Evidence(end_ns=end_ns, icmp_errors=icmp)
        alone = set(np.flatnonzero(batch.has(Of.PURE)).tolist())
        if icmp:
            alone.update(_quoted(batch, icmp))
        for at in alone:
            record = batch.record(at)
            connection = pure.get(int(record.of["number"]))
            if connection is None:
                connection = revived(record, LAST_FRAME)
            elif record.successor:
                connection.successor = revived(record, LAST_FRAME).successor
            answer[at] = self._place(verdict_of(connection, evidence))
        return answer

    def _of_kind(self, number: int, batch: Batch, at: int) -> int:
        place = self._by_kind.get(number)
        if place is None:
            record = batch.record(at)
            # the time up to which it was watched is the record's: no capture's end is needed
            evidence = Evidence(end_ns=record.until)
            place = self._by_kind[number] = self._place(verdict_of(revived(record, LAST_FRAME), evidence))
        return place

    def _place(self, verdict: Verdict) -> int:
        place = self._places.setdefault(verdict, len(self.known))
        if place == len(self.known):
            self.known.append(verdict)
        return place


def _quoted(batch: Batch, icmp: Mapping[bytes, Sequence[IcmpError]]) -> list[int]:
    """The connections of which an ICMP error quotes a segment."""
    ports = set()
    for flow in icmp:
        one, other = int.from_bytes(flow[-4:-2], "big"), int.from_bytes(flow[-2:], "big")
        ports |= {one << 16 | other, other << 16 | one}
    maybe = np.flatnonzero(np.isin(batch.of["ports"], np.array(sorted(ports), np.uint32)))
    answer = []
    for at in maybe.tolist():
        flow = client_flow(batch.of[at])
        if flow in icmp or reverse(flow) in icmp:
            answer.append(at)
    return answer
