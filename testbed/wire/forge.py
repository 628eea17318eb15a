"""A TCP segment as the bytes of an Ethernet frame, checksums and all: what a link injects."""

from __future__ import annotations

import struct
from typing import Final

from ..errors import UsageError

_IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
_TCP: Final = struct.Struct(">HHIIHHHH")
_ETHERTYPE: Final = b"\x08\x00"


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the complement of the ones' complement sum of 16-bit words."""
    data += bytes(len(data) & 1)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(
    flow: bytes,
    *,
    source: bytes,
    destination: bytes,
    flags: int,
    seq: int,
    ack: int = 0,
    window: int = 65535,
    options: bytes = b"",
    payload: bytes = b"",
) -> bytes:
    """An Ethernet frame with one TCP segment over IPv4.

    flow         source and destination address and port, as `wire.segment` has them (12 bytes)
    source       the hardware address it claims to come from; `destination` likewise
    options      raw, a multiple of four bytes, 40 at the most

    Error handling: UsageError for an IPv6 flow and for options that do not fit.
    """
    if len(flow) != 12:
        raise UsageError("only IPv4 segments are forged")
    if len(options) % 4 or len(options) > 40:
        raise UsageError(f"{len(options)} bytes of TCP options: a multiple of 4 is needed, 40 at the most")
    hosts, sport, dport = flow[:8], *struct.unpack(">HH", flow[8:])
    offset = (5 + len(options) // 4) << 12
    tcp = _TCP.pack(sport, dport, seq, ack, offset | flags, window, 0, 0) + options + payload
    pseudo = hosts + struct.pack(">HH", 6, len(tcp))  # RFC 9293 section 3.1
    tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
    ip = _IPV4.pack(0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, hosts[:4], hosts[4:])
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return destination + source + _ETHERTYPE + ip + tcp
