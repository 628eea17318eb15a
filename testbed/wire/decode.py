"""From a captured packet to its TCP segment, or to the name of what it is instead.

    decode(packet) -> Segment | Other

`Decoder.segments` does the same for many packets at once.  Ethernet or Linux-cooked frames with
plain IPv4 and TCP take a fast path: one precompiled unpacking of the link's, the network's and TCP's
fixed headers.  All else walks the layers through two tables, `NETWORK` by EtherType and
`TRANSPORT` by IP protocol, into tunnels too (IP in IP, 6in4, GRE, VXLAN), at most `MAX_DEPTH` deep.

A packet may be cut (by the snap length) or lie about its lengths; nothing here raises for what a
packet holds.  Every offset is checked against the captured bytes before it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from . import linktype
from .linktype import IPV4, IPV6
from .pcap import Row
from .segment import Packet, Segment

MAX_DEPTH: Final = 8
"""IP headers inside each other that are followed."""

MAX_ICMP_ERRORS: Final = 10_000
"""ICMP errors that a decoder keeps; more are counted."""


class IcmpError(NamedTuple):
    """An ICMP error about a TCP segment: it is the quoted segment's sender who is told.

    frame, time_ns   as in its `Packet`
    type, code       of RFC 792 when the quoted flow is IPv4's (12 bytes), of RFC 4443 when IPv6's (36)
    quoted_flow      the direction that the quoted segment went, as `Segment.flow`
    """

    frame: int
    time_ns: int
    type: int
    code: int
    quoted_flow: bytes


class Other(NamedTuple):
    """A packet that holds no TCP segment: what it holds instead, by name."""

    protocol: str
    icmp_error: IcmpError | None = None


Decoded = Segment | Other

UNDECODABLE: Final = Other("undecodable")
_TCP_CUT: Final = Other("TCP header cut")
_TCP_MALFORMED: Final = Other("malformed TCP")
_FRAGMENT4: Final = Other("IPv4 fragment")
_FRAGMENT6: Final = Other("IPv6 fragment")
_TOO_DEEP: Final = Other("nested too deep")


class _Walk:
    """One packet on its way through the layers."""

    __slots__ = ("addresses", "data", "depth", "fragment", "frame", "time_ns", "version")

    def __init__(self, frame: int, time_ns: int, data: bytes) -> None:
        self.frame = frame
        self.time_ns = time_ns
        self.data = data
        self.depth = 0
        self.version = 0
        self.addresses = b""  # of the innermost IP header: source, destination
        self.fragment = False  # the first of several fragments


Handler = Callable[[_Walk, int, int], Decoded]
"""Takes the walk, where its layer begins, and where the layer outside says that it ends (by the
wire's lengths: that can lie beyond what was captured)."""


def _network(walk: _Walk, located: linktype.Located, end: int) -> Decoded:
    if isinstance(located, str):
        return UNDECODABLE if located == linktype.CUT else Other(located)
    kind, at = located
    handler = NETWORK.get(kind)
    if handler is not None:
        return handler(walk, at, end)
    return Other(_ETHERTYPE_NAMES.get(kind) or f"EtherType 0x{kind:04x}")


def _transport(walk: _Walk, protocol: int, at: int, end: int) -> Decoded:
    handler = TRANSPORT.get(protocol)
    if handler is not None:
        return handler(walk, at, end)
    return Other(_PROTOCOL_NAMES.get(protocol) or f"IP protocol {protocol}")


# ---- network layer

_IPV4_FIXED: Final = struct.Struct(">BxH2xHxB10x")  # RFC 791 section 3.1
_IPV6_FIXED: Final = struct.Struct(">B3xHB33x")  # RFC 8200 section 3


def _ipv4(walk: _Walk, at: int, end: int) -> Decoded:
    data = walk.data
    if len(data) < at + 20:
        return UNDECODABLE
    first, total, fragment, protocol = _IPV4_FIXED.unpack_from(data, at)
    header = (first & 0x0F) * 4
    if first >> 4 != 4 or header < 20:
        return UNDECODABLE
    if total:
        if total < header:
            return UNDECODABLE
        end = at + total
    # else: handed over before segmentation offload filled it in; what is there is the packet
    if fragment & 0x1FFF:
        return _FRAGMENT4
    walk.depth += 1
    if walk.depth > MAX_DEPTH:
        return _TOO_DEEP
    walk.version = 4
    walk.addresses = data[at + 12 : at + 20]
    walk.fragment = bool(fragment & 0x2000)
    return _transport(walk, protocol, at + header, end)


# Extension headers and how long they are: 8-byte units after the first 8 bytes (RFC 8200 section 4,
# RFC 6275, RFC 7401, RFC 5533), or AH's 4-byte units after the first 8 (RFC 4302 section 2.2).
_EXTENSION_UNIT: Final = {0: 8, 43: 8, 60: 8, 135: 8, 139: 8, 140: 8, 51: 4}
_ROUTING, _FRAGMENT = 43, 44


def _ipv6(walk: _Walk, at: int, end: int) -> Decoded:
    data = walk.data
    captured = len(data)
    if captured < at + 40:
        return UNDECODABLE
    first, payload, protocol = _IPV6_FIXED.unpack_from(data, at)
    if first >> 4 != 6:
        return UNDECODABLE
    if payload:
        end = at + 40 + payload
    walk.depth += 1
    if walk.depth > MAX_DEPTH:
        return _TOO_DEEP
    walk.version = 6
    walk.addresses = data[at + 8 : at + 40]
    walk.fragment = False
    at += 40
    while True:
        unit = _EXTENSION_UNIT.get(protocol)
        if unit is not None:
            if captured < at + 8:
                return UNDECODABLE
            size = 8 + data[at + 1] * unit
            if protocol == _ROUTING:
                _final_destination(walk, at, size)
            protocol, at = data[at], at + size
        elif protocol == _FRAGMENT:
            if captured < at + 8:
                return UNDECODABLE
            offset = data[at + 2] << 8 | data[at + 3]
            if offset & 0xFFF8:
                return _FRAGMENT6
            walk.fragment = walk.fragment or bool(offset & 1)
            protocol, at = data[at], at + 8
        else:
            return _transport(walk, protocol, at, end)


def _final_destination(walk: _Walk, at: int, size: int) -> None:
    """On its way through a routing header a packet's destination is the next stop; the connection is
    with the last one (RFC 8200 section 4.4, RFC 6275 section 6.4, RFC 8754 section 2)."""
    data = walk.data
    kind, left = data[at + 2], data[at + 3]
    if left == 0 or size < 24 or len(data) < at + size:
        return
    if kind in (0, 2):
        last = at + 8 + (size - 8) // 16 * 16 - 16
    elif kind == 4:
        last = at + 8  # segments are listed last one first
    else:
        return
    walk.addresses = walk.addresses[:16] + data[last : last + 16]


# ---- transport layer

_TCP_FIXED: Final = struct.Struct(">4xIIHH4x")  # RFC 9293 section 3.1


def _tcp(walk: _Walk, at: int, end: int) -> Decoded:
    data = walk.data
    if len(data) < at + 20 or end < at + 20:
        if walk.fragment:
            return _FRAGMENT4 if walk.version == 4 else _FRAGMENT6
        return _TCP_MALFORMED if end < at + 20 else _TCP_CUT
    seq, ack, bits, window = _TCP_FIXED.unpack_from(data, at)
    payload_at = at + (bits >> 10 & 0x3C)
    if payload_at < at + 20 or payload_at > end:
        return _TCP_MALFORMED  # no receiver takes such a segment
    return Segment(
        walk.frame,
        walk.time_ns,
        walk.addresses + data[at : at + 4],
        bits & 0xFFF,
        seq,
        ack,
        window,
        end - payload_at,
        data[at + 20 : payload_at],
        data,
        at,
    )


def _udp(walk: _Walk, at: int, end: int) -> Decoded:
    """UDP is not ours, but VXLAN carries Ethernet in it (RFC 7348 section 5): 8 bytes each."""
    data = walk.data
    if len(data) >= at + 16 and data[at + 2 : at + 4] == b"\x12\xb5" and data[at + 8] & 0x08:
        inner = _network(walk, linktype.ethernet(data, at + 16), end)
        if inner is not UNDECODABLE:
            return inner
    return Other("UDP")


def _ah(walk: _Walk, at: int, end: int) -> Decoded:
    """IPv4's authentication header; IPv6's is among the extension headers."""
    if len(walk.data) < at + 8:
        return UNDECODABLE
    return _transport(walk, walk.data[at], at + 8 + walk.data[at + 1] * 4, end)


def _gre(walk: _Walk, at: int, end: int) -> Decoded:
    """RFC 2784, RFC 2890; version 1 is PPTP's (RFC 2637)."""
    data = walk.data
    if len(data) < at + 4:
        return UNDECODABLE
    bits, kind = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
    size = 4
    for bit in (0x8000, 0x2000, 0x1000) if not bits & 7 else (0x2000, 0x1000, 0x0080):
        if bits & bit:
            size += 4
    if bits & 0x4000:
        return Other("GRE")  # source routing, which RFC 2784 took away
    if kind == 0x880B:
        return _network(walk, linktype.ppp(data, at + size), end)
    if kind == 0x88BE:  # ERSPAN: type I has no header, type II (numbered) has 8 bytes
        kind, size = 0x6558, size + (8 if bits & 0x1000 else 0)
    if kind == 0x6558:
        return _network(walk, linktype.ethernet(data, at + size), end)
    return _network(walk, linktype.ethertype(data, kind, at + size), end) if kind >= 0x600 else Other("GRE")


# ---- ICMP errors

_ICMP_ERRORS: Final = frozenset({3, 4, 11, 12})
"""RFC 792: destination unreachable (fragmentation needed with it), source quench, time exceeded,
parameter problem."""
_ICMPV6_ERRORS: Final = frozenset({1, 2, 3, 4})
"""RFC 4443: destination unreachable, packet too big, time exceeded, parameter problem."""


def _icmp(walk: _Walk, at: int, end: int) -> Decoded:
    return _icmp_error(walk, at, "ICMP", IPV4, _ICMP_ERRORS)


def _icmpv6(walk: _Walk, at: int, end: int) -> Decoded:
    return _icmp_error(walk, at, "ICMPv6", IPV6, _ICMPV6_ERRORS)


def _icmp_error(walk: _Walk, at: int, name: str, kind: int, errors: frozenset[int]) -> Other:
    data = walk.data
    if len(data) < at + 8 or data[at] not in errors:
        return Other(name)
    flow = _quoted_flow(data, at + 8, kind)
    if not flow:
        return Other(name)
    return Other(name, IcmpError(walk.frame, walk.time_ns, data[at], data[at + 1], flow))


def _quoted_flow(data: bytes, at: int, kind: int) -> bytes:
    """The flow of the TCP segment whose IP header is quoted at `at`; b"" when there is none.  Eight
    bytes after the IP header is all that must be quoted (RFC 792), so no more than the ports is read."""
    if kind == IPV4:
        if len(data) < at + 20 or data[at + 9] != 6 or data[at] >> 4 != 4:
            return b""
        ports = at + (data[at] & 0x0F) * 4
        addresses = data[at + 12 : at + 20]
    else:
        if len(data) < at + 40 or data[at] >> 4 != 6:
            return b""
        addresses, protocol, ports = data[at + 8 : at + 40], data[at + 6], at + 40
        while protocol in _EXTENSION_UNIT or protocol == _FRAGMENT:
            if len(data) < ports + 8:
                return b""
            size = 8 + (data[ports + 1] * _EXTENSION_UNIT[protocol] if protocol != _FRAGMENT else 0)
            protocol, ports = data[ports], ports + size
        if protocol != 6:
            return b""
    flow = addresses + data[ports : ports + 4]
    return flow if len(flow) in (12, 36) else b""


# ---- the tables

NETWORK: Final[dict[int, Handler]] = {IPV4: _ipv4, IPV6: _ipv6}
"""By EtherType."""

TRANSPORT: Final[dict[int, Handler]] = {
    1: _icmp,
    4: _ipv4,  # IP in IP, RFC 2003
    6: _tcp,
    17: _udp,
    41: _ipv6,  # 6in4, RFC 4213
    47: _gre,
    51: _ah,
    58: _icmpv6,
}
"""By IP protocol number."""

_ETHERTYPE_NAMES: Final = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x8137: "IPX",
    0x8808: "Ethernet flow control",
    0x8809: "LACP",
    0x8863: "PPPoE discovery",
    0x888E: "EAPOL",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x88F7: "PTP",
}

