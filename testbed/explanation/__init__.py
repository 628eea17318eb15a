"""Capture files explained: each connection, its findings, and the document `testbed.explain/1`.

    explanation = explain("incident.pcapng")
    for explained in explanation.connections:
        print(explained.text)
    json.dumps(explanation.to_json(segments=False))

`schema/explain.schema.json` describes the document.  Nothing here runs a program or opens a
socket; it works on every platform.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..findings import Finding, Severity
from .explained import SCHEMA, CaptureSummary, Explained, segment_json
from .reading import Reading, Source, no_collections
from .tally import FindingCount, SummaryRows, Tally


@dataclass(frozen=True, slots=True)
class Explanation:
    """What captures hold: their connections, each with its findings.

    captures     one for each source, in the order in which they were given
    connections  of one capture after the other, in the order in which they began
    """

    captures: tuple[CaptureSummary, ...]
    connections: tuple[Explained, ...]

    def to_json(self, *, segments: bool = False) -> dict[str, Any]:
        """The document `testbed.explain/1`, for `json.dumps`.

        `segments` adds each connection's segments; they are there only when the captures were
        explained with ``segments=True``.
        """
        return {
            "schema": SCHEMA,
            "captures": [capture.to_json() for capture in self.captures],
            "connections": [c.to_json(segments=segments) for c in self.connections],
        }

    @property
    def findings(self) -> list[Finding]:
        """All findings, in the order of the connections."""
        return [finding for explained in self.connections for finding in explained.findings]

    @property
    def worst(self) -> Severity | None:
        """The worst severity found; None where nothing was."""
        return min((f.severity for f in self.findings), key=lambda s: s.rank, default=None)

    def summary_rows(self) -> SummaryRows:
        """Connections by ending and by opening, findings by code, worst first."""
        tally = Tally()
        for explained in self.connections:
            tally.add(explained)
        return tally.rows()

    def summary(self) -> str:
        """A few lines: how many connections, how they ended, what was found."""
        rows = self.summary_rows()
        total = len(self.connections)
        lines = [f"{total} connection{'' if total == 1 else 's'}"]
        if rows.endings:
            lines[0] += ": " + ", ".join(f"{n} {ending}" for ending, n in rows.endings)
        lines += [
            f"{row.severity:8} {row.code:30} {row.findings} in {row.connections} "
            f"connection{'' if row.connections == 1 else 's'}"
            for row in rows.findings
        ]
        return "\n".join(lines)

    def to_text(self) -> str:
        """Every connection's paragraph, and the summary where there is more than one."""
        blocks = [f"{explained.id}. {explained.text}" for explained in self.connections]
        if len(blocks) != 1:
            blocks.append(self.summary())
        return "\n\n".join(blocks)


def explain(*sources: Source, segments: bool | Collection[int] = False) -> Explanation:
    """Explain capture files: pcap, pcapng, either gzipped, tcpdump's text with or without hex.

    sources   paths, or binary streams
    segments  keep each segment, for `to_json(segments=True)` and for ladders; or those of the
              connections with these ids alone, which are the same each time a file is read.
              Kept segments are most of what an explanation weighs: of a big file explain once
              without them, choose, and explain again with ``segments={3, 17}``

    Memory: what is kept of each connection, some 3 kB, and nothing of its segments unless asked.
    `Reading` hands connections out one by one instead, and keeps none.

    Error handling: `UnreadableInput` for what is no capture; what is wrong inside one is in its
    `problems`, and everything before it is explained.
    """
    captures: list[CaptureSummary] = []
    explained: list[Explained] = []
    with no_collections():
        for source in sources:
            reading = Reading(source, segments=segments, before=len(explained))
            found = sorted(reading, key=lambda one: one.id)
            explained += map(reading.completed, found)
            captures.append(reading.summary)
    return Explanation(tuple(captures), tuple(explained))


__all__ = [
    "SCHEMA",
    "CaptureSummary",
    "Explained",
    "Explanation",
    "FindingCount",
    "Reading",
    "Source",
    "SummaryRows",
    "explain",
    "segment_json",
]
