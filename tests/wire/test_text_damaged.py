"""Texts that are broken, cut, foreign, or anything at all: told, bounded, and never an exception."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import UnreadableInput
from testbed.wire import options
from testbed.wire.segment import Segment, endpoints
from testbed.wire.text import MAX_DISAGREEMENTS, MAX_PROBLEMS, TextCapture, looks_like_text, read_text

from .text_packets import ACK, PSH, Spec, packet, printed, rows

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"
needs_seeds = pytest.mark.skipif(not SEEDS.is_dir(), reason=f"the published transcripts are not in {SEEDS}")


def read(text: str | bytes) -> tuple[list[Segment], TextCapture]:
    capture = read_text(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "made")
    return list(capture.segments()), capture


LINE = printed(Spec(ack=5))
SEGMENT = Spec(sport=50_000, dport=6378, flags=PSH | ACK, seq=1000, ack=5000, window=512, payload=b"PING")


def test_the_bytes_of_a_frame_break_off_where_a_row_is_missing() -> None:
    shown = rows(packet(SEGMENT._replace(payload=b"x" * 40))).splitlines(keepends=True)
    del shown[3]
    segments, capture = read(printed(SEGMENT, length=40) + "".join(shown))
    assert [len(segment.data) for segment in segments] == [48]  # as if the snap length had cut it
    (problem,) = capture.problems
    assert "line 5" in problem and "frame 1" in problem and "byte 64 where byte 48" in problem


def test_bytes_broken_inside_the_headers_leave_the_line_alone() -> None:
    shown = rows(packet(SEGMENT)).splitlines(keepends=True)
    segments, capture = read(printed(SEGMENT) + shown[0] + shown[2])
    assert (segments[0].data, segments[0].length) == (b"", 4)
    assert len(capture.problems) == 1


def test_lines_that_make_no_sense_are_told_and_bounded() -> None:
    segments, capture = read(LINE + "what is this\n" * 100 + LINE)
    assert len(segments) == 2
    assert len(capture.problems) == MAX_PROBLEMS + 1
    assert capture.problems[0] == "line 2 is no line of tcpdump's: 'what is this'"
    assert capture.problems[-1] == "and 80 more problems like these"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("12:00:00.000000 IP a.1 > b.2: Flags [Q], win 1, length 0", "'Q' is no flag"),
        ("12:00:00.000000 IP a.1 > b.2: Flags [.], win 1, length 0", "without 'ack N'"),
        ("12:00:00.000000 IP a.1 > b.2: Flags [S], ack 1, win 1, length 0", "without the ACK flag"),
        ("12:00:00.000000 IP a > b.2: Flags [S], seq 1, win 1, length 0", "'a' is no host and port"),
        ("12:00:00.000000 IP a.1 > b.2: Flags [S], seq 1", "no window"),
        ("12:00:00.000000 IP a.1 > b.2: Flags [S], seq 9999999999, win 1, length 0", "larger than its field"),
        ("12:00:00.000000 IP a.1 > b.2: Flags [S", "its flags make no sense"),
        ("12:00:00.000000 IP (tos 0x0, ttl 64, proto TCP (6), length 60)", "addresses is missing"),
    ],
)
def test_a_packet_that_cannot_be_read_is_a_frame_and_a_problem(line: str, why: str) -> None:
    segments, capture = read(LINE + line + "\n" + LINE)
    assert [segment.frame for segment in segments] == [1, 3]
    (problem,) = capture.problems
    assert "line 2 " in problem and why in problem


def test_a_line_that_contradicts_itself_is_told() -> None:
    segments, capture = read("IP a.1 > b.2: Flags [P.], seq 1:105, ack 1, win 1, length 100\n")
    assert segments[0].length == 100
    assert capture.problems == ["line 1: seq 1:105 is 104 bytes, the length says 100"]


def test_what_tcpdump_and_a_shell_say_around_packets_is_no_problem() -> None:
    text = (
        "$ sudo tcpdump -i lo port 2333\n"
        "tcpdump: verbose output suppressed, use -v[v]... for full protocol decode\n"
        "listening on lo, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
        "reading from file x.pcap, link-type EN10MB (Ethernet), snapshot length 65535\n"
        f"{LINE}^C\n1 packet captured\n2 packets received by filter\n0 packets dropped by kernel\n"
    )
    segments, capture = read(text)
    assert (len(segments), capture.problems, capture.drops) == (1, [], 0)
    assert looks_like_text(text.encode())


def test_packets_that_tcpdump_lost_are_a_problem() -> None:
    _, capture = read(LINE + "17 packets dropped by kernel\n")
    assert capture.drops == 17
    assert capture.problems == ["line 2: tcpdump says that 17 packets were dropped by the kernel"]


def test_a_last_line_without_an_end_counts() -> None:
    segments, _ = read(LINE + LINE.rstrip("\n"))
    assert len(segments) == 2


def test_a_very_long_line_is_cut_and_told() -> None:
    segments, capture = read(LINE + LINE.rstrip("\n") + ": " + "x" * 1_000_000 + "\n" + LINE)
    assert [segment.frame for segment in segments] == [1, 2, 3]
    (problem,) = capture.problems
    assert problem.startswith("line 2 is longer than")


class _Failing:
    """A stream that gives some bytes and then fails."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int) -> bytes:
        if not self._content:
            raise OSError(5, "Input/output error")
        chunk, self._content = self._content[:size], self._content[size:]
        return chunk


