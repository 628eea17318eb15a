"""What the wire shows of one connection: by sequence numbers, whatever was sent twice."""

from __future__ import annotations

import struct

from testbed.tcp.tracker import Tracker
from testbed.verify.seen import Mark, Seen, at, between
from testbed.wire.segment import Segment
from tests.tcp.conversation import HANDSHAKE, segments

TCP_HEADER = 20


def with_payload(row: Segment) -> Segment:
    """The same segment with bytes in it: each is its sequence number's last two digits, as a number."""
    assert row.seq is not None
    header = bytes(12) + bytes([(TCP_HEADER // 4) << 4]) + bytes(7)
    data = header + bytes((row.seq + index) % 100 for index in range(row.length))
    return row._replace(data=data)


def seen(text: str) -> Seen:
    rows = [with_payload(row) for row in segments(HANDSHAKE + text, client_isn=999, server_isn=4999)]
    (connection,) = Tracker(keep=True).feed_all(rows).connections
    return Seen(connection)


def test_a_connection_that_was_not_seen() -> None:
    nothing = Seen(None)
    assert nothing.server_end is None and not nothing.opened and not nothing.refused
    assert nothing.sent(by_client=True) == b""
    assert nothing.byte(0, by_client=True) is None


def test_refused() -> None:
    (connection,) = Tracker(keep=True).feed_all(segments("> S 0:0(0)\n< R. 0:0(0) ack 1")).connections
    refused = Seen(connection)
    assert refused.refused and not refused.opened


def test_streams_by_sequence_number() -> None:
    """A tail-loss probe repeats the last bytes, and one segment overlaps the one before."""
    found = seen(
        """
        > P. 1:5(4) ack 1
        < P. 1:4(3) ack 5
        < P. 1:4(3) ack 5
        < P. 3:8(5) ack 5
        > . 5:5(0) ack 8
        """
    )
    assert found.sent(by_client=True) == struct.pack("4B", 0, 1, 2, 3)
    assert found.sent(by_client=False) == bytes(range(7))
    assert found.byte(2, by_client=False) == Mark(5, found.connection.start_ns + 400_000)  # type: ignore[union-attr]
    later = found.byte(3, by_client=False)
    assert later is not None and later.frame == 7
    assert found.byte(7, by_client=False) is None
    acknowledged = found.acknowledged(7, by_client=True)
    assert acknowledged is not None and acknowledged.frame == 8


def test_a_gap_ends_the_stream() -> None:
    found = seen("< P. 1:4(3) ack 1\n< P. 6:8(2) ack 1")
    assert found.sent(by_client=False) == bytes(range(3))


def test_ends() -> None:
    """The first FIN counts, not its retransmission; an RST behind it does not come before it."""
    found = seen("> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n+0.2\n< F. 1:1(0) ack 2\n< R. 2:2(0) ack 2")
    fin, rst, ours = found.server_fin, found.server_rst, found.client_fin
    assert fin is not None and rst is not None and ours is not None
    assert (ours.frame, fin.frame, rst.frame) == (4, 5, 7)
    assert found.server_end == fin
    assert found.client_rst is None
    assert between(ours, fin) == 0.0001
    assert at(ours, None, fin) == " (frames 4, 5)"
    assert at(None) == ""


def test_an_rst_when_all_is_over_is_none_of_the_servers() -> None:
    """Overtaken by the last ACK, the one before finds a kernel that has forgotten the connection."""
    over = "> F. 1:1(0) ack 1\n< PF. 1:4(3) ack 2\n> . 2:2(0) ack 5\n"
    assert seen(f"{over}> . 2:2(0) ack 1\n< R 1:1(0)").server_rst is None
    behind = seen("> F. 1:1(0) ack 1\n< P. 1:4(3) ack 2\n< R. 4:4(0) ack 2")
    assert behind.server_rst is not None and behind.server_rst.frame == 6
