"""Reading judges a connection as soon as it is over, and must say what judging at the end would."""

from __future__ import annotations

import struct
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from testbed.explanation import Explained, Reading, explain
from testbed.findings import Evidence, judge
from testbed.findings.signs import Sign, signs
from testbed.tcp import tracker
from testbed.tcp.tracker import Tracker
from testbed.wire.pcap import PcapWriter
from testbed.wire.reader import open_capture
from testbed.wire.segment import Packet, Segment

from ..mutation import CORPUS
from ..tcp.conversation import HANDSHAKE, segments
from ..test_explanation import packet

CLOSED = HANDSHAKE + "> P. 1:11(10) ack 1\n> F. 11:11(0) ack 1\n< F. 1:1(0) ack 12\n> . 12:12(0) ack 2"


def from_port(rows: list[Segment], port: int) -> list[Segment]:
    """The same conversation from another client port."""
    changed = []
    for row in rows:
        source, destination = struct.unpack(">HH", row.flow[8:])
        ports = (port, destination) if source == 40000 else (source, port)
        changed.append(row._replace(flow=row.flow[:8] + struct.pack(">HH", *ports)))
    return changed


def write(path: Path, rows: list[Segment]) -> Path:
    with path.open("wb") as stream:
        writer = PcapWriter(stream, 101)
        for frame, row in enumerate(rows, 1):
            writer.write(packet(row._replace(frame=frame)))
    return path


def at_the_end(path: Path) -> list[Explained]:
    """What judging everything at the end says."""
    with open_capture(path) as capture:
        rows = list(capture.segments())
        found = Tracker().feed_all(rows)
        evidence = Evidence(
            end_ns=max((row.time_ns for row in rows), default=0),
            dropped=capture.drops or 0,
            problems=tuple(capture.problems),
            icmp_errors=capture.icmp_about,
        )
    return [Explained(c.id, c, evidence, tuple(judge(c, evidence))) for c in found]


CAPTURES = sorted((CORPUS / "captures").glob("*.pcap*"))


@pytest.mark.skipif(not CAPTURES, reason="the corpus of captures is not here")
@pytest.mark.parametrize("most_ended", [0, tracker.MOST_ENDED])
def test_judged_early_is_judged_right(monkeypatch: pytest.MonkeyPatch, most_ended: int) -> None:
    monkeypatch.setattr(tracker, "MOST_ENDED", most_ended)
    for path in CAPTURES:
        early, late = explain(path).connections, at_the_end(path)
        assert [e.to_json() for e in early] == [e.to_json() for e in late], path.name
        assert [e.story for e in early] == [e.story for e in late], path.name


def test_connections_come_as_they_are_over_and_are_told_by_when_they_began(tmp_path: Path) -> None:
    long, short = segments(CLOSED), from_port(segments(CLOSED), 40001)
    path = write(tmp_path / "a.pcap", [long[0], *short, *long[1:]])
    assert [e.id for e in explain(path).connections] == [1, 2]
    reading = Reading(path)
    assert sorted(e.id for e in reading) == [1, 2]
    assert reading.summary.tcp_segments == 14


def test_what_is_over_is_handed_out_before_the_end(tmp_path: Path) -> None:
    """Of 2,000 connections one after the other, minutes apart, few are held at a time."""
    rows: list[Segment] = []
    for number in range(2000):
        later = number * 300_000_000_000
        rows += [
            row._replace(time_ns=row.time_ns + later) for row in from_port(segments(CLOSED), 20000 + number)
        ]
    path = write(tmp_path / "a.pcap", rows)
    tracemalloc.start()
    try:
        count = sum(1 for _ in Reading(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2000
    assert peak < 1000 * 2000  # bytes: a connection weighs 2 to 3 kB, and these would all be held


def test_a_text_is_not_held_in_memory_either(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w") as lines:
        for number in range(400):
            stamp = f"{began + timedelta(minutes=5 * number):%Y-%m-%d %H:%M:%S.%f}"
            head = f"{stamp} IP 10.0.0.1.{20000 + number} > 10.0.0.2.80: Flags"
            print(f"{head} [S], seq 70, win 100, length 0", file=lines)
            for at in range(1, 401, 10):
                print(f"{head} [P.], seq {at}:{at + 10}, ack 1, win 100, length 10", file=lines)
            print(f"{head} [R], seq 401, win 0, length 0", file=lines)
    tracemalloc.start()
    try:
        resets = [one.connection.reset_by is not None for one in Reading(path)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert resets == [True] * 400
    assert peak < 300 * 400 * 42  # bytes: a segment that is held weighs more


def test_the_capture_as_a_whole_is_a_finding_of_each(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcap", segments(CLOSED))
    path.write_bytes(path.read_bytes()[:-1])
    reading = Reading(path)
    (one,) = reading
    assert reading.flaw is not None
    assert [f.code for f in reading.completed(one).findings][:1] == ["capture-incomplete"]
    assert [f.code for f in explain(path).connections[0].findings][:1] == ["capture-incomplete"]


def test_an_error_about_an_earlier_use_of_the_ports_is_not_this_ones(tmp_path: Path) -> None:
    first, second = segments(CLOSED), segments(CLOSED, client_isn=70_000)
    path = tmp_path / "a.pcap"
    with path.open("wb") as stream:
        writer = PcapWriter(stream, 101)
        for row in first:
            writer.write(packet(row))
        writer.write(unreachable(packet(first[3])))
        for row in second:
            writer.write(packet(row))
    one, two = explain(path).connections
    assert "icmp-error" in [f.code for f in one.findings]
    assert "icmp-error" not in [f.code for f in two.findings]


def unreachable(about: Packet) -> Packet:
    """RFC 792: destination unreachable, host; quotes the IP header and eight bytes."""
    body = struct.pack(">BBHI", 3, 1, 0, 0) + about.data[:28]
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0, bytes(4), about.data[12:16])
    return about._replace(data=head + body, original_length=20 + len(body))


@pytest.mark.skipif(not CAPTURES, reason="the corpus of captures is not here")
def test_no_rule_finds_anything_without_one_of_its_signs() -> None:
    from testbed.findings import RULES

    for path in CAPTURES:
        for explained in at_the_end(path):
            seen = signs(explained.connection, explained.evidence)
            for rule in RULES:
                if not rule.when & seen:
                    assert not list(rule.judge(explained.connection, explained.evidence)), (path, rule.code)


def test_signs_are_bits_of_their_own() -> None:
    bits = [bit for name, bit in vars(Sign).items() if name.isupper()]
    assert len(bits) == len(set(bits)) and all(bit & (bit - 1) == 0 for bit in bits)
