"""Scanned connections in counts, which can be added up: of one capture, or of thousands."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from ..explanation import CaptureSummary
from ..explanation.tally import FindingCount
from ..findings import RULES, Severity
from .columns import BY_NAME, Numbers, Rows, Told
from .revive import client_flow
from .verdicts import Verdict

SCHEMA: Final = "testbed.scan/1"

CLOSING: Final = ("missing-fin", "late-fin", "fin-unacknowledged", "reset")
"""The findings that tell of an end's goodbye: those of the server's are counted by server."""

NOTHING: Final = len(Severity)


class Scanned(NamedTuple):
    """One capture that was scanned.

    secondly  packets that the compiled decoder left to `wire.decode`
    by_pure   connections that the compiled machine left to `tcp.Connection`
    other     packets without a TCP segment, by protocol
    """

    capture: CaptureSummary
    connections: int
    secondly: int
    by_pure: int
    other: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """As in the document."""
        return {
            **self.capture.to_json(),
            "connections": self.connections,
            "decoded_by_the_pure_core": self.secondly,
            "followed_by_the_pure_core": self.by_pure,
            "other": self.other,
        }


class Guilty(NamedTuple):
    """A connection that was asked for: how bad, in which capture, and where there.

    flow   from the client, as `Segment.flow` has it
    """

    rank: int
    file: str
    id: int
    first_frame: int
    flow: bytes


class Server(NamedTuple):
    """What the goodbyes of one server's connections look like."""

    address: str
    port: int
    connections: int
    troubled: int
    by_code: dict[str, int]


class Summary:
    """Counts of the connections that were chosen, and the worst of these, at most `limit`."""

    def __init__(self, limit: int = 20) -> None:
        self.limit = limit
        self.scanned: list[Scanned] = []
        self.chosen = 0
        self.guilty: list[Guilty] = []
        self._endings: Counter[str] = Counter()
        self._openings: Counter[str] = Counter()
        self._found: Counter[tuple[str, Severity]] = Counter()
        self._having: Counter[tuple[str, Severity]] = Counter()
        self._servers: Counter[tuple[str, int]] = Counter()
        self._closing: Counter[tuple[str, int, str]] = Counter()

    @property
    def connections(self) -> int:
        """All there were, chosen or not."""
        return sum(one.connections for one in self.scanned)

    def add(self, rows: Rows) -> None:
        """Count connections."""
        self.chosen += len(rows)
        counts = np.bincount(rows.places, minlength=len(rows.verdicts)).tolist()
        for place, count in enumerate(counts):
            if count:
                self._add_kind(rows.verdicts[place], count)
        troubled = [place for place, verdict in enumerate(rows.verdicts) if _closing(verdict)]
        if troubled:
            self._add_servers(rows)
        self._add_guilty(rows)

    def _add_kind(self, verdict: Verdict, count: int) -> None:
        self._endings[verdict.ending] += count
        self._openings[verdict.opening] += count
        keys = [(found.code, found.severity) for found in verdict.findings]
        for key in keys:
            self._found[key] += count
        for key in set(keys):
            self._having[key] += count

    def _add_servers(self, rows: Rows) -> None:
        servers, ports = BY_NAME["server"].of(rows), BY_NAME["server_port"].of(rows)
        assert isinstance(servers, Told) and isinstance(ports, Numbers)
        keys = servers.places.astype(np.int64) << 48 | ports.values << 32 | rows.places
        for key, count in zip(*(one.tolist() for one in np.unique(keys, return_counts=True)), strict=True):
            server = servers.values[key >> 48], key >> 32 & 0xFFFF
            self._servers[server] += count
            for code in _closing(rows.verdicts[key & 0xFFFFFFFF]):
                self._closing[*server, code] += count

    def _add_guilty(self, rows: Rows) -> None:
        ranks = np.array([_rank(verdict) for verdict in rows.verdicts], np.int64)[rows.places]
        first = np.argsort(ranks, kind="stable")[: self.limit]
        of = rows.batch.of
        self._tell(
            Guilty(
                int(ranks[at]),
                rows.file,
                int(of["number"][at]),
                int(of["first_frame"][at]),
                client_flow(of[at]),
            )
            for at in first.tolist()
            if len(self.guilty) < self.limit or ranks[at] <= self.guilty[-1].rank
        )

    def _tell(self, guilty: Iterable[Guilty]) -> None:
        self.guilty = heapq.nsmallest(self.limit, [*self.guilty, *guilty])

    def __iadd__(self, other: Summary) -> Summary:
        self.scanned += other.scanned
        self.chosen += other.chosen
        for name in ("_endings", "_openings", "_found", "_having", "_servers", "_closing"):
            getattr(self, name).update(getattr(other, name))
        self._tell(other.guilty)
        return self

    @property
    def worst(self) -> Severity | None:
        """The worst severity found."""
        return min((severity for _, severity in self._found), key=lambda s: s.rank, default=None)

    def endings(self) -> list[tuple[str, int]]:
        """Connections by ending, the most frequent first."""
        return self._endings.most_common()

    def openings(self) -> list[tuple[str, int]]:
        """Connections by opening, the most frequent first."""
        return self._openings.most_common()

    def findings(self) -> list[FindingCount]:
        """Worst first."""
        order = {rule.code: position for position, rule in enumerate(RULES)}
        rows = [FindingCount(*key, count, self._having[key]) for key, count in self._found.items()]
        return sorted(rows, key=lambda row: (row.severity.rank, -row.connections, order[row.code]))

    def servers(self, most: int = 10) -> list[Server]:
        """Those with the most trouble in closing, the most first."""
        by_server: dict[tuple[str, int], dict[str, int]] = {}
        for (address, port, code), count in self._closing.items():
            by_server.setdefault((address, port), {})[code] = count
        rows = [
            Server(*key, self._servers[key], sum(codes.values()), dict(sorted(codes.items())))
            for key, codes in by_server.items()
        ]
        return sorted(rows, key=lambda row: (-row.troubled, row.address, row.port))[:most]

    def to_json(self) -> dict[str, Any]:
        """The document `testbed.scan/1`."""
        return {
            "schema": SCHEMA,
            "captures": [one.to_json() for one in self.scanned],
            "connections": self.connections,
            "chosen": self.chosen,
            "endings": dict(self.endings()),
            "openings": dict(self.openings()),
            "findings": [{**row._asdict(), "severity": str(row.severity)} for row in self.findings()],
            "servers": [row._asdict() for row in self.servers()],
            "worst": [
                {"file": one.file, "id": one.id, "first_frame": one.first_frame} for one in self.guilty
            ],
        }


def _closing(verdict: Verdict) -> set[str]:
    return {found.code for found in verdict.findings if found.code in CLOSING and found.side == "server"}


def _rank(verdict: Verdict) -> int:
    return verdict.findings[0].severity.rank if verdict.findings else NOTHING
