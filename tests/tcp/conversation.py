"""Conversations written in the notation, as segments and as tracked connections, for tests.

Numbers are relative to each side's ISN; ``+1.5`` on a line of its own lets 1.5 s pass.  A segment
comes 100 microseconds after the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable

from testbed.tcp.connection import Connection
from testbed.tcp.tracker import Tracker
from testbed.wire.notation import parse
from testbed.wire.segment import ACK, SYN, Segment

CLIENT = bytes([10, 0, 0, 1, 10, 0, 0, 2]) + (40000).to_bytes(2, "big") + (2333).to_bytes(2, "big")
SERVER = bytes([10, 0, 0, 2, 10, 0, 0, 1]) + (2333).to_bytes(2, "big") + (40000).to_bytes(2, "big")
STEP_NS = 100_000
START_NS = 1_700_000_000_000_000_000

HANDSHAKE = """
> S 0:0(0)
< S. 0:0(0) ack 1
> . 1:1(0) ack 1
"""


def segments(
    text: str, *, client_isn: int = 1_000, server_isn: int = 9_000, options: bytes = b"", frame: int = 1
) -> list[Segment]:
    """The segments of a conversation."""
    rows: list[Segment] = []
    now = START_NS
    for raw in text.strip().splitlines():
        line_text = raw.split("#")[0].strip()
        if line_text.startswith("+"):
            now += round(float(line_text[1:]) * 1e9)
        if not line_text or line_text.startswith("+"):
            continue
        line = parse(line_text)
        own, peer = (client_isn, server_isn) if line.direction == ">" else (server_isn, client_isn)
        now += STEP_NS
        rows.append(
            Segment(
                frame + len(rows),
                now,
                CLIENT if line.direction == ">" else SERVER,
                line.flags,
                None if line.seq is None else (own + line.seq) & 0xFFFFFFFF,
                ((peer + (line.ack or 0)) & 0xFFFFFFFF) if line.flags & ACK else 0,
                500 if line.win is None else line.win,
                line.length,
                options if line.flags & SYN else b"",
                b"",
                0,
            )
        )
    return rows


def track_all(rows: Iterable[Segment]) -> list[Connection]:
    """Every connection in the segments."""
    return Tracker(keep=True).feed_all(rows).connections


def track(text: str, *, client_isn: int = 1_000, server_isn: int = 9_000, options: bytes = b"") -> Connection:
    """The one connection of a conversation."""
    (connection,) = track_all(segments(text, client_isn=client_isn, server_isn=server_isn, options=options))
    return connection
