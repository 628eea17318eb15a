"""The text reader as a whole: the published transcripts row by row, edited ones, broken ones."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import UnreadableInput
from testbed.wire import options
from testbed.wire.segment import Address, Segment, endpoints
from testbed.wire.text import MAX_DISAGREEMENTS, MAX_PROBLEMS, TextCapture, looks_like_text, read_text

from .text_packets import ACK, FIN, PSH, RST, SYN, Spec, packet, printed, rows

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"
needs_seeds = pytest.mark.skipif(not SEEDS.is_dir(), reason=f"the published transcripts are not in {SEEDS}")

SECOND = 10**9


def read(text: str | bytes) -> tuple[list[Segment], TextCapture]:
    capture = read_text(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "made")
    return list(capture.segments()), capture


def seed(name: str) -> tuple[list[Segment], TextCapture]:
    content = (SEEDS / name).read_bytes()
    assert looks_like_text(content[:4096])
    return read(content)


def clock(text: str) -> int:
    hour, minute, second = text.split(":")
    return round((int(hour) * 3600 + int(minute) * 60) * SECOND + float(second) * SECOND)


# ---- the published transcripts


@needs_seeds
def test_the_rpc_transcript_row_by_row() -> None:
    """Relative numbers beside the ISNs 810246547 and 4021342427; times, windows as printed."""
    segments, capture = seed("rpc-2333.tcpdump.txt")
    c, s = 810246547, 4021342427
    client, server = Address("localhost", "63318"), Address("localhost", "snapp")
    rows_ = [
        (client, "19:37:10.361921", SYN, c, 0, 65535, 0),
        (server, "19:37:10.361976", SYN | ACK, s, c + 1, 65535, 0),
        (client, "19:37:10.361984", ACK, None, s + 1, 6379, 0),
        (server, "19:37:10.362005", ACK, None, c + 1, 6379, 0),
        (client, "19:37:10.362532", PSH | ACK, c + 1, s + 1, 6379, 104),
        (server, "19:37:10.362565", ACK, None, c + 105, 6378, 0),
        (server, "19:37:10.363049", PSH | ACK, s + 1, c + 105, 6378, 254),
        (client, "19:37:10.363059", ACK, None, s + 255, 6375, 0),
        (client, "19:37:10.363289", FIN | ACK, c + 105, s + 255, 6375, 0),
        (server, "19:37:10.363300", ACK, None, c + 106, 6378, 0),
        (server, "19:37:25.364144", ACK, None, c + 106, 6378, 0),
        (client, "19:37:25.364160", ACK, None, s + 255, 6375, 0),
        (client, "19:37:25.364232", ACK, None, s + 255, 6375, 0),
        (server, "19:37:25.364236", ACK, None, c + 106, 6378, 0),
    ]
    assert [
        (endpoints(x.flow)[0], x.time_ns, x.flags, x.seq, x.ack, x.window, x.length) for x in segments
    ] == [(who, clock(time), *rest) for who, time, *rest in rows_]
    assert [segment.frame for segment in segments] == list(range(1, 15))
    assert options.mss(segments[0].options) == options.mss(segments[1].options) == 16344
    assert options.window_scale(segments[0].options) == 6
    assert options.sack_permitted(segments[0].options)
    assert options.timestamps(segments[0].options) == (4103777838, 0)
    assert options.timestamps(segments[12].options) == (4103792840, 1548550604)
    assert segments[10].options == segments[11].options == b""  # macOS's probe and its answer carry none
    assert (capture.packets, capture.other, capture.problems, capture.disagreements) == (14, {}, [], [])


@needs_seeds
def test_the_echo_transcript_row_by_row() -> None:
    segments, capture = seed("echo-9502.tcpdump.txt")
    c, s = 2927179378, 1721825043
    client, server = Address("localhost", "39870"), Address("localhost", "9502")
    rows_ = [
        (client, "14:12:45.104687", SYN, c, 0, 32792, 0),
        (server, "14:12:45.104701", SYN | ACK, s, c + 1, 32768, 0),
        (client, "14:12:45.104711", ACK, None, s + 1, 4099, 0),
        (client, "14:13:01.415407", PSH | ACK, c + 1, s + 1, 4099, 7),
        (server, "14:13:01.415432", ACK, None, c + 8, 4096, 0),
        (server, "14:13:01.415747", PSH | ACK, s + 1, c + 8, 4096, 18),
        (client, "14:13:01.415757", ACK, None, s + 19, 4097, 0),
    ]
    assert [
        (endpoints(x.flow)[0], x.time_ns, x.flags, x.seq, x.ack, x.window, x.length) for x in segments
    ] == [(who, clock(time), *rest) for who, time, *rest in rows_]
    assert options.window_scale(segments[0].options) == 3
    assert (capture.packets, capture.other, capture.problems, capture.disagreements) == (7, {}, [], [])


REDIS = Address("10.249.172.203", "6378")


@needs_seeds
def test_the_redis_opening_is_one_connection_though_its_lines_say_otherwise() -> None:
    segments, capture = seed("redis-6378-open.tcpdump-X.txt")
    telnet = Address("10.249.172.42", "32896")  # 0x8080, which the lines call idmgratm
    c, s = 1368668675, 2882988348
    assert [(endpoints(x.flow), x.flags, x.seq, x.ack, x.window, x.length) for x in segments] == [
        ((telnet, REDIS), SYN, c, 0, 29200, 0),
        ((REDIS, telnet), SYN | ACK, s, c + 1, 28960, 0),
        ((telnet, REDIS), ACK, c + 1, s + 1, 229, 0),
    ]
    assert options.mss(segments[0].options) == 1460
    assert [(len(x.data), x.tcp_at, x.payload) for x in segments] == [
        (60, 20, b""),
        (60, 20, b""),
        (52, 20, b""),
    ]
    assert capture.problems == []
    first, second = capture.disagreements
    assert (first.frame, first.field, first.trusted) == (1, "addresses", "hex")
    assert first.text == "192.168.1.10 > 192.168.1.10"
    assert first.hex == "10.249.172.42 > 10.249.172.203"
    assert "IP header's checksum fits" in first.why and "both ends" in first.why
    assert (second.frame, second.field, second.trusted) == (2, "addresses", "hex")
    assert second.text == "192.168.1.10 > 192.168.1.11"
    assert second.hex == "10.249.172.203 > 10.249.172.42"
    number = bytes([10, 249, 172, 42]) + (32896).to_bytes(2, "big")
    assert capture.names == {number: Address("10.249.172.42", "idmgratm")}


@needs_seeds
def test_the_redis_close_has_both_fins_though_its_bytes_were_edited() -> None:
    segments, capture = seed("redis-6378-close.tcpdump-X.txt")
    telnet = Address("10.249.172.42", "33964")
    c, s = 81895238, 2221282036
    assert [(endpoints(x.flow), x.flags, x.seq, x.ack, x.window, x.length) for x in segments] == [
        ((REDIS, telnet), FIN | ACK, s, c, 227, 0),
        ((telnet, REDIS), ACK, c, s, 229, 0),  # its FIN is not acknowledged here
        ((telnet, REDIS), FIN | ACK, c, s + 1, 229, 0),  # but here
        ((REDIS, telnet), ACK, s + 1, c + 1, 227, 0),
    ]
    assert options.timestamps(segments[3].options) == (2281089935, 3050393502)
    assert [segment.time_ns for segment in segments] == [
        clock(time) for time in ("18:19:17.089341", "18:19:17.089579", "18:19:17.089787", "18:19:17.089833")
    ]
    assert capture.problems == []
    addresses, first, third = capture.disagreements
    assert (addresses.frame, addresses.field, addresses.trusted) == (1, "addresses", "hex")
    assert (first.frame, first.field, first.trusted) == (1, "flags", "text")
    assert "6f0e is only an offload's partial sum" in first.why
    assert (third.frame, third.field, third.trusted) == (3, "flags", "text")
    assert "f4e0 fits what the line prints and not the bytes" in third.why
    assert "[F.] (FIN, ACK)" in str(third) and "[.] (ACK)" in str(third)


@needs_seeds
def test_the_table_of_absolute_numbers_is_no_tcpdump_text() -> None:
    assert not looks_like_text((SEEDS / "rpc-2333.absolute.tsv").read_bytes())


# ---- which of line and bytes is believed

SEGMENT = Spec(sport=50_000, dport=6378, flags=PSH | ACK, seq=1000, ack=5000, window=512, payload=b"PING")

EDITS = [
    ({"flags": "F."}, "flags", PSH | ACK, FIN | ACK),
    ({"seq": 1001}, "seq", 1000, 1001),
    ({"ack": 5001}, "ack", 5000, 5001),
    ({"win": 0}, "win", 512, 0),
]


def _value(segment: Segment, field: str) -> object:
    return segment.window if field == "win" else getattr(segment, field)


@pytest.mark.parametrize(("edit", "field", "true", "edited"), EDITS)
def test_an_edited_line_is_not_believed_when_the_checksum_fits_the_bytes(
    edit: dict[str, Any], field: str, true: object, edited: object
) -> None:
    segments, capture = read(printed(SEGMENT, **edit) + rows(packet(SEGMENT)))
    assert _value(segments[0], field) == true
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == (field, "hex")
    assert "fits the bytes" in found.why


@pytest.mark.parametrize(("edit", "field", "true", "edited"), EDITS)
@pytest.mark.parametrize("checksum", ["partial", "zero"])
def test_an_edited_line_is_believed_when_no_checksum_speaks_for_the_bytes(
    edit: dict[str, Any], field: str, true: object, edited: object, checksum: str
) -> None:
    segments, capture = read(printed(SEGMENT, **edit) + rows(packet(SEGMENT._replace(checksum=checksum))))
    assert _value(segments[0], field) == edited
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == (field, "text")
    assert ("partial sum" if checksum == "partial" else "fits neither") in found.why


@pytest.mark.parametrize("at", [27, 31, 33, 35])  # in seq, ack, flags, window
def test_edited_bytes_are_found_out_by_the_checksum_they_still_carry(at: int) -> None:
    data = bytearray(packet(SEGMENT))
    data[at] ^= 1
    segments, capture = read(printed(SEGMENT) + rows(bytes(data)))
    got = segments[0]
    assert (got.flags, got.seq, got.ack, got.window) == (PSH | ACK, 1000, 5000, 512)
    (found,) = capture.disagreements
    assert found.trusted == "text"
    assert "so the bytes were edited" in found.why


def test_a_length_is_what_the_ip_checksum_proves() -> None:
    segments, capture = read(printed(SEGMENT._replace(checksum="zero"), length=40) + rows(packet(SEGMENT)))
    assert segments[0].length == 4
    assert [(found.field, found.trusted) for found in capture.disagreements] == [("length", "hex")]


def test_addresses_are_the_lines_when_no_checksum_proves_the_bytes() -> None:
    data = bytearray(packet(SEGMENT._replace(checksum="zero")))
    data[10] ^= 0xFF  # the IP header's checksum
    segments, capture = read(printed(SEGMENT, source="192.168.1.1") + rows(bytes(data)))
    assert endpoints(segments[0].flow)[0] == Address("192.168.1.1", "50000")
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == ("addresses", "text")


def test_ipv6_addresses_are_proven_by_the_tcp_checksum() -> None:
    six = SEGMENT._replace(source="::1", destination="fe80::2", checksum="partial")
    segments, capture = read(printed(six, destination="fe80::3") + rows(packet(six)))
    assert segments[0].flow == six.flow
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == ("addresses", "hex")
    assert "pseudo-header" in found.why


def test_a_name_contradicts_no_number_and_is_kept_for_display() -> None:
    segments, capture = read(printed(SEGMENT, source="my.host", dport="snapp") + rows(packet(SEGMENT)))
    assert segments[0].flow == SEGMENT.flow
    assert capture.disagreements == []
    assert capture.names == {
        bytes([10, 0, 0, 1]) + (50_000).to_bytes(2, "big"): Address("my.host", "50000"),
        bytes([10, 0, 0, 2]) + (6378).to_bytes(2, "big"): Address("10.0.0.2", "snapp"),
    }


def test_a_line_whose_bytes_are_missing_stays_in_its_connection() -> None:
    answer = SEGMENT._replace(
        source="10.0.0.2", destination="10.0.0.1", sport=6378, dport=50_000, seq=5000, ack=1004
    )
    text = printed(SEGMENT, source="192.168.1.1") + rows(packet(SEGMENT))
    text += printed(answer, destination="192.168.1.1")
    segments, _ = read(text)
    assert [segment.flow for segment in segments] == [SEGMENT.flow, answer.flow]
    assert segments[1].data == b""


def test_a_replaced_address_is_reported_once() -> None:
    once = printed(SEGMENT, source="192.168.1.1") + rows(packet(SEGMENT))
    segments, capture = read(once * 50)
    assert len(segments) == 50
    assert len(capture.disagreements) == 1


def test_edited_ports_are_seen() -> None:
    segments, capture = read(printed(SEGMENT, dport=6379) + rows(packet(SEGMENT)))
    assert segments[0].flow == SEGMENT.flow
    assert [(found.field, found.text, found.hex) for found in capture.disagreements] == [
        ("ports", "50000 > 6379", "50000 > 6378")
    ]


def test_ports_edited_in_the_bytes_are_found_out() -> None:
    data = bytearray(packet(SEGMENT))
    data[23] ^= 1
    segments, capture = read(printed(SEGMENT) + rows(bytes(data)))
    assert segments[0].flow == SEGMENT.flow
    assert [(found.field, found.trusted) for found in capture.disagreements][:1] == [("ports", "text")]


def test_reserved_bits_that_tcpdump_does_not_print_are_no_disagreement() -> None:
    odd = SEGMENT._replace(flags=PSH | ACK | 0x100)
    segments, capture = read(printed(odd, flags="P.") + rows(packet(odd)))
    assert segments[0].flags == PSH | ACK | 0x100
    assert capture.disagreements == []


# ---- damaged and foreign lines

LINE = printed(Spec(ack=5))


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_line_ends(encoding: str, newline: str) -> None:
    content = (LINE * 3).replace("\n", newline).encode(encoding)
    assert looks_like_text(content[:100])
    segments, capture = read(content)
    assert (len(segments), capture.problems) == (3, [])


def test_a_last_line_without_an_end_counts() -> None:
    segments, _ = read(LINE + LINE.rstrip("\n"))
    assert len(segments) == 2


def test_a_very_long_line_is_cut_and_told() -> None:
    segments, capture = read(LINE + LINE.rstrip("\n") + ": " + "x" * 1_000_000 + "\n" + LINE)
    assert [segment.frame for segment in segments] == [1, 2, 3]
    (problem,) = capture.problems
    assert problem.startswith("line 2 is longer than")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n\n",
        b"\0" * 500,
        b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00",
        b'{"captures": []}\n',
        b"IP addresses are numbers.\n",
        b"2024-01-01 12:00:00 INFO starting\n",
        b"12:00:01 server started\n",
        b"\xff\xfe",
        bytes(range(256)),
    ],
)
def test_what_is_not_tcpdumps_text_does_not_look_like_it(head: bytes) -> None:
    assert not looks_like_text(head)


@pytest.mark.parametrize(
    "head",
    [
        b"12:00:00.000000 IP a.1 > b.2: Flags [S], seq 1, win 1, length 0",
        b"IP a.1 > b.2: Flags [S], seq 1, win 1, length 0\n",
        b"tcpdump: listening on lo\n",
        b"12:00:00.000000 ARP, Request who-has 10.0.0.1 tell 10.0.0.2, length 28\n",
        b"12:00:00.000000 eth0  In  IP 10.0.0.1.1 > 10.0.0.2.2: Flags [S], seq 1, win 1, length 0\n",
        b"some words\n12:00:00.000000 IP a.1 > b.2: Flags [.], ack 1, win 1, length 0\n",
    ],
)
def test_what_is_tcpdumps_text_looks_like_it(head: bytes) -> None:
    assert looks_like_text(head)


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


def test_an_rst_is_one() -> None:
    segments, _ = read("12:00:00.000000 IP a.1 > b.2: Flags [R], seq 106, win 0, length 0\n")
    assert (segments[0].flags, segments[0].seq, segments[0].ack, segments[0].window) == (RST, 106, 0, 0)
