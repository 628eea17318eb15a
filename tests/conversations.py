"""Conversations written in the notation, as segments and connections: for tests of the pure core."""

from __future__ import annotations

import struct

from testbed.tcp.connection import Connection
from testbed.tcp.tracker import Tracker
from testbed.wire import notation
from testbed.wire.segment import ACK, Segment, reverse
from testbed.wire.seq import MASK

CLIENT_FLOW = bytes((127, 0, 0, 1, 127, 0, 0, 1)) + struct.pack("!HH", 51028, 2333)
CLIENT_ISN, SERVER_ISN = 1_685_710_276, 1_915_965_418
START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000


def segments_of(
    text: str, *, client_isn: int = CLIENT_ISN, server_isn: int = SERVER_ISN, flow: bytes = CLIENT_FLOW
) -> list[Segment]:
    """Segments of a transcript, a millisecond apart; a line ``@ SECONDS`` moves the clock on."""
    segments: list[Segment] = []
    time_ns = START_NS
    for raw in text.splitlines():
        line_text = raw.strip()
        if line_text.startswith("@"):
            time_ns += int(float(line_text[1:]) * 1e9)
            continue
        if not line_text or line_text.startswith("#"):
            continue
        line = notation.parse(line_text)
        ours, theirs = (client_isn, server_isn) if line.direction == ">" else (server_isn, client_isn)
        segments.append(
            Segment(
                frame=len(segments) + 1,
                time_ns=time_ns,
                flow=flow if line.direction == ">" else reverse(flow),
                flags=line.flags,
                seq=None if line.seq is None else (line.seq + ours) & MASK,
                ack=((line.ack or 0) + theirs) & MASK if line.flags & ACK else 0,
                window=65535 if line.win is None else line.win,
                length=line.length,
                options=b"",
                data=b"",
                tcp_at=0,
            )
        )
        time_ns += STEP_NS
    return segments


def connections_of(text: str) -> list[Connection]:
    """Every connection of a transcript."""
    return Tracker(keep=True).feed_all(segments_of(text)).connections


def connection_of(text: str) -> Connection:
    """The one connection of a transcript."""
    (connection,) = connections_of(text)
    return connection
