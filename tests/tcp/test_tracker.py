import pytest

from testbed.tcp.connection import Connection
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


def test_late_segments_belong_to_their_connection_for_two_msl() -> None:
    late = segments("< F. 1:1(0) ack 2\n> . 2:2(0) ack 2", frame=7)
    for seconds, connections in ((230, 1), (250, 2)):
        rows = segments(CLOSED)
        other = on_port(segments(HANDSHAKE), 40002)
        shift = rows[-1].time_ns + seconds * 10**9 - late[0].time_ns
        moved = [row._replace(time_ns=row.time_ns + shift) for row in (other[0], *late)]
        found = track_all([*rows, *moved])
        assert len(found) == connections + 1  # and the other one
        assert found[0].client.packets + found[0].server.packets == (8 if connections == 1 else 6)


def test_what_is_over_is_handed_over_once() -> None:
    over: list[Connection] = []
    tracker = Tracker(over=over.append)
    for port in range(1000, 1500):
        tracker.feed_all(on_port(segments(CLOSED), port))
    tracker.feed_all(segments(HANDSHAKE))
    assert tracker.connections == [] and over == []
    tracker.finish()
    assert sorted(c.id for c in over) == list(range(1, 502))


def test_an_idle_connection_is_not_let_go() -> None:
    over: list[Connection] = []
    tracker = Tracker(over=over.append)
    day = 86_400 * 10**9
    tracker.feed_all(segments(HANDSHAKE))
    for port in range(2):
        tracker.feed_all(
            row._replace(time_ns=row.time_ns + day) for row in on_port(segments(CLOSED), 5000 + port)
        )
    assert over == []
    tracker.feed_all(segments("> P. 1:11(10) ack 1", frame=50))
    tracker.finish()
    assert next(c for c in over if c.id == 1).client.packets == 3


def test_a_flood_of_syns_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testbed.tcp.tracker.MOST_UNOPENED", 10)
    over: list[Connection] = []
    tracker = Tracker(over=over.append)
    for port in range(1000, 1100):
        tracker.feed_all(on_port(segments("> S 0:0(0)"), port))
    assert len(over) == 90
    tracker.finish()
    assert {c.opening for c in over} == {"syn-only"}


def test_reused_ports_are_remembered_after_their_connection_was_let_go() -> None:
    over: list[Connection] = []
    tracker = Tracker(over=over.append)
    hour = 3600 * 10**9
    tracker.feed_all(segments(CLOSED))
    tracker.feed_all(row._replace(time_ns=row.time_ns + hour) for row in on_port(segments(CLOSED), 40001))
    assert [c.id for c in over] == [1]
    tracker.feed_all(row._replace(time_ns=row.time_ns + 2 * hour) for row in segments(CLOSED))
    tracker.finish()
    assert [c.port_reused for c in sorted(over, key=lambda c: c.id)] == [False, False, True]


def test_the_successor_ends_what_can_be_seen_of_a_connection() -> None:
    rows = [*segments(HANDSHAKE), *segments(HANDSHAKE, client_isn=5, frame=4)]
    first, second = track_all(rows)
    assert first.successor is not None and first.successor.frame == 4
    assert second.successor is None


def test_what_is_forgotten_is_gone_and_its_number_is_not_used_again() -> None:
    tracker = Tracker().feed_all([*segments(CLOSED), *on_port(segments(HANDSHAKE), 40001)])
    over, open_still = tracker.connections
    tracker.forget([over])
    assert tracker.connections == [open_still]
    again = tracker.feed(segments(CLOSED)[0])
    assert again is not over
    assert (open_still.id, again.id) == (2, 3)
    assert not again.port_reused
