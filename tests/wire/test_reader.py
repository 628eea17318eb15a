import csv
import gzip
import io
import os
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.errors import UnreadableInput
from testbed.wire import reader
from testbed.wire.pcap import PcapWriter
from testbed.wire.reader import open_capture
from testbed.wire.segment import Packet, Segment, endpoints
from testbed.wire.text_trust import Disagreement

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def frame(seq: int, payload: bytes = b"hello") -> bytes:
    tcp = struct.pack(">HHIIHHHH", 1234, 80, seq, 0, 0x5018, 512, 0, 0) + payload
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + b"\x0a\0\0\1\x0a\0\0\2"
    return bytes(12) + b"\x08\0" + ip + tcp


def capture(count: int = 3, snaplen: int = 262_144, other: bytes = bytes(12) + b"\x08\x06") -> bytes:
    stream = io.BytesIO()
    writer = PcapWriter(stream, 1, snaplen)
    for n in range(1, count + 1):
        writer.write(Packet(n, n, 1, frame(n), len(frame(n))))
    writer.write(Packet(count + 1, count + 1, 1, other, len(other)))
    return stream.getvalue()


def pcapng(packets: list[bytes]) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        length = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + length + body + length

    raw = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(
        1, struct.pack("<HHI", 1, 0, 0)
    )
    for data in packets:
        fixed = struct.pack("<IIIII", 0, 0, 1, len(data), len(data))
        raw += block(6, fixed + data + bytes(-len(data) & 3))
    return raw


DIFFERENT = Disagreement(1, "seq", "5", "6", "hex", "their checksum is right")


