"""Blocks are put together here from draft-ietf-opsawg-pcapng section 4, so that the expectations do not
come from the parser."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire.pcap import MAX_CAPTURED, Row
from testbed.wire.pcapng import MAX_BLOCK, PcapngParser


class Section:
    """Blocks in one byte order."""

    def __init__(self, order: str = "<") -> None:
        self.order = order

    def block(self, kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) & 3)
        length = struct.pack(self.order + "I", len(body) + 12)
        return struct.pack(self.order + "I", kind) + length + body + length

    def option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self.order + "HH", code, len(value)) + value + bytes(-len(value) & 3)

    def header(self, major: int = 1) -> bytes:
        return self.block(0x0A0D0D0A, struct.pack(self.order + "IHHq", 0x1A2B3C4D, major, 0, -1))

    def interface(self, link: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
        return self.block(1, struct.pack(self.order + "HHI", link, 0, snaplen) + options)

    def packet(
        self, data: bytes, units: int = 0, interface: int = 0, original: int = -1, options: bytes = b""
    ) -> bytes:
        original = len(data) if original < 0 else original
        fixed = struct.pack(
            self.order + "IIIII", interface, units >> 32, units & 0xFFFFFFFF, len(data), original
        )
        return self.block(6, fixed + data + bytes(-len(data) & 3) + options)

    def u64(self, value: int) -> bytes:
        return struct.pack(self.order + "Q", value)


def read(raw: bytes, piece: int = 1 << 20) -> tuple[list[Row], PcapngParser]:
    parser = PcapngParser()
    rows = [row for at in range(0, len(raw), piece) for row in parser.feed(raw[at : at + piece])]
    parser.finish()
    return rows, parser


ORDERS = pytest.mark.parametrize("order", ["<", ">"])
S = Section()


@ORDERS
def test_each_interface_has_its_own_link_type_and_clock(order: str) -> None:
    s = Section(order)
    raw = (
        s.header()
        + s.interface(1)  # microseconds, when nothing is said
        + s.interface(101, options=s.option(9, b"\x09"))
        + s.interface(113, options=s.option(9, b"\x8a") + s.option(14, struct.pack(order + "q", -2)))
        + s.packet(b"a", 7)
        + s.packet(b"bb", 7, interface=1, original=9)
        + s.packet(b"ccc", 3 * 1024 + 512, interface=2)  # 1/1024 s, and two seconds behind
    )
    rows, parser = read(raw)
    assert rows == [(1, 7000, 1, b"a", 1), (2, 7, 101, b"bb", 9), (3, 1_500_000_000, 113, b"ccc", 3)]
    assert parser.link_numbers == [1, 101, 113]
    assert (parser.packets, parser.truncated, parser.problems, parser.drops) == (3, 1, [], None)


def test_sections_in_either_byte_order_have_their_own_interfaces() -> None:
    big = Section(">")
    raw = S.header() + S.interface(1) + S.packet(b"a") + big.header() + big.interface(228) + big.packet(b"b")
    rows, parser = read(raw)
    assert rows == [(1, 0, 1, b"a", 1), (2, 0, 228, b"b", 1)]
    assert parser.problems == []


def test_a_new_section_forgets_the_interfaces() -> None:
    rows, parser = read(
        S.header() + S.interface() + S.header() + S.packet(b"a") + S.interface() + S.packet(b"b")
    )
    assert rows == [(2, 0, 1, b"b", 1)]  # the packet left out keeps its number
    assert "interface 0" in parser.problems[0]


def test_simple_packets() -> None:
    s = S
    raw = s.header() + s.interface(1, snaplen=4) + s.packet(b"x", 3)
    raw += s.block(3, struct.pack("<I", 9) + b"abcd") + s.block(3, struct.pack("<I", 2) + b"ab")
    rows, parser = read(raw)
    assert rows[1:] == [(2, 3000, 1, b"abcd", 9), (3, 3000, 1, b"ab", 2)]
    assert parser.truncated == 1
    assert [problem for problem in parser.problems if "time" in problem] == parser.problems
    assert len(parser.problems) == 1


@ORDERS
def test_obsolete_packet_block(order: str) -> None:
    s = Section(order)

    def old(drops: int) -> bytes:
        return s.block(2, struct.pack(order + "HHIIII", 0, drops, 0, 5, 3, 60) + b"abc")

    rows, parser = read(s.header() + s.interface() + old(2) + old(0xFFFF) + old(3))
    assert rows == [(n, 5000, 1, b"abc", 60) for n in (1, 2, 3)]
    assert parser.drops == 5  # 0xFFFF is "unknown"


@ORDERS
def test_drop_counts(order: str) -> None:
    s = Section(order)

    def statistics(interface: int, ifdrop: int, osdrop: int) -> bytes:
        options = s.option(4, s.u64(99)) + s.option(5, s.u64(ifdrop)) + s.option(7, s.u64(osdrop))
        return s.block(5, struct.pack(order + "III", interface, 0, 0) + options)

    two = s.header() + s.interface() + s.interface()
    assert read(two)[1].drops is None
    assert read(two + statistics(0, 0, 0))[1].drops == 0
    # counts since the beginning: the last block of each interface holds
    assert read(two + statistics(0, 1, 2) + statistics(0, 2, 4) + statistics(1, 10, 0))[1].drops == 16
    dropped = s.packet(b"abcde", options=s.option(4, s.u64(4)) + s.option(0, b""))
    assert read(two + dropped + dropped)[1].drops == 8
    # told twice, packet by packet and as a sum: not added up
    assert read(two + dropped + dropped + statistics(0, 8, 0))[1].drops == 8
    # another section's are others
    assert read((two + dropped) * 2)[1].drops == 8
    assert read(two + statistics(7, 1, 1))[1].drops is None


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_unknown_blocks_are_skipped_and_never_held(piece: int) -> None:
    raw = S.header() + S.block(0x0BAD, bytes(5000)) + S.interface() + S.block(4, b"") + S.packet(b"a")
    parser = PcapngParser()
    rows = []
    for at in range(0, len(raw), piece):
        rows += parser.feed(raw[at : at + piece])
        assert len(parser._rest) < 200
    parser.finish()
    assert rows == [(1, 0, 1, b"a", 1)] and parser.problems == []


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (S.packet(b"abcd")[:-1], "cut inside a block, after packet 1"),
        (S.packet(b"abcd")[:3], "cut inside a block"),
        (S.block(99, bytes(50))[:-10], "cut inside a block"),
        (struct.pack("<II", 6, 0) + bytes(8), "impossible length 0"),
        (struct.pack("<II", 6, 33) + bytes(40), "impossible length 33"),
        (struct.pack("<II", 6, MAX_BLOCK + 4) + bytes(40), f"{MAX_BLOCK + 4} bytes"),
        (S.block(6, struct.pack("<IIIII", 0, 0, 0, MAX_CAPTURED + 1, 1)), f"{MAX_CAPTURED + 1} bytes"),
        (S.block(6, struct.pack("<IIIII", 0, 0, 0, 100, 100)), "100 bytes in a block with room for 0"),
        (S.packet(b"", interface=3), "interface 3"),
        (S.block(6, b""), "enhanced packet block of 0"),
        (S.block(3, b""), "simple packet block of 0"),
        (S.block(2, b""), "packet block of 0"),
        (S.block(1, b""), "interface block of 0"),
        (S.header(major=2), "version 2.0"),
        (S.header()[:8] + bytes(20), "byte-order magic"),
        (S.packet(b"ab")[:-4] + bytes(4), "two different lengths"),
        (S.packet(b"ab", options=S.option(4, b"")[:2] + b"\xff\xff"), "beyond their block"),
        (S.interface(1, 0, S.option(9, b"\x00")) + S.packet(b"ab", 1 << 62, interface=1), "impossible time"),
    ],
)
def test_what_is_wrong_is_told_and_what_is_before_it_stands(raw: bytes, says: str) -> None:
    rows, parser = read(S.header() + S.interface() + S.packet(b"good") + raw)
    assert rows[0] == (1, 0, 1, b"good", 4)
    assert len(parser.problems) == 1 and says in parser.problems[0], parser.problems


def test_a_kind_of_problem_is_told_once() -> None:
    _, parser = read(S.header() + S.interface() + S.packet(b"", interface=3) * 1000)
    assert len(parser.problems) == 1 and parser.packets == 1000


def test_no_section_header() -> None:
    assert "section header" in read(S.packet(b"a"))[1].problems[0]


@given(st.binary(max_size=300), st.integers(1, 60))
def test_any_bytes_after_a_section(raw: bytes, piece: int) -> None:
    raw = S.header() + S.interface() + raw
    rows, parser = read(raw, piece)
    whole, other = read(raw)
    assert rows == whole and len(parser.problems) == len(other.problems)


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 1 << 60)), max_size=6), st.data())
def test_mutated_files(wanted: list[tuple[bytes, int]], draw: st.DataObject) -> None:
    raw = bytearray(S.header() + S.interface() + b"".join(S.packet(d, t) for d, t in wanted))
    for _ in range(3):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    rows, _ = read(bytes(raw), 16)
    assert all(len(row[3]) <= MAX_CAPTURED for row in rows)
