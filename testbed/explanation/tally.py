"""Explained connections in counts: by ending, by opening, by what was found."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ..findings import RULES, Finding, Severity
from .explained import Explained


class FindingCount(NamedTuple):
    """How many findings of one code and severity there are, in how many connections."""

    code: str
    severity: Severity
    findings: int
    connections: int


class SummaryRows(NamedTuple):
    """An explanation in counts.

    endings   (ending, connections), the most frequent first
    openings  (opening, connections), the most frequent first
    findings  worst first
    """

    endings: list[tuple[str, int]]
    openings: list[tuple[str, int]]
    findings: list[FindingCount]


class Tally:
    """Counts connections one by one.

    connections  how many there were
    worst        the worst severity found; None where nothing was
    """

    def __init__(self) -> None:
        self.connections = 0
        self._endings: Counter[str] = Counter()
        self._openings: Counter[str] = Counter()
        self._found: Counter[tuple[str, Severity]] = Counter()
        self._having: Counter[tuple[str, Severity]] = Counter()

    def add(self, explained: Explained) -> None:
        """Count one connection and its findings."""
        self.connections += 1
        self._endings[explained.connection.ending] += 1
        self._openings[explained.connection.opening] += 1
        if explained.findings:
            keys = [(f.code, f.severity) for f in explained.findings]
            self._found.update(keys)
            self._having.update(set(keys))

    def add_to_all(self, flaw: Finding | None) -> None:
        """Count a finding that each of the connections has besides."""
        if flaw is not None:
            key = flaw.code, flaw.severity
            self._found[key] += self.connections
            self._having[key] = self.connections

    def __iadd__(self, other: Tally) -> Tally:
        self.connections += other.connections
        self._endings += other._endings
        self._openings += other._openings
        self._found += other._found
        self._having += other._having
        return self

    @property
    def worst(self) -> Severity | None:
        return min((severity for _, severity in +self._found), key=lambda s: s.rank, default=None)

    def rows(self) -> SummaryRows:
        """The counts in order."""
        order = {rule.code: position for position, rule in enumerate(RULES)}
        rows = [
            FindingCount(code, severity, n, self._having[code, severity])
            for (code, severity), n in (+self._found).items()
        ]
        rows.sort(key=lambda row: (row.severity.rank, -row.findings, order[row.code]))
        return SummaryRows(
            [(str(ending), n) for ending, n in self._endings.most_common()],
            [(str(opening), n) for opening, n in self._openings.most_common()],
            rows,
        )
