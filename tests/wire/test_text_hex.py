"""Rows of bytes, annotated and damaged; headers and what their checksums prove."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire.text_hex import Proof, find_header, read_row

from .text_packets import ETHERNET, NULL, RAW, SLL, SLL2, Spec, framed, ip, packet, rows

FULL = bytes.fromhex("801000e36f0e00000101080a87f6ab8e")


@pytest.mark.parametrize(
    "line",
    [
        "\t0x0020:  8010 00e3 6f0e 0000 0101 080a 87f6 ab8e  ....o...........",
        "\t0x0020:  8010 00e3 6f0e 0000 0101 080a 87f6 ab8e",
        "0x0020:  8010 00e3 6f0e 0000 0101 080a 87f6 ab8e  beefbeefbeefbeef",
        "\t0x0020: 【8010】00e3 6f0e 0000 0101 080a 87f6 ab8e  ....o...........",
        "\t0x0020:  【8010】 00e3 6f0e 0000 0101 080a 87f6 ab8e  ....o...........",
        "  0x0020:  {8010 00e3 6f0e 0000 0101 080a 87f6 ab8e  {...o...........",
        "  0x0020:  8010 00e3} [6f0e] <b>0000 0101 080a 87f6 ab8e  ..".replace("<b>", "**"),
        "\t0x0020:  80 10 00 e3 6f 0e 00 00 01 01 08 0a 87 f6 ab 8e  ....o...........",
        "\t0X0020:  8010 00E3 6F0E 0000 0101 080A 87F6 AB8E  ....o...........",
        "0x0020   8010 00e3 6f0e 0000 0101 080a 87f6 ab8e  ....o...........",  # tcpdump 3
    ],
)
def test_a_full_row(line: str) -> None:
    assert read_row(line) == (0x20, FULL)


@pytest.mark.parametrize(
    ("line", "data"),
    [
        ("\t0x0030:  b5d1 4f9d                                ..O.", "b5d14f9d"),
        ("\t0x0030:  b5d1 4f9d                                {..O.", "b5d14f9d"),
        ("\t0x0030:  b5d1 4f                                  abc", "b5d14f"),
        (
            "\t0x0030:  b5d1 4f9d b5d1 4f9d b5d1 4f9d b5d1 4f    abcdefabcdefabc",
            "b5d14f9db5d14f9db5d14f9db5d14f",
        ),
        ("\t0x0030:  b5d1 4f9d", "b5d14f9d"),
    ],
)
def test_a_short_row_ends_where_its_characters_begin(line: str, data: str) -> None:
    assert read_row(line) == (0x30, bytes.fromhex(data))


@pytest.mark.parametrize("line", ["\t0x0030:", "\t0x0030:  b5d1 4f9", "\t0x0030:  ....", "0x0030: zz"])
def test_a_damaged_row(line: str) -> None:
    assert read_row(line) == (0x30, None)


@pytest.mark.parametrize(
    "line", ["", "GET / HTTP/1.1", "12:00:00.0 IP", "\t0x30", "0x003: 00", "\tx0030: 00"]
)
def test_no_row(line: str) -> None:
    assert read_row(line) is None


@given(st.binary(min_size=1, max_size=100))
def test_any_bytes_survive_being_shown(data: bytes) -> None:
    found = b""
    for line in rows(data).splitlines():
        row = read_row(line)
        assert row is not None and row.data is not None
        assert row.offset == len(found)
        found += row.data
    assert found == data


@given(st.text(max_size=60).map("\t0x0010: ".__add__) | st.text(max_size=60))
def test_any_line_is_read_without_an_exception(line: str) -> None:
    row = read_row(line)
    assert row is None or row.data is None or 1 <= len(row.data) <= 16


SPEC = Spec(flags=0x18, seq=100, ack=200, window=300, options=b"\1\1\1\0", payload=b"hello")


@pytest.mark.parametrize("link", [RAW, NULL, ETHERNET, SLL, SLL2])
@pytest.mark.parametrize("six", [False, True])
def test_a_header_is_found_behind_any_link_header(link: int, six: bool) -> None:
    spec = SPEC._replace(source="::1", destination="fe80::2") if six else SPEC
    header = find_header(framed(packet(spec), link))
    assert header is not None
    assert header.data == packet(spec)
    assert header.flow == spec.flow
    assert (header.seq, header.ack, header.flags, header.window, header.length) == (100, 200, 0x18, 300, 5)
    assert header.options == b"\1\1\1\0"
    assert header.proof is Proof.FITS
    assert header.addresses_proven
    assert header.ip_fits is not six


def test_a_header_is_found_behind_a_vlan_tag() -> None:
    frame = bytes(12) + bytes.fromhex("810000070800") + packet(SPEC)
    header = find_header(frame)
    assert header is not None and header.data == packet(SPEC)


def test_padding_behind_the_packet_is_left_out() -> None:
    header = find_header(packet(SPEC) + b"\0" * 6)
    assert header is not None and header.data == packet(SPEC)


@pytest.mark.parametrize(
    ("checksum", "proof"), [("good", Proof.FITS), ("partial", Proof.PARTIAL), ("zero", Proof.WRONG)]
)
@pytest.mark.parametrize("six", [False, True])
def test_what_the_checksum_proves(checksum: str, proof: Proof, six: bool) -> None:
    spec = SPEC._replace(source="::1", destination="fe80::2") if six else SPEC
    spec = spec._replace(checksum=checksum)
    header = find_header(packet(spec))
    assert header is not None and header.proof is proof
    assert header.addresses_proven is (proof is not Proof.WRONG or not six)


def test_a_cut_segment_cannot_be_summed() -> None:
    header = find_header(packet(SPEC)[:-1])
    assert header is not None
    assert (header.proof, header.length) == (Proof.CUT, 5)
    assert not header.fits_with(100, 200, 0x18, 300, b"\1\1\1\0")
    partial = find_header(packet(SPEC._replace(checksum="partial"))[:-1])
    assert partial is not None and partial.proof is Proof.PARTIAL


def test_the_checksum_of_the_published_close_fits_a_fin() -> None:
    """Close line 3: f4e0 fits flags 8011, the bytes say 8010 (SEEDS.md)."""
    data = bytes.fromhex(
        "4510 0034 6eef 4000 4006 5cdd 0af9 ac2a 0af9 accb 84ac 18ea 04e1 9f46 8466 12f5"
        "8010 00e5 f4e0 0000 0101 080a b5d1 4f9e 87f6 ab8e"
    )
    header = find_header(data)
    assert header is not None
    assert header.ip_fits
    assert (header.proof, header.checksum) == (Proof.WRONG, 0xF4E0)
    assert header.fits_with(header.seq, header.ack, 0x11, header.window, header.options)
    assert not header.fits_with(header.seq, header.ack, 0x10, header.window, header.options)


@pytest.mark.parametrize("checksum", ["6f16", "6f0e"])
def test_the_published_partial_checksums(checksum: str) -> None:
    """6f16 in the opening's SYN (40 bytes of TCP), 6f0e in segments of 32 (SEEDS.md)."""
    size = 40 if checksum == "6f16" else 32
    tcp = bytes.fromhex("808018ea51943a0400000000") + bytes([size // 4 << 4, 0x10, 0, 0xE5])
    tcp += bytes.fromhex(checksum + "0000") + b"\1" * (size - 20)
    header = find_header(ip("10.249.172.42", "10.249.172.203", 6, tcp))
    assert header is not None and header.proof is Proof.PARTIAL


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x45" * 20,
        packet(SPEC)[:39],
        ip("10.0.0.1", "10.0.0.2", 17, b"\0" * 30),
        ip("::1", "::2", 17, b"\0" * 30),
        packet(SPEC)[:6] + b"\0\x08" + packet(SPEC)[8:],  # a later fragment
        packet(SPEC)[:32] + b"\xf0" + packet(SPEC)[33:40],  # a data offset beyond what is there
    ],
)
def test_no_whole_header_is_none(data: bytes) -> None:
    assert find_header(data) is None


@given(st.binary(max_size=120), st.binary(min_size=45, max_size=45))
def test_any_bytes_are_searched_without_an_exception(data: bytes, noise: bytes) -> None:
    find_header(data)
    mixed = bytes(a ^ b if b < 8 else a for a, b in zip(packet(SPEC), noise, strict=False))
    header = find_header(mixed)
    assert header is None or header.length >= 0
