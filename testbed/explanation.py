"""Capture files explained: each connection, its findings, and the document `testbed.explain/1`.

    explanation = explain("incident.pcapng")
    for explained in explanation.connections:
        print(explained.text)
    json.dumps(explanation.to_json(segments=False))

`schema/explain.schema.json` describes the document.  Nothing here runs a program or opens a
socket; it works on every platform.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

from .findings import RULES, Evidence, Finding, Severity, describe, judge
from .tcp.connection import Connection, Exchange, names
from .tcp.endpoint import Endpoint
from .tcp.tracker import Tracker
from .tcp.transcript import line_of
from .tcp.zeek import conn_state, history
from .wire.notation import format as notation
from .wire.reader import open_capture
from .wire.segment import Segment

SCHEMA = "testbed.explain/1"

Source = str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class CaptureSummary:
    """One file that was read.  `disagreements` are those of a text with its own bytes."""

    file: str
    format: str
    link_types: tuple[str, ...]
    packets: int
    tcp_segments: int
    truncated: int
    problems: tuple[str, ...]
    disagreements: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As in the document."""
        return {
            "file": self.file,
            "format": self.format,
            "link_types": list(self.link_types),
            "packets": self.packets,
            "tcp_segments": self.tcp_segments,
            "truncated": self.truncated,
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Explained:
    """One connection and what was found.  `id` counts from 1 over all the files of an explanation."""

    id: int
    connection: Connection
    evidence: Evidence
    findings: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """The paragraph in words."""
        return describe(self.connection, self.evidence, self.findings)

    @property
    def story(self) -> str:
        """The paragraph without the findings: how it opened, what it carried, how it ended."""
        return describe(self.connection, self.evidence, ())

    def to_json(self, *, segments: bool = False) -> dict[str, Any]:
        """As in the document.  `segments` needs a connection that was tracked with them."""
        c = self.connection
        client, server = c.addresses
        document: dict[str, Any] = {
            "id": self.id,
            "client": str(client),
            "server": str(server),
            "roles": c.roles,
            "first_frame": c.first_frame,
            "start_ns": c.start_ns,
            "duration_ns": c.duration_ns,
            "opening": str(c.opening),
            "ending": str(c.ending),
            "first_fin": _side(c.first_fin),
            "reset_by": _side(c.reset_by),
            "close_segments": c.close_segments,
            "client_state": str(c.client.state),
            "server_state": str(c.server.state),
            "history": history(c),
            "conn_state": conn_state(c),
            "completeness": c.completeness,
            "packets": {"client": c.client.packets, "server": c.server.packets},
            "bytes": {"client": c.client.payload_bytes, "server": c.server.payload_bytes},
            "findings": [
                {
                    "code": f.code,
                    "severity": str(f.severity),
                    "side": f.side,
                    "frame": f.frame,
                    "text": f.text,
                }
                for f in self.findings
            ],
        }
        if segments:
            document["segments"] = [segment_json(exchange) for exchange in c.exchanges or ()]
        return document


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


@dataclass(frozen=True, slots=True)
class Explanation:
    """What captures hold: their connections, each with its findings."""

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
        endings = Counter(str(e.connection.ending) for e in self.connections)
        openings = Counter(str(e.connection.opening) for e in self.connections)
        found: Counter[tuple[str, Severity]] = Counter()
        having: Counter[tuple[str, Severity]] = Counter()
        for explained in self.connections:
            keys = [(f.code, f.severity) for f in explained.findings]
            found.update(keys)
            having.update(set(keys))
        order = {rule.code: position for position, rule in enumerate(RULES)}
        rows = [
            FindingCount(code, severity, n, having[code, severity]) for (code, severity), n in found.items()
        ]
        rows.sort(key=lambda row: (row.severity.rank, -row.findings, order[row.code]))
        return SummaryRows(endings.most_common(), openings.most_common(), rows)

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

    segments  keep each segment, for `to_json(segments=True)` and for ladders; or those of the
              connections with these ids alone, which are the same each time a file is read.
              Kept segments are most of what an explanation weighs: of a big file explain once
              without them, choose, and explain again with ``segments={3, 17}``

    Memory: what is kept of each connection, some 4.5 kB, and nothing of its segments unless asked.

    Error handling: `UnreadableInput` for what is no capture; what is wrong inside one is in its
    `problems`, and everything before it is explained.
    """
    captures: list[CaptureSummary] = []
    explained: list[Explained] = []
    with _no_collections():
        for source in sources:
            before = len(explained)
            keep = segments if isinstance(segments, bool) else {number - before for number in segments}
            summary, connections = _explain_one(source, keep, before)
            captures.append(summary)
            explained += connections
    return Explanation(tuple(captures), tuple(explained))


@contextmanager
def _no_collections() -> Iterator[None]:
    """Holds off the garbage collector.  Connections refer to each other in no cycle, and each
    collection would walk all of them again: half of the time, with 50,000 of them."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _explain_one(
    source: Source, keep: bool | set[int], before: int
) -> tuple[CaptureSummary, list[Explained]]:
    total, end_ns = 0, 0
    with open_capture(source) as capture:
        text = capture.format.startswith("text")
        tracker = Tracker(keep=keep or text)  # a text is small, and its disagreements name frames
        for segment in capture.segments():
            tracker.feed(segment)
            total += 1
            end_ns = max(end_ns, segment.time_ns)
        summary = CaptureSummary(
            capture.path,
            capture.format,
            tuple(capture.link_types),
            capture.packets,
            total,
            capture.truncated,
            tuple(capture.problems),
            tuple(map(str, capture.disagreements)),
        )
        evidence = Evidence(
            end_ns=end_ns,
            source="text" if text else "file",
            dropped=capture.drops or 0,
            truncated=capture.truncated,
            problems=summary.problems,
            disagreements=summary.disagreements,
            icmp_errors=capture.icmp_about,
        )
    return summary, _judged(tracker.connections, evidence, before)


def explain_segments(segments: Iterable[Segment], evidence: Evidence | None = None) -> Explanation:
    """Explain segments that are at hand already, such as a live run's.

    Without an end in `evidence` the last segment's time is the capture's end.
    """
    rows: Sequence[Segment] = list(segments)
    evidence = evidence or Evidence()
    if not evidence.end_ns and rows:
        evidence = replace(evidence, end_ns=max(row.time_ns for row in rows))
    tracker = Tracker(keep=True).feed_all(rows)
    summary = CaptureSummary(
        "-",
        evidence.source,
        (),
        len(rows),
        len(rows),
        evidence.truncated,
        evidence.problems,
        evidence.disagreements,
    )
    return Explanation((summary,), tuple(_judged(tracker.connections, evidence, 0)))


def _judged(connections: Iterable[Connection], evidence: Evidence, before: int) -> list[Explained]:
    return [
        Explained(before + connection.id, connection, evidence, tuple(judge(connection, evidence)))
        for connection in connections
    ]


def segment_json(exchange: Exchange) -> dict[str, Any]:
    """One segment as in the document."""
    segment = exchange.segment
    return {
        "frame": segment.frame,
        "time_ns": segment.time_ns,
        "from": exchange.sender,
        "flags": segment.flags,
        "seq": exchange.seq,
        "ack": exchange.ack,
        "len": segment.length,
        "window": exchange.window,
        "notes": names(exchange.notes),
        "notation": notation(line_of(exchange)),
    }


def _side(end: Endpoint | None) -> str | None:
    return None if end is None else end.side