class Transcript:
    """Stands in for what `wire.text` answers with."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.problems = ["a line that makes no sense"]
        self.disagreements = [DIFFERENT]
        self.packets = 0
        self.other: dict[str, int] = {}
        self.drops = None
        self.text = stream.read()

    def segments(self) -> Iterator[Segment]:
        self.packets = 1
        yield Segment(1, 0, bytes(12), 2, None, 0, 0, 0, b"", b"", 0)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "text_reader", lambda: (lambda head: head.startswith(b"12:"), Transcript))


@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize(
    ("raw", "format_"),
    [(capture(), "pcap"), (pcapng([frame(1), frame(2), frame(3), bytes(12) + b"\x08\x06"]), "pcapng")],
)
def test_formats(raw: bytes, format_: str, squeeze: bool, tmp_path: Path) -> None:
    path = tmp_path / "whatever.txt"  # its name says nothing
    path.write_bytes(gzip.compress(raw) if squeeze else raw)
    with open_capture(path) as opened:
        assert (opened.path, opened.format) == (str(path), format_ + (".gz" if squeeze else ""))
        segments = list(opened.segments())
    assert [(s.frame, s.seq, s.payload) for s in segments] == [(n, n, b"hello") for n in (1, 2, 3)]
    assert (opened.packets, opened.other, opened.problems, opened.truncated) == (4, {"ARP": 1}, [], 0)
    assert (opened.link_types, opened.drops, opened.disagreements) == (["ETHERNET"], None, ())
    assert "little-endian" in opened.detail
    with open_capture(path) as opened:
        packets = list(opened)
    assert all(isinstance(packet, Packet) for packet in packets)
    assert [packet.data for packet in packets[:3]] == [frame(n) for n in (1, 2, 3)]


def test_cut_packets_are_counted() -> None:
    opened = open_capture(io.BytesIO(capture(snaplen=54)))
    [first, *_] = list(opened.segments())
    assert (first.length, first.payload, opened.truncated, opened.path) == (5, b"", 3, "<stream>")


def test_text() -> None:
    opened = open_capture(io.BytesIO(b"12:00:00 IP a > b: Flags [S]\n" * 1000))
    assert (opened.format, opened.link_types, opened.packets, opened.detail) == ("text", [], 0, "")
    assert len(list(opened.segments())) == 1
    assert (opened.packets, opened.problems) == (1, ["a line that makes no sense"])
    assert (opened.disagreements, opened.drops, opened.truncated) == ([DIFFERENT], None, 0)
    assert isinstance(opened._text, Transcript) and opened._text.text.count(b"\n") == 1000
    with pytest.raises(UnreadableInput, match="only segments"):
        list(opened)
    assert open_capture(io.BytesIO(gzip.compress(b"12:00\n"))).format == "text.gz"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(capture())))
    with open_capture("-") as opened:
        assert opened.path == "-" and len(list(opened.segments())) == 3


def test_a_stream_that_was_handed_in_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(gzip.compress(capture()))
    with path.open("rb") as stream:
        with open_capture(stream) as opened:
            assert opened.path == str(path) and len(list(opened)) == 4
        assert not stream.closed


def test_a_pipe_is_read_as_soon_as_it_has_something() -> None:
    raw = capture(2)
    source, sink = os.pipe()
    os.write(sink, raw[: 24 + 16 + len(frame(1))])
    guard = threading.Timer(20, os.close, [sink])  # so that a failure here is no hang
    guard.start()
    with os.fdopen(source, "rb") as stream:
        segments = open_capture(stream).segments()
        assert next(segments).frame == 1
        os.write(sink, raw[24 + 16 + len(frame(1)) :])
        assert next(segments).frame == 2
        guard.cancel()
        os.close(sink)
        assert list(segments) == []


# ---- what cannot be read


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (gzip.compress(b""), "empty"),
        (b"\xd4\xc3\xb2\xa1" + bytes(10), "inside the file header"),
        (b"\xff\xd8\xff\xe0 a picture", "ff d8 ff e0"),
        (b"ab", "61 62"),
        (bytes(100_000), "00 00"),
        (gzip.compress(bytes(10_000_000)), "00 00"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x1f\x8b" + bytes(100), "gzip"),
        (gzip.compress(gzip.compress(capture())), "gzipped twice"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd"),
        (b"snoop\0\0\0", "snoop"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_no_capture(raw: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    path.write_bytes(raw)
    with pytest.raises(UnreadableInput) as caught:
        open_capture(path)
    message = str(caught.value)
    assert says in message and "expected a capture" in message
    assert message.startswith(f"{path}: ") and "\n" not in message


def test_nothing_to_open(tmp_path: Path) -> None:
    nothing: list[tuple[str | Path, str]] = [
        (tmp_path / "nowhere", "No such file"),
        (tmp_path, "directory"),
        (str(tmp_path / "a\0b"), "null byte"),
    ]
    for path, says in nothing:
        with pytest.raises(UnreadableInput, match=f"{says}.*expected a capture"):
            open_capture(path)


class Failing(io.RawIOBase):
    """Hands out `first`, then fails as a disk does."""

    def __init__(self, first: bytes) -> None:
        self.first = first

    def read(self, size: int = -1) -> bytes:
        if self.first:
            chunk, self.first = self.first, b""
            return chunk
        raise OSError(5, "Input/output error")


def test_reading_that_fails() -> None:
    opened = open_capture(Failing(capture()))  # type: ignore[arg-type]
    assert len(list(opened.segments())) == 3
    assert opened.problems == ["reading failed: Input/output error"]
    with pytest.raises(UnreadableInput, match="Input/output error"):
        open_capture(Failing(b""))  # type: ignore[arg-type]


def test_a_cut_gzip_stream() -> None:
    whole = gzip.compress(capture(2000), mtime=0)
    opened = open_capture(io.BytesIO(whole[: len(whole) // 2]))
    segments = list(opened.segments())
    assert 0 < len(segments) < 2000
    assert any("gzip" in problem for problem in opened.problems)


def test_a_corrupt_gzip_stream() -> None:
    whole = bytearray(gzip.compress(capture(2000), mtime=0))
    whole[-6] ^= 0xFF  # its checksum
    opened = open_capture(io.BytesIO(bytes(whole)))
    assert len(list(opened.segments())) == 2000
    assert ["gzip" in problem for problem in opened.problems] == [True]


@pytest.mark.parametrize("tagged", [False, True])
def test_a_record_shorter_than_the_ip_packet_in_it(tagged: bool) -> None:
    """A tool cut the packet and wrote the cut length as the original one."""
    stream = io.BytesIO()
    writer = PcapWriter(stream, 1)
    whole = frame(1, bytes(500))
    tag = b"\x81\0\0\1" if tagged else b""  # the walk through the layers, not the fast path
    for number, (data, original) in enumerate([(whole, 554), (whole[:80], 80), (whole[:80], 554)], 1):
        data, original = data[:12] + tag + data[12:], original + len(tag)
        writer.write(Packet(number, number, 1, data, original))
    opened = open_capture(io.BytesIO(stream.getvalue()))
    assert [segment.length for segment in opened.segments()] == [500] * 3
    assert opened.truncated == 2
    (problem,) = opened.problems
    assert problem.startswith("1 packet is longer by the IP header") and "frame 2" in problem


def test_a_link_type_that_is_not_decoded() -> None:
    stream = io.BytesIO()
    PcapWriter(stream, 195).write(Packet(1, 0, 195, b"abc", 3))
    opened = open_capture(io.BytesIO(stream.getvalue()))
    assert list(opened.segments()) == []
    assert opened.other == {"link type IEEE802_15_4_WITHFCS": 1}
    assert "not decoded" in opened.problems[0]


@pytest.mark.parametrize("squeeze", [False, True])
def test_memory_is_bounded(squeeze: bool) -> None:
    """30 MB of packets, which squeeze to less than a hundredth: a small bomb."""
    raw = capture(1)[:-30] + (struct.pack("<IIII", 1, 1, 1000, 1000) + frame(1, bytes(946))) * 30_000
    source = io.BytesIO(gzip.compress(raw, 9) if squeeze else raw)
    tracemalloc.start()
    try:
        opened = open_capture(source)
        assert sum(1 for _ in opened.segments()) >= 30_000
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


SEEDS = [
    capture(4),
    gzip.compress(capture(4), mtime=0),
    pcapng([frame(n) for n in range(4)]),
]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_mutated_captures(seed: bytes, draw: st.DataObject) -> None:
    raw = bytearray(seed)
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(st.integers(0, len(raw) - 1))
        action = draw.draw(st.sampled_from(["set", "cut", "insert", "delete"]))
        if action == "set":
            raw[at] = draw.draw(st.integers(0, 255))
        elif action == "insert":
            raw[at:at] = draw.draw(st.binary(max_size=8))
        elif action == "delete":
            del raw[at : at + draw.draw(st.integers(1, 8))]
        else:
            del raw[at + 1 :]
        if not raw:
            break
    try:
        opened = open_capture(io.BytesIO(bytes(raw)))
        for segment in opened.segments():
            endpoints(segment.flow)
            assert segment.length >= 0 and segment.time_ns >= 0
    except UnreadableInput as error:
        assert "\n" not in str(error)


# ---- the corpus


def corpus(folder: str) -> list[object]:
    files = sorted((CORPUS / folder).iterdir()) if (CORPUS / folder).is_dir() else []
    if not files:
        reason = f"no captures in {CORPUS / folder}: the corpus lies beside the project, not in it"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(path, id=path.name) for path in files]


def truth(path: Path) -> Iterator[dict[str, str]]:
    """tshark's reading, frame by frame; those with several IP layers say several things at once."""
    with gzip.open(CORPUS / "truth" / f"{path.name}.tshark.tsv.gz", "rt") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            if "," not in row["ip.src"] + row["ipv6.src"] and not (row["ip.src"] and row["ipv6.src"]):
                yield row


