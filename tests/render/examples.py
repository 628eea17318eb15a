"""Ladders to draw, made of transcripts in the notation with the time of each line."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.tcp.connection import Connection
from testbed.tcp.tracker import Tracker
from testbed.wire.notation import parse
from testbed.wire.segment import Segment, reverse

CLIENT_FLOW = bytes([127, 0, 0, 1, 127, 0, 0, 1]) + (51028).to_bytes(2, "big") + (2333).to_bytes(2, "big")
START_NS = 1_700_000_000_000_000_000
ISN = {">": 1_000_000, "<": 0xFFFF_FFF0}  # the server's wraps within the connection

MISSING_FIN = """\
0          > S 0:0(0)
21         < S. 0:0(0) ack 1
34         > . 1:1(0) ack 1
210        > P. 1:105(104) ack 1
223        < . 1:1(0) ack 105
1820       < P. 1:255(254) ack 105
1835       > . 105:105(0) ack 255
2012       > F. 105:105(0) ack 255
45123      < . 255:255(0) ack 106
15045200   < . 254:254(0) ack 106
15045216   > . 106:106(0) ack 255
15046100   > . 105:105(0) ack 255
15046109   < . 255:255(0) ack 106
"""
"""The seeds' 2333 experiment: microseconds since its start, and the segment."""


def connection_of(transcript: str, *, keep: bool = True) -> Connection:
    """The one connection of a transcript: ``MICROSECONDS LINE`` in each line."""
    tracker = Tracker(keep=keep)
    for frame, text in enumerate(transcript.splitlines(), 1):
        micros, _, notation = text.partition(" ")
        line = parse(notation)
        other = "<" if line.direction == ">" else ">"
        assert line.seq is not None
        tracker.feed(
            Segment(
                frame=frame,
                time_ns=START_NS + int(micros) * 1000,
                flow=CLIENT_FLOW if line.direction == ">" else reverse(CLIENT_FLOW),
                flags=line.flags,
                seq=(ISN[line.direction] + line.seq) % 2**32,
                ack=0 if line.ack is None else (ISN[other] + line.ack) % 2**32,
                window=512 if line.win is None else line.win,
                length=line.length,
                options=b"",
                data=b"",
                tcp_at=0,
            )
        )
    (connection,) = tracker.connections
    return connection


def at(micros: int) -> int:
    """Nanoseconds since the epoch of a time in an example."""
    return START_NS + micros * 1000


def notations(rows: Sequence[object]) -> list[str]:
    """The notation of each arrow among `rows`."""
    from testbed.render.ladder import Arrow

    return [row.notation for row in rows if isinstance(row, Arrow)]
