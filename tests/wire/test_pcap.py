import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire.pcap import MAX_CAPTURED, PcapParser, PcapWriter, Row
from testbed.wire.segment import Packet


def read(raw: bytes, piece: int = 1 << 20) -> tuple[list[Row], PcapParser]:
    parser = PcapParser()
    rows = [row for at in range(0, len(raw), piece) for row in parser.feed(raw[at : at + piece])]
    parser.finish()
    return rows, parser


def header(order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1, minor: int = 4, major: int = 2) -> bytes:
    return struct.pack(order + "IHHiIII", magic, major, minor, 0, 0, 65535, link)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "extra", "time_ns"),
    [
        (0xA1B2C3D4, b"", 5_000_007_000),  # microseconds
        (0xA1B23C4D, b"", 5_000_000_007),  # nanoseconds
        (0xA1B2CD34, bytes(8), 5_000_007_000),  # Kuznetzov's: eight more bytes in each header
    ],
)
def test_magics(order: str, magic: int, extra: bytes, time_ns: int) -> None:
    record = struct.pack(order + "IIII", 5, 7, 3, 60) + extra + b"abc"
    rows, parser = read(header(order, magic, 113) + record + record)
    assert rows == [(1, time_ns, 113, b"abc", 60), (2, time_ns, 113, b"abc", 60)]
    assert (parser.link_type, parser.snaplen, parser.link_numbers) == (113, 65535, [113])
    assert (parser.packets, parser.truncated, parser.problems, parser.drops) == (2, 2, [], None)


def test_the_frame_check_sequence_is_no_part_of_the_link_type() -> None:
    # draft-ietf-opsawg-pcap section 4: the upper 16 bits say how long it is
    assert read(header(link=0x2400_0001))[1].link_type == 1


@pytest.mark.parametrize("cut", [1, 15, 16, 18])
def test_a_cut_tail_is_told_and_what_is_before_it_stands(cut: int) -> None:
    record = struct.pack("<IIII", 1, 2, 3, 3) + b"abc"
    rows, parser = read(header() + record + record[:cut])
    assert [row[3] for row in rows] == [b"abc"]
    [problem] = parser.problems
    assert "cut inside packet 2" in problem and f"byte {24 + 19}" in problem


def test_a_cut_file_header() -> None:
    rows, parser = read(header()[:20])
    assert rows == [] and "file header" in parser.problems[0]


def test_an_absurd_length_ends_the_reading() -> None:
    record = struct.pack("<IIII", 1, 2, 3, 3) + b"abc"
    rows, parser = read(header() + record + struct.pack("<IIII", 1, 2, MAX_CAPTURED + 1, 0) + record * 10)
    assert len(rows) == 1 and parser.stopped
    [problem] = parser.problems
    assert "packet 2" in problem and str(MAX_CAPTURED + 1) in problem
    assert parser.feed(bytes(100)) == []  # and nothing is kept


def test_the_longest_packet_is_not_absurd() -> None:
    record = struct.pack("<IIII", 1, 2, MAX_CAPTURED, MAX_CAPTURED) + bytes(MAX_CAPTURED)
    rows, parser = read(header() + record, 4096)
    assert len(rows[0][3]) == MAX_CAPTURED and parser.problems == []


@pytest.mark.parametrize(
    ("minor", "first", "second"),
    [(2, 60, 3), (3, 60, 3), (3, 3, 60), (4, 3, 60)],  # libpcap sf-pcap.c: when the lengths were swapped
)
def test_lengths_of_old_versions(minor: int, first: int, second: int) -> None:
    rows, _ = read(header(minor=minor) + struct.pack("<IIII", 0, 0, first, second) + b"abc")
    assert rows == [(1, 0, 1, b"abc", 60)]


def test_a_version_that_nobody_wrote() -> None:
    rows, parser = read(header(major=3) + struct.pack("<IIII", 0, 0, 3, 3) + b"abc")
    assert len(rows) == 1 and "3.4" in parser.problems[0]


def test_not_pcap() -> None:
    rows, parser = read(bytes(30))
    assert rows == [] and parser.stopped and "magic" in parser.problems[0]


packets = st.lists(
    st.builds(
        lambda t, data, more: (t, data, len(data) + more),
        st.integers(0, (1 << 32) * 10**9 - 1),
        st.binary(max_size=80),
        st.integers(0, 2000),
    ),
    max_size=8,
)


@given(packets, st.booleans(), st.integers(1, 200), st.sampled_from([20, MAX_CAPTURED]))
def test_what_is_written_is_read(
    wanted: list[tuple[int, bytes, int]], nanoseconds: bool, piece: int, snaplen: int
) -> None:
    stream = io.BytesIO()
    writer = PcapWriter(stream, 101, snaplen, nanoseconds)
    for frame, (time_ns, data, original) in enumerate(wanted, 1):
        writer.write(Packet(frame, time_ns, 101, data, original))
    rows, parser = read(stream.getvalue(), piece)
    unit = 1 if nanoseconds else 1000
    assert rows == [
        (frame, time_ns // unit * unit, 101, data[:snaplen], original)
        for frame, (time_ns, data, original) in enumerate(wanted, 1)
    ]
    assert parser.problems == []
    assert parser.truncated == sum(len(row[3]) < row[4] for row in rows)


@pytest.mark.parametrize(
    "packet", [Packet(1, 0, 1, b"", 0), Packet(1, -1, 101, b"", 0), Packet(1, (1 << 32) * 10**9, 101, b"", 0)]
)
def test_what_the_format_cannot_hold(packet: Packet) -> None:
    stream = io.BytesIO()
    writer = PcapWriter(stream, 101)
    with pytest.raises(ValueError):
        writer.write(packet)
    assert len(stream.getvalue()) == 24


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_after_a_header(raw: bytes, piece: int) -> None:
    rows, parser = read(header() + raw, piece)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert read(header() + raw)[0] == rows  # however it is cut into pieces
    assert sum(16 + len(row[3]) for row in rows) == len(raw) or parser.problems
