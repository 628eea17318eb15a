"""A capture by `scan` and by `explain`, row by row: what the compiled code says is the pure core's word."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from testbed.explanation import Explained, Reading
from testbed.scan.columns import Rows
from testbed.scan.output import documents
from testbed.scan.passing import Pass
from testbed.scan.verdicts import Verdicts
from testbed.tcp.endpoint import Endpoint
from testbed.tcp.notes import LABELS, SENT_AGAIN, Note
from testbed.wire.pcap import PcapWriter
from testbed.wire.reader import open_capture
from testbed.wire.segment import Address, Segment

from ..test_explanation import packet


def pcap(segments: Sequence[Segment]) -> bytes:
    """A capture of these segments."""
    stream = io.BytesIO()
    writer = PcapWriter(stream, 101)
    for frame, segment in enumerate(segments, 1):
        writer.write(packet(segment._replace(frame=frame)))
    return stream.getvalue()


def scanned(raw: bytes) -> tuple[dict[int, dict[str, Any]], dict[str, Any], Pass]:
    """The rows by their numbers, what is known of the capture, and the pass."""
    rows: dict[int, dict[str, Any]] = {}
    verdicts = Verdicts()

    def sink(batch: Any, places: Any) -> None:
        for row, place in zip(documents(Rows("-", batch, verdicts.known, places)), places, strict=True):
            found = [tuple(one) for one in verdicts.known[place].findings]
            rows[row["id"]] = {**row, "findings": found, "codes": row["findings"]}

    with open_capture(io.BytesIO(raw)) as capture:
        whole = Pass(capture, verdicts, sink)
        for _ in whole.pieces():
            pass
        about = {
            "packets": capture.packets,
            "segments": whole.segments,
            "truncated": capture.truncated,
            "problems": tuple(capture.problems),
        }
    assert whole.connections == len(rows)
    return rows, about, whole


def explained(raw: bytes) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """The same as `explain` has it."""
    reading = Reading(io.BytesIO(raw))
    lives: Counter[frozenset[Address]] = Counter()
    rows: dict[int, dict[str, Any]] = {}
    for one in sorted(reading, key=lambda one: one.id):
        ends = frozenset(one.connection.addresses)
        lives[ends] += 1
        rows[one.id] = _row(one, lives[ends])
    summary = reading.summary
    return rows, {
        "packets": summary.packets,
        "segments": summary.tcp_segments,
        "truncated": summary.truncated,
        "problems": summary.problems,
    }


def _row(one: Explained, incarnation: int) -> dict[str, Any]:
    c, document = one.connection, one.to_json()
    row: dict[str, Any] = {
        name: document[name]
        for name in (
            "id",
            "roles",
            "first_frame",
            "start_ns",
            "duration_ns",
            "opening",
            "ending",
            "first_fin",
            "reset_by",
            "close_segments",
            "client_state",
            "server_state",
        )
    }
    row["file"], row["incarnation"] = "-", incarnation
    row["closed_by"] = document["first_fin"] or document["reset_by"]
    row["handshake_ns"] = c.rtt_ns or None
    row["fin_to_fin_ns"] = row["half_closed_ns"] = None
    if c.first_fin is not None:
        second = c.server if c.first_fin is c.client else c.client
        until = c.reset_segment.time_ns if c.reset_segment is not None else one.evidence.until(c)
        row["half_closed_ns"] = max(0, until - c.first_fin.fin_first_time)
        if second.fin_seq is not None:
            row["half_closed_ns"] = row["fin_to_fin_ns"] = second.fin_first_time - c.first_fin.fin_first_time
    for end, address in zip((c.client, c.server), c.addresses, strict=True):
        side = end.side
        row[side], row[f"{side}_port"] = address.host, int(address.port)
        row[f"{side}_packets"], row[f"{side}_bytes"] = end.packets, end.payload_bytes
        row[f"{side}_retransmissions"] = sum(_by(one, end, bit) for bit, _ in LABELS if bit & SENT_AGAIN)
        row[f"{side}_keepalives"] = _by(one, end, Note.KEEP_ALIVE)
        row[f"{side}_zero_windows"] = _by(one, end, Note.ZERO_WINDOW)
    row["findings"] = [(f.code, f.severity, f.side) for f in one.findings]
    row["codes"] = tuple(dict.fromkeys(f.code for f in one.findings))
    row["severity"] = str(one.findings[0].severity) if one.findings else None
    return row


def _by(one: Explained, end: Endpoint, bit: int) -> int:
    noted = one.connection.noted.get(int(bit))
    if noted is None:
        return 0
    return noted.by_client if end.is_client else noted.count - noted.by_client


def assert_same(raw: bytes) -> Pass:
    """Both say the same of the capture and of each of its connections."""
    rows, about, whole = scanned(raw)
    wanted, wanted_about = explained(raw)
    assert about == wanted_about
    assert rows.keys() == wanted.keys()
    for number, row in wanted.items():
        differing = {name: (row[name], rows[number][name]) for name in row if row[name] != rows[number][name]}
        assert not differing, f"connection {number}: (explain, scan): {differing}"
    return whole
