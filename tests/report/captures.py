"""Captures whose payload says something, for what shows bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import dpkt

from testbed.wire.pcap import PcapWriter
from testbed.wire.segment import Packet, Segment

from ..explanation.test_reading import from_port
from ..tcp.conversation import HANDSHAKE, segments

OPTIONS = bytes.fromhex("020405b4 0402080a 00000001 00000000 01030307")
"""What Linux says in a SYN: mss 1460, sackOK, TS val 1 ecr 0, nop, wscale 7."""


def packet(segment: Segment, payload: bytes = b"") -> Packet:
    """The segment in an IPv4 packet of link type RAW, with right checksums: dpkt's work."""
    tcp = dpkt.tcp.TCP(
        sport=int.from_bytes(segment.flow[8:10], "big"),
        dport=int.from_bytes(segment.flow[10:12], "big"),
        seq=segment.seq or 0,
        ack=segment.ack,
        flags=segment.flags,
        win=segment.window,
        off=5 + len(segment.options) // 4,
        opts=segment.options,
        data=payload or bytes(segment.length),
    )
    ip = dpkt.ip.IP(src=segment.flow[:4], dst=segment.flow[4:8], p=dpkt.ip.IP_PROTO_TCP, data=tcp)
    ip.len = 20 + len(tcp)
    data = bytes(ip)
    return Packet(segment.frame, segment.time_ns, 101, data, len(data))


def write(path: Path, packets: Iterable[Packet]) -> Path:
    """A pcap file of them."""
    with path.open("wb") as stream:
        writer = PcapWriter(stream, 101, nanoseconds=True)
        for frame, one in enumerate(packets, 1):
            writer.write(one._replace(frame=frame))
    return path


def spoken(payloads: Sequence[bytes], *, port: int = 40000, closed: bool = True) -> Iterator[Packet]:
    """A client that says each of `payloads`, and closes or resets."""
    lines, at = [HANDSHAKE.strip()], 1
    for payload in payloads:
        end = at + len(payload)
        lines += [f"> P. {at}:{end}({len(payload)}) ack 1", f"< . 1:1(0) ack {end}"]
        at = end
    if closed:
        lines += [f"> F. {at}:{at}(0) ack 1", f"< F. 1:1(0) ack {at + 1}", f"> . {at + 1}:{at + 1}(0) ack 2"]
    else:
        lines.append(f"> R. {at}:{at}(0) ack 1")
    left = iter(payloads)
    for segment in from_port(segments("\n".join(lines), options=OPTIONS), port):
        yield packet(segment, next(left) if segment.length else b"")