_PROTOCOL_NAMES: Final = {
    2: "IGMP",
    33: "DCCP",
    46: "RSVP",
    50: "ESP",
    59: "IPv6 no next header",
    88: "EIGRP",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    115: "L2TP",
    132: "SCTP",
    136: "UDP-Lite",
}


def decode(packet: Packet) -> Decoded:
    """The TCP segment in `packet`, or what it holds instead."""
    return _decode_row(*packet)


def _decode_row(frame: int, time_ns: int, link_type: int, data: bytes, original_length: int) -> Decoded:
    row = linktype.link_type(link_type)
    if row.locate is None:
        return Other(f"link type {row.name}")
    end = max(original_length, len(data))
    return _network(_Walk(frame, time_ns, data), row.locate(data, 0), end)


# ---- many at once

# One unpacking for the common packet.  From the EtherType on: EtherType, version and header length,
# type of service as one word; total length; flags, fragment offset, time to live, protocol as one
# word; addresses and ports, which lie together when IP has no options; sequence number,
# acknowledgment, header length and flags, window.
_FROM_ETHERTYPE: Final = "IH2xI2x12sIIHH4x"
_PLAIN_IPV4, _PLAIN_IPV4_MASK = 0x08004500, 0xFFFFFF00
_WHOLE_TCP, _WHOLE_TCP_MASK = 0x00000006, 0x3FFF00FF