class _Endless:
    """The same line again and again, in `chunks` pieces."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks

    def read(self, size: int) -> bytes:
        self._left -= 1
        return (LINE * 600).encode() if self._left >= 0 else b""


def test_a_stream_that_fails_at_once_is_unreadable() -> None:
    capture = read_text(cast(BinaryIO, _Failing(b"")), "gone.txt")
    with pytest.raises(UnreadableInput, match=r"gone\.txt: cannot be read: Input/output error"):
        list(capture.segments())


def test_what_came_before_a_failure_stands() -> None:
    capture = read_text(cast(BinaryIO, _Failing(LINE.encode() * 2)), "cut.txt")
    assert len(list(capture.segments())) == 2
    assert capture.problems == ["after line 2: reading failed: Input/output error"]


def test_disagreements_are_bounded() -> None:
    one = printed(SEGMENT, win=1) + rows(packet(SEGMENT))
    _, capture = read(one * (MAX_DISAGREEMENTS + 50))
    assert len(capture.disagreements) == MAX_DISAGREEMENTS
    assert capture.problems == [
        f"more than {MAX_DISAGREEMENTS} disagreements: the ones after them are not kept"
    ]


def test_memory_does_not_grow_with_the_text() -> None:
    def peak(chunks: int) -> int:
        tracemalloc.start()
        for _ in read_text(cast(BinaryIO, _Endless(chunks)), "endless").segments():
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small = peak(8)
    assert peak(24) < small * 1.5


# ---- anything at all


def _survives(content: bytes) -> None:
    looks_like_text(content[:4096])
    capture = read_text(io.BytesIO(content), "anything")
    count = 0
    for segment in capture.segments():
        count += 1
        endpoints(segment.flow)
        _ = segment.payload
        options.parse(segment.options)
        assert segment.frame <= capture.packets
        assert segment.seq is None or 0 <= segment.seq < 2**32
        assert 0 <= segment.ack < 2**32
    assert count + sum(capture.other.values()) <= capture.packets
    assert len(capture.problems) <= MAX_PROBLEMS + 1
    for disagreement in capture.disagreements:
        assert "\n" not in str(disagreement)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_exception(content: bytes) -> None:
    _survives(content)


FRAGMENTS = [
    "12:00:00.000000 ",
    "1700000000.000005 ",
    "2023-11-14 22:13:20.000005 ",
    "9999-99-99 00:00:00.1 ",
    " 00:00:00.0 ",
    "IP ",
    "IP6 ",
    "ARP, ",
    "lo    In  ",
    "(tos 0x0, proto TCP (6), length 60)",
    "\n    ",
    "\n\t",
    "\n",
    "10.0.0.1.80 > 10.0.0.2.81",
    "::1.2 > ::1.3",
    "a > b",
    " > ",
    ": ",
    "Flags [S.]",
    ": Flags [",
    "], ",
    ", seq 1:105",
    ", seq 4294967295",
    ", ack 4294967295",
    ", win 65535",
    ", options [",
    "mss 1460,",
    "sack 1 {1:2}",
    "TS val 4294967295 ecr 99999999999",
    "wscale 999",
    "unknown-999 0xff",
    "mptcp 99",
    "md5",
    ", length 5",
    "\t0x0000:  4500 0028 0001 4000 4006 0000",
    "\n\t0x0010:  0a00 0001 0a00 0002 0050 0051 0000 0001",
    "\n\t0x0020:  0000 0000 5010 0000 0000 0000",
    "{",
    "】",
    "\0",
    "\ufffd",
    "S 1:1(0) win 5",
    " <mss 1>",
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join))
def test_any_pieces_of_tcpdumps_text_are_read_without_an_exception(text: str) -> None:
    _survives(text.encode())


def _mutants(content: bytes) -> Iterator[bytes]:
    rng = random.Random(20240601)
    for _ in range(150):
        mutant = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(mutant))
            match rng.randint(0, 3):
                case 0:
                    mutant[at] = rng.randrange(256)
                case 1:
                    del mutant[at : at + rng.randint(1, 40)]
                case 2:
                    mutant[at:at] = mutant[at : at + rng.randint(1, 40)]
                case _:
                    mutant[at:at] = bytes([rng.choice(b"\n\t :.[]{}0x>,")])
        yield bytes(mutant)


@needs_seeds
@pytest.mark.parametrize(
    "name",
    [
        "rpc-2333.tcpdump.txt",
        "echo-9502.tcpdump.txt",
        "redis-6378-open.tcpdump-X.txt",
        "redis-6378-close.tcpdump-X.txt",
    ],
)
def test_damaged_transcripts_are_read_without_an_exception(name: str) -> None:
    for mutant in _mutants((SEEDS / name).read_bytes()):
        _survives(mutant)
