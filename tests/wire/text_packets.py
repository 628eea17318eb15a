"""Packets, capture files and tcpdump's hex made by hand, for the tests of the text reader.

Written from the RFCs and tcpdump's manual, with nothing of `testbed`: what the reader answers is
compared with what was put in here.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32

ETHERNET, NULL, RAW, SLL, SLL2 = 1, 0, 101, 113, 276


class Spec(NamedTuple):
    """A segment to be put into a packet.  checksum: good, partial (offload's) or zero."""

    source: str = "10.0.0.1"
    destination: str = "10.0.0.2"
    sport: int = 50_000
    dport: int = 60_000
    flags: int = ACK
    seq: int = 0
    ack: int = 0
    window: int = 512
    options: bytes = b""
    payload: bytes = b""
    checksum: str = "good"

    @property
    def flow(self) -> bytes:
        hosts = ipaddress.ip_address(self.source).packed + ipaddress.ip_address(self.destination).packed
        return hosts + struct.pack(">HH", self.sport, self.dport)


def folded(data: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071), not complemented."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def packet(spec: Spec) -> bytes:
    """The IP packet."""
    source, destination = ipaddress.ip_address(spec.source), ipaddress.ip_address(spec.destination)
    words = 5 + len(spec.options) // 4
    header = struct.pack(
        ">HHIIHHHH",
        spec.sport,
        spec.dport,
        spec.seq,
        spec.ack,
        words << 12 | spec.flags,
        spec.window,
        0,
        1 if spec.flags & URG else 0,
    )
    tcp = header + spec.options + spec.payload
    pseudo = source.packed + destination.packed + struct.pack(">IHBB", len(tcp), 0, 0, 6)
    if spec.checksum != "zero":
        checksum = folded(pseudo) if spec.checksum == "partial" else ~folded(pseudo + tcp) & 0xFFFF
        tcp = tcp[:16] + struct.pack(">H", checksum) + tcp[18:]
    return ip(spec.source, spec.destination, 6, tcp)


def ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if a.version == 6:
        return struct.pack(">IHBB", 0x6000_0000, len(payload), protocol, 64) + a.packed + b.packed + payload
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0x4000, 64, protocol, 0)
    header += a.packed + b.packed
    return header[:10] + struct.pack(">H", ~folded(header) & 0xFFFF) + header[12:] + payload


def framed(data: bytes, link: int) -> bytes:
    """An IP packet with the header of its link."""
    six = data[0] >> 4 == 6
    ethertype = 0x86DD if six else 0x0800
    match link:
        case 1:
            return bytes(range(2, 14)) + struct.pack(">H", ethertype) + data
        case 0:
            return struct.pack("<I", 30 if six else 2) + data
        case 113:
            return struct.pack(">HHH8sH", 0, 1, 6, bytes(8), ethertype) + data
        case 276:
            return struct.pack(">HHIHBB8s", ethertype, 0, 1, 1, 0, 6, bytes(8)) + data
        case _:
            return data


def pcap(frames: Iterable[tuple[int, bytes]], link: int) -> bytes:
    """A capture file of frames, each with its time in microseconds since the epoch."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, link)]
    for us, frame in frames:
        parts.append(struct.pack("<IIII", us // 10**6, us % 10**6, len(frame), len(frame)) + frame)
    return b"".join(parts)


def rows(data: bytes) -> str:
    """The bytes as -X shows them below a line."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        words = " ".join(row[i : i + 2].hex() for i in range(0, len(row), 2))
        shown = "".join(chr(byte) if 33 <= byte <= 126 else "." for byte in row)
        lines.append(f"\t0x{at:04x}:  {words:<39}  {shown}\n")
    return "".join(lines)


def printed(spec: Spec, numbers: Sequence[int | None] = (None, None), **changed: object) -> str:
    """A line as tcpdump -n prints it, with `numbers` for seq and ack; `changed` overrides fields."""
    values: dict[str, object] = {
        "source": spec.source,
        "destination": spec.destination,
        "sport": spec.sport,
        "dport": spec.dport,
        "flags": "".join(letter for bit, letter in enumerate("FSRP.UEW") if spec.flags >> bit & 1) or "none",
        "seq": spec.seq if numbers[0] is None else numbers[0],
        "ack": spec.ack if numbers[1] is None else numbers[1],
        "win": spec.window,
        "length": len(spec.payload),
    } | changed
    seq, length = values["seq"], values["length"]
    assert isinstance(seq, int) and isinstance(length, int)
    numbered = length or spec.flags & (SYN | FIN | RST)
    kind = "IP6" if ":" in spec.source else "IP"
    addresses = f"{values['source']}.{values['sport']} > {values['destination']}.{values['dport']}"
    return (
        f"12:00:00.000000 {kind} {addresses}: Flags [{values['flags']}], "
        + (f"seq {seq}{f':{seq + length}' if length else ''}, " if numbered else "")
        + (f"ack {values['ack']}, " if spec.flags & ACK else "")
        + f"win {values['win']}, length {length}\n"
    )
