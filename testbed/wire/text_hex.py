"""The bytes that tcpdump shows below a line (-x, -X, -xx, -XX), and the headers in them.

    <TAB>0x0010:  0af9 ac2a 18ea 84ac 8466 12f4 04e1 9f46  ...*.....f.....F
         offset   up to 16 bytes, two or one to a word     the same as characters (-X, -XX)

Published transcripts are annotated by hand: ``{4500 ... ac2a}``, ``【8010】00e3``.  Whatever is no
hexadecimal digit is taken out of the words; the characters begin at the first two blanks in a row.

The headers are unpacked here, without the binary decoder, because what is asked is another thing:
not what the segment is, but what its checksums prove of bytes that somebody may have edited.
"""

from __future__ import annotations

import enum
import re
import struct
from typing import Final, NamedTuple

MAX_BYTES: Final = 1 << 18
"""Bytes of one packet that are kept: the largest a snapshot length allows (262,144)."""

_LINE: Final = re.compile(
    r"\s{0,40}0x([0-9a-f]{4,8})(?::|\s)\s*(\S.*)?", re.IGNORECASE | re.ASCII | re.DOTALL
)

# A mark that a hand put around words, with at most one blank on each side: two are a column's end
_MARK: Final = re.compile(r" ?[^0-9a-fA-F\s]+ ?", re.ASCII)
_COLUMN: Final = re.compile(r"\s{2,}|\t", re.ASCII)
_BLANKS: Final = re.compile(r"\s+", re.ASCII)

# Where an IP header may begin: after no link header, NULL's, Ethernet's, SLL's, Ethernet's with a
# VLAN tag, SLL2's; and where the link header names the protocol, if it does
_STARTS: Final = ((0, None), (4, None), (14, 12), (16, 14), (18, 16), (20, 0))
_ETHERTYPE: Final = {4: b"\x08\x00", 6: b"\x86\xdd"}
_TCP: Final = 6


class Row(NamedTuple):
    """One line of bytes.  `data` is None when its words are damaged."""

    offset: int
    data: bytes | None


class Proof(enum.Enum):
    """What a TCP checksum says.  `describe` of `Header` puts it in words."""

    FITS = "fits"  # the segment as the bytes show it
    PARTIAL = "partial"  # only the pseudo-header: the network card was to do the rest
    CUT = "cut"  # cannot be summed: not all of the segment is shown
    WRONG = "wrong"


class Header(NamedTuple):
    """The IP and TCP headers found in the bytes of one packet.

    data        the IP packet, as far as it is shown
    tcp_at      where the TCP header begins in it
    addresses   source and destination, 4 or 16 bytes each, one after the other
    ports       both, 4 bytes
    flags       the 12 bits from the reserved ones to FIN
    length      payload bytes by the IP header
    options     raw
    ip_fits     whether the IP header's checksum does (IPv6 has none: False)
    checksum    the TCP checksum, as it stands in the header
    proof       what it says
    """

    data: bytes
    tcp_at: int
    addresses: bytes
    ports: bytes
    seq: int
    ack: int
    flags: int
    window: int
    length: int
    options: bytes
    ip_fits: bool
    checksum: int
    proof: Proof

    @property
    def flow(self) -> bytes:
        return self.addresses + self.ports

    @property
    def addresses_proven(self) -> bool:
        """Whether a checksum that covers the addresses fits: IP's, or TCP's pseudo-header."""
        return self.ip_fits or self.proof in (Proof.FITS, Proof.PARTIAL)

    def fits_with(self, seq: int, ack: int, flags: int, window: int, options: bytes) -> bool:
        """Whether the TCP checksum would fit if the header held these values (flags: the low 8 bits)."""
        if self.proof is Proof.CUT or len(options) != len(self.options):
            return False
        tcp = bytearray(self.data[self.tcp_at :])
        struct.pack_into(">II", tcp, 4, seq, ack)
        tcp[13] = flags & 0xFF
        struct.pack_into(">H", tcp, 14, window)
        tcp[20 : 20 + len(options)] = options
        return self._fits(bytes(tcp))

    def fits_with_ports(self, ports: bytes) -> bool:
        """Whether the TCP checksum would fit if these were the ports."""
        return self.proof is not Proof.CUT and self._fits(ports + self.data[self.tcp_at + 4 :])

    def _fits(self, tcp: bytes) -> bool:
        return _fold(_pseudo(self.addresses, len(tcp)) + _sum(tcp)) == 0xFFFF