_FAST: Final = {1: 12, 113: 14}
"""Link type -> where its EtherType is, for those whose EtherType comes right before what it names."""


class Decoder:
    """Decodes a capture's packets and keeps count of what was no TCP segment.

    other               packets that hold no segment, by protocol name
    icmp_errors         the first MAX_ICMP_ERRORS errors that quote a segment
    icmp_about          the same by the flow that they quote
    icmp_errors_seen    how many there were in all
    longer              segments that end, by their IP header, after the packet's recorded original
                        length; with it the first one's frame
    cut                 those of them that their records say were captured whole
    """

    def __init__(self) -> None:
        self.other: dict[str, int] = {}
        self.icmp_errors: list[IcmpError] = []
        self.icmp_about: dict[bytes, list[IcmpError]] = {}
        self.icmp_errors_seen = 0
        self.longer = self.first_longer = self.cut = 0

    def segments(self, rows: Iterable[Row]) -> list[Segment]:
        """The segments in `rows`, in their order."""
        found: list[Segment] = []
        add = found.append
        new = tuple.__new__  # a named tuple's own constructor takes twice as long
        link = size = -1
        for row in rows:
            frame, time_ns, link_type, data, original = row
            if link_type != link:
                link = link_type
                ethertype_at = _FAST.get(link, -1)
                unpack = struct.Struct(f">{max(ethertype_at, 0)}x{_FROM_ETHERTYPE}").unpack_from
                tcp_at = ethertype_at + 22
                options_at = tcp_at + 20
                size = options_at if ethertype_at >= 0 else 1 << 62
            if len(data) >= size:
                kind, total, whole, flow, seq, ack, bits, window = unpack(data)
                if kind & _PLAIN_IPV4_MASK == _PLAIN_IPV4 and whole & _WHOLE_TCP_MASK == _WHOLE_TCP:
                    header = bits >> 10 & 0x3C
                    length = total - 20 - header
                    if header >= 20 and length >= 0:
                        if tcp_at + total - 20 > original:
                            self._longer(frame, tcp_at + total - 20, len(data), original)
                        add(
                            new(
                                Segment,
                                (
                                    frame,
                                    time_ns,
                                    flow,
                                    bits & 0xFFF,
                                    seq,
                                    ack,
                                    window,
                                    length,
                                    data[options_at : tcp_at + header],
                                    data,
                                    tcp_at,
                                ),
                            )
                        )
                        continue
            decoded = _decode_row(*row)
            if isinstance(decoded, Segment):
                add(decoded)
                at = decoded.tcp_at
                end = at + (data[at + 12] >> 4) * 4 + decoded.length
                if end > original:
                    self._longer(frame, end, len(data), original)
            else:
                self._count(decoded)
        return found

    def _longer(self, frame: int, end: int, captured: int, original: int) -> None:
        """By its IP header this packet ends at `end`, which is after its record says it does."""
        if end <= captured:
            return  # only the record's length is wrong
        self.first_longer = self.first_longer or frame
        self.longer += 1
        if captured >= original:
            self.cut += 1

    def _count(self, other: Other) -> None:
        self.other[other.protocol] = self.other.get(other.protocol, 0) + 1
        if other.icmp_error is not None:
            self.icmp_errors_seen += 1
            if len(self.icmp_errors) < MAX_ICMP_ERRORS:
                self.icmp_errors.append(other.icmp_error)
                self.icmp_about.setdefault(other.icmp_error.quoted_flow, []).append(other.icmp_error)
