"""Link types: where in a captured frame the network layer begins, and which one it is.

`LINK_TYPES` is the table; the numbers are the LINKTYPE_ values of https://www.tcpdump.org/linktypes.html,
which are what files hold (not an operating system's DLT_ values).

A locator takes a frame and an offset in it and answers with an EtherType and the offset of what
that EtherType names, or with a name (a str) of what there is instead of a network layer.
Whatever framing it is, the answer is in EtherTypes, so that the decoder has one table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

Located = tuple[int, int] | str
Locator = Callable[[bytes, int], Located]

IPV4: Final = 0x0800
IPV6: Final = 0x86DD
CUT: Final = "undecodable"
"""The name of a frame too short, or too damaged, to say what it is."""

_MPLS: Final = frozenset({0x8847, 0x8848})
_PPPOE_SESSION: Final = 0x8864
_SMALLEST_ETHERTYPE: Final = 0x0600  # below it the field is a length (IEEE 802.3 clause 3.2.6)

# 802.1Q, 802.1ad, and the numbers that equipment used for stacked tags before it
TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100, 0x9200, 0x9300})

_BRIDGE_PORT_TAG: Final = 0x893F  # E-TAG, IEEE 802.1BR clause 7.5: six bytes, then the next EtherType

# Address families as the systems number them that write NULL, LOOP and NFLOG captures:
# everybody's IPv4; IPv6 of Linux, NetBSD and OpenBSD, FreeBSD, and macOS
FAMILIES: Final = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}

# PPP protocol numbers (RFC 1332, RFC 5072, RFC 3032)
_PPP_PROTOCOLS: Final = {0x0021: IPV4, 0x0057: IPV6, 0x0281: 0x8847, 0x0283: 0x8848}

# LLC service access points worth a name (IEEE 802.2)
_LLC_NAMES: Final = {0x42: "STP", 0xFE: "OSI", 0xE0: "IPX", 0xF0: "NetBIOS"}


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def ethertype(data: bytes, kind: int, at: int) -> Located:
    """Go through VLAN tags, PPPoE, MPLS labels and 802.3's LLC, to what EtherType `kind` at `at` holds."""
    while True:
        if kind in (IPV4, IPV6):
            return kind, at
        if kind in TAGS:
            if len(data) < at + 4:
                return CUT
            kind, at = _u16(data, at + 2), at + 4
        elif kind == _BRIDGE_PORT_TAG:
            if len(data) < at + 8:
                return CUT
            kind, at = _u16(data, at + 6), at + 8
        elif kind in _MPLS:
            return _mpls(data, at)
        elif kind == _PPPOE_SESSION:
            return ppp(data, at + 6)  # RFC 2516 section 4: version, code, session, length
        elif kind < _SMALLEST_ETHERTYPE:
            return _llc(data, at)
        else:
            return kind, at


def ethernet(data: bytes, at: int) -> Located:
    """Ethernet II or IEEE 802.3, tagged or not."""
    if len(data) < at + 14:
        return CUT
    return ethertype(data, _u16(data, at + 12), at + 14)


def _llc(data: bytes, at: int) -> Located:
    """IEEE 802.2: SNAP (RFC 1042) leads on to an EtherType, IP has an access point of its own."""
    if len(data) < at + 3:
        return CUT
    if data[at] == 0xAA and data[at + 1] == 0xAA:
        if len(data) < at + 8:
            return CUT
        kind = _u16(data, at + 6)
        return "LLC" if kind < _SMALLEST_ETHERTYPE else ethertype(data, kind, at + 8)
    if data[at] == 0x06:
        return IPV4, at + 3
    return _LLC_NAMES.get(data[at], "LLC")


def _mpls(data: bytes, at: int) -> Located:
    """RFC 3032: four bytes a label, the last one marked; what follows shows by its first four bits."""
    while len(data) > at + 4:
        bottom = data[at + 2] & 1
        at += 4
        if bottom:
            return _by_version(data, at) if data[at] >> 4 in (4, 6) else "MPLS"
    return CUT


