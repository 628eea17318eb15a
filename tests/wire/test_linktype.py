"""Frames are written down from the sources that the table's functions name."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire.linktype import CUT, LINK_TYPES, Located, link_type, name

IP4 = b"\x45" + bytes(19)
IP6 = b"\x60" + bytes(39)
MACS = bytes(12)
SNAP = bytes.fromhex("aaaa03 000000")
LOOP = "loopback, other family"


def frame(text: str) -> bytes:
    return bytes.fromhex(text)


# link type, what comes before the IP header, the EtherType found
LEADS_ON = [
    (1, MACS + frame("0800"), 0x0800),
    (1, MACS + frame("86dd"), 0x86DD),
    (1, MACS + frame("8100 0001 0800"), 0x0800),
    (1, MACS + frame("88a8 0001 8100 0002 86dd"), 0x86DD),
    (1, MACS + frame("9100 0001 9100 0002 8100 0003 0800"), 0x0800),
    (1, MACS + frame("893f 000000000000 8100 0001 0800"), 0x0800),  # E-TAG
    (1, MACS + frame("001c") + SNAP + frame("0800"), 0x0800),
    (1, MACS + frame("8100 0001 001c") + SNAP + frame("86dd"), 0x86DD),
    (1, MACS + frame("001c 060603"), 0x0800),
    (1, MACS + frame("8864 11000001 0016 0021"), 0x0800),
    (1, MACS + frame("8864 11000001 002a 0057"), 0x86DD),
    (1, MACS + frame("8847 00001140"), 0x0800),  # one label, bottom of stack
    (1, MACS + frame("8847 00001040 00002140"), 0x0800),
    (1, MACS + frame("0806"), 0x0806),
    (9, frame("ff03 0021"), 0x0800),
    (9, frame("0021"), 0x0800),
    (9, frame("21"), 0x0800),  # protocol field compressed
    (9, frame("57"), 0x86DD),
    (10, frame("50") + MACS + SNAP + frame("0800"), 0x0800),
    (10, bytes(3) + frame("50") + MACS + SNAP + frame("0800"), 0x0800),
    (12, b"", 0x0800),
    (14, b"", 0x0800),
    (101, b"", 0x0800),
    (50, frame("ff03 0021"), 0x0800),
    (51, frame("11000001 0016 0021"), 0x0800),
    (104, frame("0f00 0800"), 0x0800),
    (228, b"", 0x0800),
    (229, b"", 0x86DD),
    *[(link, frame(family), 0x0800) for link in (0, 108) for family in ("02000000", "00000002")],
    *[
        (link, struct.pack(order + "I", family), 0x86DD)
        for link in (0, 108)
        for order in "<>"
        for family in (10, 24, 28, 30)
    ],
    (113, frame("0000 0001 0006") + bytes(8) + frame("0800"), 0x0800),
    (113, frame("0000 0001 0006") + bytes(8) + frame("8100 0001 86dd"), 0x86DD),
    (113, frame("0000 0001 0006") + bytes(8) + frame("0004") + SNAP + frame("0800"), 0x0800),
    (276, frame("0800 0000 00000001 0001 00 06") + bytes(8), 0x0800),
    (276, frame("86dd 0000 00000001 0001 00 06") + bytes(8), 0x86DD),
    # data from a station; QoS data with HT control; with four addresses
    (105, frame("0801") + bytes(22) + SNAP + frame("0800"), 0x0800),
    (105, frame("8881") + bytes(22) + frame("0000 00000000") + SNAP + frame("0800"), 0x0800),
    (105, frame("8803") + bytes(22) + bytes(6) + frame("0000") + SNAP + frame("86dd"), 0x86DD),
    # an aggregate: the first subframe's own 14 bytes
    (105, frame("8801") + bytes(22) + frame("8000") + bytes(14) + SNAP + frame("0800"), 0x0800),
    (127, frame("0000 0800 00000000") + frame("0801") + bytes(22) + SNAP + frame("0800"), 0x0800),
    # radiotap with timestamp (aligned to 8) and flags, which tell of padding to four bytes
    (
        127,
        frame("0000 1400 03000000")
        + bytes(8)
        + frame("20 000000")
        + frame("8801")
        + bytes(22)
        + frame("0000")
        + bytes(2)
        + SNAP
        + frame("0800"),
        0x0800,
    ),
    # two bitmaps: the flags come after them
    (
        127,
        frame("0000 1000 02000080 00000000 20 000000 8801") + bytes(24) + bytes(2) + SNAP + frame("0800"),
        0x0800,
    ),
    (239, frame("0200 0000 0800 0100 00000000 1800 0900"), 0x0800),
    (239, frame("0200 0000 0500 0a00 41000000 1800 0900"), 0x0800),
    (239, frame("0200 0000 0008 0001 00000000 0018 0009"), 0x0800),  # a big-endian machine's
]

ENDS = [
    (1, MACS + frame("0026 424203"), "STP"),
    (1, MACS + frame("0026 fefe03"), "OSI"),
    (1, MACS + frame("0026 101003"), "LLC"),
    (1, MACS + frame("8864 11000001 0016 c021"), "PPP"),
    (1, MACS + frame("8847 00001140") + bytes(8), "MPLS"),
    (0, frame("07000000"), LOOP),
    (101, b"\x50", CUT),
    (105, frame("8000") + bytes(30), "802.11 management"),
    (105, frame("d400") + bytes(8), "802.11 control"),
    (105, frame("4801") + bytes(22), "802.11 without data"),
    (105, frame("0841") + bytes(40), "802.11 encrypted"),
    (113, frame("0000 0001 0006") + bytes(8) + frame("000c"), "Linux cooked, other protocol"),
    (239, frame("0200 0000 0800 0100 00000000"), "NFLOG without packet"),
    (127, frame("0000 ff00 00000000") + bytes(20), CUT),
]


def locate(number: int, data: bytes) -> Located:
    locator = link_type(number).locate
    assert locator is not None
    return locator(data, 0)


@pytest.mark.parametrize(("number", "before", "kind"), LEADS_ON)
def test_where_the_network_layer_begins(number: int, before: bytes, kind: int) -> None:
    assert locate(number, before + (IP6 if kind == 0x86DD else IP4)) == (kind, len(before))


@pytest.mark.parametrize(("number", "data", "reason"), ENDS)
def test_what_there_is_instead(number: int, data: bytes, reason: str) -> None:
    assert locate(number, data) == reason


@pytest.mark.parametrize(("number", "before", "kind"), LEADS_ON)
def test_a_frame_cut_anywhere(number: int, before: bytes, kind: int) -> None:
    for size in range(len(before)):
        found = locate(number, before[:size])
        assert isinstance(found, str) or found[1] <= len(before)


def test_raw_is_by_version() -> None:
    assert locate(101, IP6) == (0x86DD, 0)


@pytest.mark.parametrize("row", [row for row in LINK_TYPES if row.locate], ids=lambda row: str(row.number))
@given(data=st.binary(max_size=80))
def test_any_bytes(row: object, data: bytes) -> None:
    found = locate(row.number, data)  # type: ignore[attr-defined]
    assert isinstance(found, str) or found[0] >= 0


def test_names() -> None:
    wanted = {
        0: "NULL",
        1: "ETHERNET",
        12: "RAW",
        101: "RAW",
        108: "LOOP",
        113: "LINUX_SLL",
        228: "IPV4",
        229: "IPV6",
        276: "LINUX_SLL2",
    }
    assert {number: name(number) for number in wanted} == wanted
    assert name(60_000) == "60000" and link_type(60_000).locate is None
    assert len({row.number for row in LINK_TYPES}) == len(LINK_TYPES)
