from testbed.tcp.tracker import Tracker
from testbed.wire.segment import Segment, reverse

from .conversation import HANDSHAKE, segments, track_all

CLOSED = HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2"


def on_port(rows: list[Segment], port: int) -> list[Segment]:
    """The same conversation from another client port."""
    other = port.to_bytes(2, "big")
    return [
        row._replace(
            flow=row.flow[:8] + other + row.flow[10:]
            if row.flow.endswith(b"\x09\x1d")
            else row.flow[:10] + other
        )
        for row in rows
    ]


def test_interleaved_connections_are_told_apart() -> None:
    a, b = segments(CLOSED), on_port(segments(CLOSED), 40001)
    one, two = track_all([row for pair in zip(a, b, strict=True) for row in pair])
    assert one.client.packets == two.client.packets == 4
    assert one.addresses[0].port == "40000" and two.addresses[0].port == "40001"
    assert one.ending == two.ending == "orderly"


def test_a_syn_with_another_number_begins_anew() -> None:
    rows = [*segments(HANDSHAKE), *segments(HANDSHAKE, client_isn=5, server_isn=6)]
    assert [c.port_reused for c in track_all(rows)] == [False, True]


def test_a_syn_with_the_same_number_begins_anew_once_the_old_one_ended() -> None:
    rows = [*segments(CLOSED), *segments(HANDSHAKE)]
    assert [c.opening for c in track_all(rows)] == ["handshake", "handshake"]


def test_a_late_syn_belongs_to_its_connection() -> None:
    rows = segments("< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n> F. 1:1(0) ack 1\n> S 0:0(0)")
    assert len(track_all(rows)) == 1


def test_a_syn_ack_with_another_number_stays_and_is_noted() -> None:
    rows = [*segments(HANDSHAKE), *segments("< S. 0:0(0) ack 1", server_isn=77)]
    (connection,) = track_all(rows)
    assert connection.exchanges is not None
    assert [e.segment.frame for e in connection.exchanges if e.notes] != []


def test_segments_are_kept_only_when_asked_for() -> None:
    (connection,) = Tracker().feed_all(segments(CLOSED))
    assert connection.exchanges is None
    assert connection.client.packets == 4


def test_roles_by_port() -> None:
    row = segments("> . 1:1(0) ack 1")[0]
    for flow, from_client in ((row.flow, True), (reverse(row.flow), False)):
        (connection,) = Tracker(keep=True).feed_all([row._replace(flow=flow)])
        assert connection.roles == "inferred" and connection.addresses[1].port == "2333"
        assert connection.exchanges is not None and connection.exchanges[0].from_client is from_client


def test_keeps_the_segments_of_the_numbers_asked_for() -> None:
    rows = segments(HANDSHAKE) + segments(HANDSHAKE, client_isn=70_000, frame=4)
    kept = Tracker(keep={2}).feed_all(rows).connections
    assert [c.exchanges is None for c in kept] == [True, False]


def test_what_is_forgotten_is_gone_and_its_number_is_not_used_again() -> None:
    tracker = Tracker().feed_all([*segments(CLOSED), *on_port(segments(HANDSHAKE), 40001)])
    over, open_still = tracker.connections
    tracker.forget([over])
    assert tracker.connections == [open_still]
    again = tracker.feed(segments(CLOSED)[0])
    assert again is not over
    assert (open_still.id, again.id) == (2, 3)
    assert not again.port_reused