def _by_version(data: bytes, at: int) -> Located:
    """Bare IP: its version is its first four bits."""
    if len(data) <= at:
        return CUT
    version = data[at] >> 4
    return (IPV4, at) if version == 4 else (IPV6, at) if version == 6 else CUT


def ppp(data: bytes, at: int) -> Located:
    """RFC 1661 section 2, with or without HDLC's address and control (RFC 1662 section 3.1) before it."""
    if data[at : at + 2] == b"\xff\x03":
        at += 2
    if len(data) < at + 2:
        return CUT
    if data[at] & 1:  # a protocol field compressed to one byte is odd (RFC 1661 section 6.5)
        protocol, at = data[at], at + 1
    else:
        protocol, at = _u16(data, at), at + 2
    kind = _PPP_PROTOCOLS.get(protocol)
    return "PPP" if kind is None else ethertype(data, kind, at)


def _pppoe(data: bytes, at: int) -> Located:
    return ethertype(data, _PPPOE_SESSION, at)


def _hdlc(data: bytes, at: int) -> Located:
    """Cisco's HDLC, or PPP in HDLC-like framing: the address byte tells them apart (RFC 1547)."""
    if len(data) < at + 4:
        return CUT
    return ppp(data, at) if data[at] == 0xFF else ethertype(data, _u16(data, at + 2), at + 4)


def _family(data: bytes, at: int) -> Located:
    """NULL and LOOP: a 32-bit address family, in whichever byte order the capturing machine had."""
    if len(data) < at + 4:
        return CUT
    word = data[at : at + 4]
    for order in (int.from_bytes(word, "little"), int.from_bytes(word, "big")):
        if order in FAMILIES:
            return FAMILIES[order], at + 4
    return "loopback, other family"


def _ipv4(data: bytes, at: int) -> Located:
    return IPV4, at


def _ipv6(data: bytes, at: int) -> Located:
    return IPV6, at


def _sll(data: bytes, at: int) -> Located:
    """Linux cooked capture: 16 bytes, the protocol last (https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html)."""
    if len(data) < at + 16:
        return CUT
    return _cooked(data, _u16(data, at + 14), at + 16)


def _sll2(data: bytes, at: int) -> Located:
    """Linux cooked capture v2: 20 bytes, the protocol first."""
    if len(data) < at + 20:
        return CUT
    return _cooked(data, _u16(data, at), at + 20)


def _cooked(data: bytes, protocol: int, at: int) -> Located:
    """Protocols below 0x0600 are Linux's own numbers there: 4 is 802.2 LLC, 1 is Novell's 802.3."""
    if protocol >= _SMALLEST_ETHERTYPE:
        return ethertype(data, protocol, at)
    return _llc(data, at) if protocol == 4 else "Linux cooked, other protocol"


def _fddi(data: bytes, at: int) -> Located:
    """FDDI: frame control and two addresses, then LLC.  Bit-swapped addresses lie at the same place;
    some systems put three bytes before it, so that what follows is aligned."""
    if len(data) < at + 13:
        return CUT
    padded = data[at + 13 : at + 15] != b"\xaa\xaa" and data[at + 16 : at + 18] == b"\xaa\xaa"
    return _llc(data, at + (16 if padded else 13))


def _ieee80211(data: bytes, at: int, aligned: bool = False) -> Located:
    """IEEE 802.11 section 9.2: only data frames that are not encrypted lead on, through LLC.

    aligned: the driver padded the header to a multiple of four bytes.
    """
    if len(data) < at + 24:
        return "802.11 control" if len(data) > at and data[at] >> 2 & 3 == 1 else CUT
    kind, subtype, flags = data[at] >> 2 & 3, data[at] >> 4, data[at + 1]
    if kind != 2:
        return ("802.11 management", "802.11 control", "", "802.11 extension")[kind]
    if subtype & 4:
        return "802.11 without data"
    if flags & 0x40:
        return "802.11 encrypted"
    size = 24 + (6 if flags & 3 == 3 else 0)  # both DS bits: a fourth address
    several = False
    if subtype & 8:  # quality of service: two bytes, and four of HT control when flagged
        several = len(data) > at + size and bool(data[at + size] & 0x80)
        size += 2 + (4 if flags & 0x80 else 0)
    if aligned:
        size = (size + 3) & ~3
    if several:  # an A-MSDU: its first subframe has an Ethernet-like header of its own
        size += 14
    return _llc(data, at + size)