@pytest.mark.parametrize("path", corpus("captures"))
def test_segments_are_those_that_tshark_finds(path: Path) -> None:
    rows = {int(row["frame.number"]): row for row in truth(path)}
    with open_capture(path) as opened:
        segments = {s.frame: s for s in opened.segments() if s.frame in rows}
    assert opened.problems == [p for p in opened.problems if "longer by the IP header" in p]
    assert set(segments) == {number for number, row in rows.items() if row["tcp.flags"]}
    for number, segment in segments.items():
        row = rows[number]
        source, destination = endpoints(segment.flow)
        assert segment.flags == int(row["tcp.flags"], 16)
        assert segment.seq == int(row["tcp.seq_raw"])
        assert (source.port, destination.port) == (row["tcp.srcport"], row["tcp.dstport"])
        assert (source.host, destination.host) == (
            row["ip.src"] or row["ipv6.src"],
            row["ip.dst"] or row["ipv6.dst"],
        )
        seconds, nanoseconds = row["frame.time_epoch"].split(".")
        assert segment.time_ns == int(seconds) * 10**9 + int(nanoseconds)
        # some files were cut by tools that wrote the cut length as the original one; tshark believes
        # those, we believe the IP header
        header = (segment.data[segment.tcp_at + 12] >> 4) * 4
        room = int(row["frame.len"]) - segment.tcp_at - header
        if segment.length <= room:
            assert segment.length == int(row["tcp.len"])
        else:
            assert int(row["tcp.len"]) == room and int(row["frame.len"]) == int(row["frame.cap_len"])


@pytest.mark.parametrize("path", corpus("malformed"))
def test_malformed_captures(path: Path) -> None:
    began = time.monotonic()
    tracemalloc.start()
    try:
        with open_capture(path) as opened:
            for segment in opened.segments():
                endpoints(segment.flow)
    except UnreadableInput as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 << 20
    assert time.monotonic() - began < 10  # files of at most 31 kB: a hang, not a slow machine