def read_row(line: str) -> Row | None:
    """The bytes in `line`; None when it is no line of bytes."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    words = _COLUMN.split(_MARK.sub("", match[2] or ""), maxsplit=1)[0]
    digits = _BLANKS.sub("", words)[:32]
    if not digits or len(digits) % 2:
        return Row(int(match[1], 16), None)
    return Row(int(match[1], 16), bytes.fromhex(digits))


def find_header(data: bytes) -> Header | None:
    """The TCP segment in the bytes of a packet, with or without its link header.

    None where there is no whole TCP header directly in an IP packet (fragments, tunnels, IPv6's
    extension headers, and whatever was cut): then the printed line stands alone.
    """
    plausible = None
    for start, marked in _STARTS:
        header = _header(data[start:])
        if header is None or (
            marked is not None and data[marked : marked + 2] != _ETHERTYPE[header.data[0] >> 4]
        ):
            continue
        if header.addresses_proven:
            return header
        plausible = plausible or header
    return plausible


def _header(packet: bytes) -> Header | None:
    if len(packet) < 40:
        return None
    version = packet[0] >> 4
    if version == 4:
        tcp_at = (packet[0] & 0x0F) * 4
        total, fragment = struct.unpack_from(">H2xH", packet, 2)
        if tcp_at < 20 or packet[9] != _TCP or fragment & 0x1FFF:
            return None
        addresses = packet[12:20]
        ip_fits = len(packet) >= tcp_at and _fold(_sum(packet[:tcp_at])) == 0xFFFF
    elif version == 6:
        tcp_at = 40
        payload = int.from_bytes(packet[4:6], "big")
        total = payload + 40 if payload else 0
        if packet[6] != _TCP:
            return None
        addresses = packet[8:40]
        ip_fits = False
    else:
        return None
    # a length of 0 was handed over before segmentation offload filled it in
    packet = packet[: total or len(packet)]
    if len(packet) < tcp_at + 20:
        return None
    seq, ack, bits, window, checksum = struct.unpack_from(">IIHHH", packet, tcp_at + 4)
    options_at, options_end = tcp_at + 20, tcp_at + (bits >> 12) * 4
    length = (total or len(packet)) - options_end
    if not options_at <= options_end <= len(packet) or length < 0:
        return None
    return Header(
        data=packet,
        tcp_at=tcp_at,
        addresses=addresses,
        ports=packet[tcp_at : tcp_at + 4],
        seq=seq,
        ack=ack,
        flags=bits & 0x0FFF,
        window=window,
        length=length,
        options=packet[options_at:options_end],
        ip_fits=ip_fits,
        checksum=checksum,
        proof=_proof(packet, addresses, tcp_at, (total or len(packet)) - tcp_at, checksum),
    )


def _proof(packet: bytes, addresses: bytes, tcp_at: int, size: int, checksum: int) -> Proof:
    """What the checksum proves of the segment of `size` bytes (RFC 9293 section 3.1)."""
    pseudo = _pseudo(addresses, size)
    # An offloading sender leaves the sum over the pseudo-header, not complemented, for the card
    partial = checksum == _fold(pseudo)
    if len(packet) - tcp_at < size:
        return Proof.PARTIAL if partial else Proof.CUT
    if _fold(pseudo + _sum(packet[tcp_at:])) == 0xFFFF:
        return Proof.FITS
    return Proof.PARTIAL if partial else Proof.WRONG


def _pseudo(addresses: bytes, size: int) -> int:
    """The sum over the pseudo-header: addresses, protocol and the segment's size in bytes (IPv6's,
    RFC 8200 section 8.1, has wider fields; the sum is the same)."""
    return _sum(addresses) + _TCP + (size >> 16) + (size & 0xFFFF)


def _sum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    return sum(struct.unpack(f">{len(data) // 2}H", data))


def _fold(total: int) -> int:
    """The ones' complement sum in 16 bits (RFC 1071)."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