def _radiotap(data: bytes, at: int) -> Located:
    """https://www.radiotap.org: little-endian length at 2, then bitmaps that say which fields follow."""
    if len(data) < at + 8:
        return CUT
    size = data[at + 2] | data[at + 3] << 8
    if size < 8 or len(data) < at + size:
        return CUT
    present = data[at + 4]
    fields = at + 4
    while fields + 4 <= at + size and data[fields + 3] & 0x80:
        fields += 4
    fields += 4
    aligned = False
    if present & 2:  # the flags, after the 8 bytes (aligned to 8) of the timestamp if there is one
        if present & 1:
            fields = at + (fields - at + 7) // 8 * 8 + 8
        aligned = fields < at + size and bool(data[fields] & 0x20)
    return _ieee80211(data, at + size, aligned)


def _nflog(data: bytes, at: int) -> Located:
    """Linux's netfilter log: family, version, resource, then attributes (length and type in the
    capturing machine's order) padded to four bytes; attribute 9 is the packet."""
    if len(data) < at + 4 or data[at + 1] != 0:
        return CUT
    for little in (True, False):
        where = at + 4
        while where + 4 <= len(data):
            first, second = _u16(data, where), _u16(data, where + 2)
            size, kind = (first, second) if not little else (_swap(first), _swap(second))
            if size < 4:
                break
            if kind & 0x7FFF == 9:
                return _by_version(data, where + 4)
            where += (size + 3) & ~3
    return "NFLOG without packet"


def _swap(value: int) -> int:
    return value >> 8 | (value & 0xFF) << 8


class LinkType(NamedTuple):
    """One row: the LINKTYPE_ number, its name without prefix, and how to find the network layer."""

    number: int
    name: str
    locate: Locator | None


LINK_TYPES: Final[tuple[LinkType, ...]] = (
    LinkType(0, "NULL", _family),
    LinkType(1, "ETHERNET", ethernet),
    LinkType(9, "PPP", ppp),
    LinkType(10, "FDDI", _fddi),
    LinkType(12, "RAW", _by_version),  # some systems' DLT_RAW, which got into files
    LinkType(14, "RAW", _by_version),
    LinkType(50, "PPP_HDLC", _hdlc),
    LinkType(51, "PPP_ETHER", _pppoe),
    LinkType(101, "RAW", _by_version),
    LinkType(104, "C_HDLC", _hdlc),
    LinkType(105, "IEEE802_11", _ieee80211),
    LinkType(108, "LOOP", _family),
    LinkType(113, "LINUX_SLL", _sll),
    LinkType(127, "IEEE802_11_RADIOTAP", _radiotap),
    LinkType(228, "IPV4", _ipv4),
    LinkType(229, "IPV6", _ipv6),
    LinkType(239, "NFLOG", _nflog),
    LinkType(276, "LINUX_SLL2", _sll2),
    # Not decoded, but a user should read what the file holds instead of a number
    LinkType(3, "AX25", None),
    LinkType(6, "IEEE802_5", None),
    LinkType(8, "SLIP", None),
    LinkType(107, "FRELAY", None),
    LinkType(117, "PFLOG", None),
    LinkType(119, "IEEE802_11_PRISM", None),
    LinkType(129, "ARCNET_LINUX", None),
    LinkType(189, "USB_LINUX", None),
    LinkType(192, "PPI", None),
    LinkType(195, "IEEE802_15_4_WITHFCS", None),
    LinkType(220, "USB_LINUX_MMAPPED", None),
    LinkType(249, "USBPCAP", None),
)

_BY_NUMBER: Final = {row.number: row for row in LINK_TYPES}


def link_type(number: int) -> LinkType:
    """The row of `number`; a row without a locator, named by the number, when it is not in the table."""
    return _BY_NUMBER.get(number) or LinkType(number, str(number), None)


def name(number: int) -> str:
    """The name of link type `number`, such as "ETHERNET"."""
    return link_type(number).name
