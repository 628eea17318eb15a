"""One connection explained, and one capture: in words, and as in the document `testbed.explain/1`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..findings import Evidence, Finding, describe
from ..render.wording import counted
from ..tcp.connection import Connection, Exchange, names
from ..tcp.endpoint import Endpoint
from ..tcp.transcript import line_of
from ..tcp.zeek import conn_state, history
from ..wire.notation import format as notation

SCHEMA = "testbed.explain/1"


@dataclass(frozen=True, slots=True)
class CaptureSummary:
    """One file that was read.

    format         "pcap", "pcapng", "text", with ".gz" when it was compressed
    link_types     LINKTYPE_ names
    tcp_segments   of the packets, those that are TCP and could be decoded
    truncated      packets that the snap length cut
    problems       what is wrong with the file, a line each
    disagreements  of a text with its own bytes
    """

    file: str
    format: str
    link_types: tuple[str, ...]
    packets: int
    tcp_segments: int
    truncated: int
    problems: tuple[str, ...]
    disagreements: tuple[str, ...] = ()

    @property
    def shape(self) -> str:
        """Its format and how much is in it, in a line."""
        links = f", {', '.join(self.link_types)}" if self.link_types else ""
        cut = f", {self.truncated:,} cut by the snap length" if self.truncated else ""
        return f"{self.format}{links}, {counted(self.packets, 'packet')}, {self.tcp_segments:,} of TCP{cut}"

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
    """One connection and what was found.

    id        counts from 1 over all the files of an explanation
    evidence  what its findings lean on besides its segments
    findings  worst first
    """

    id: int
    connection: Connection
    evidence: Evidence
    findings: tuple[Finding, ...]

    @property
    def packets(self) -> int:
        """Segments captured, of both ends."""
        return self.connection.client.packets + self.connection.server.packets

    @property
    def text(self) -> str:
        """The paragraph in words."""
        return describe(self.connection, self.evidence, self.findings)

    @property
    def story(self) -> str:
        """The paragraph without the findings: how it opened, what it carried, how it ended."""
        return describe(self.connection, self.evidence, ())

    def with_findings(self, findings: tuple[Finding, ...]) -> Explained:
        """The same with other findings."""
        return replace(self, findings=findings)

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
            "findings": [finding.to_json() for finding in self.findings],
        }
        if segments:
            document["segments"] = [segment_json(exchange) for exchange in c.exchanges or ()]
        return document


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
