"""The text reader as a whole: the published transcripts row by row, edited ones, broken ones."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from testbed.wire import options
from testbed.wire.segment import Address, Segment, endpoints
from testbed.wire.text import TextCapture, looks_like_text, read_text

from .text_packets import ACK, FIN, PSH, RST, SYN, Spec, printed

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


# ---- what is taken for a text

LINE = printed(Spec(ack=5))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_line_ends(encoding: str, newline: str) -> None:
    content = (LINE * 3).replace("\n", newline).encode(encoding)
    assert looks_like_text(content[:100])
    segments, capture = read(content)
    assert (len(segments), capture.problems) == (3, [])


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


def test_an_rst_is_one() -> None:
    segments, _ = read("12:00:00.000000 IP a.1 > b.2: Flags [R], seq 106, win 0, length 0\n")
    assert (segments[0].flags, segments[0].seq, segments[0].ack, segments[0].window) == (RST, 106, 0, 0)
