"""What the wire layer hands on: a `Packet` as a file holds it, and the TCP `Segment` inside it.

    bytes --(pcap, pcapng, text)--> Packet --(decode)--> Segment

Both are tuples: they are made once a packet, so that making one must cost next to nothing.

A *flow* is one direction of a four-tuple, as bytes: the source and destination addresses and
then the two ports, exactly as they lie in the packet (12 bytes for IPv4, 36 for IPv6).
Transcripts in text name hosts and services instead of numbers; their flow is the two
endpoints' names joined by NULs (``host NUL port NUL host NUL port``, with a leading ``T``).
"""

from __future__ import annotations

import enum
import ipaddress
from typing import NamedTuple


class Flag(enum.IntFlag):
    """The control bits of a TCP header, as in its 13th and 14th byte (RFC 9293 section 3.1)."""

    FIN = 0x001
    SYN = 0x002
    RST = 0x004
    PSH = 0x008
    ACK = 0x010
    URG = 0x020
    ECE = 0x040
    CWR = 0x080
    AE = 0x100


FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
"""The control bits as plain integers, for the code that runs once a packet."""


class Address(NamedTuple):
    """One end of a connection.  `host` is a numeric address, or a name where a text says so;
    `port` is a number as a string, or a service name that a transcript printed."""

    host: str
    port: str

    @property
    def as_socket(self) -> tuple[str, int]:
        """As socket calls and the kernel's tables have it.  Error handling: ValueError for a service name."""
        return self.host, int(self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Packet(NamedTuple):
    """One packet of a capture file.

    frame            its number in the file, from 1
    time_ns          nanoseconds since the epoch (a text without a date: since midnight)
    link_type        the LINKTYPE_ number of the interface it was captured on
    data             the bytes captured
    original_length  the bytes there were on the wire; more than len(data) when cut
    """

    frame: int
    time_ns: int
    link_type: int
    data: bytes
    original_length: int


class Segment(NamedTuple):
    """One TCP segment.

    frame, time_ns   as in its `Packet`
    flow             the direction it went, see the module's docstring
    flags            the 12 bits from the reserved bits to FIN, as an integer
    seq              absolute sequence number; None where a text transcript prints none
    ack              absolute acknowledgment number, 0 where the ACK flag is not set in a text
    window           the window field as sent, not scaled
    length           payload bytes by the IP header, whether or not they were all captured
    options          the TCP options, raw (`wire.options.parse` reads them)
    data, tcp_at     the captured packet and where in it the TCP header begins
                     (b"" and 0 where there is only text)
    """

    frame: int
    time_ns: int
    flow: bytes
    flags: int
    seq: int | None
    ack: int
    window: int
    length: int
    options: bytes
    data: bytes
    tcp_at: int

    def bare(self) -> Segment:
        """Without its bytes: what may be kept for long."""
        return self._replace(options=b"", data=b"", tcp_at=0) if self.data else self

    @property
    def payload(self) -> bytes:
        """The payload bytes that were captured: fewer than `length` when the capture cut them."""
        if not self.data:
            return b""
        start = self.tcp_at + (self.data[self.tcp_at + 12] >> 4) * 4
        return self.data[start : start + self.length]


def text_flow(source: Address, destination: Address) -> bytes:
    """The flow of a segment known only by the names that a transcript printed."""
    flow = "\0".join(("T" + source.host, source.port, *destination)).encode()
    return flow + b"\0" if len(flow) in (12, 36) else flow  # those lengths mean numeric addresses


def endpoints(flow: bytes) -> tuple[Address, Address]:
    """Source and destination of a flow."""
    if len(flow) not in (12, 36):
        source_host, source_port, host, port = flow[1:].decode().split("\0")[:4]
        return Address(source_host, source_port), Address(host, port)
    size = (len(flow) - 4) // 2
    source = str(ipaddress.ip_address(flow[:size]))
    destination = str(ipaddress.ip_address(flow[size : 2 * size]))
    return (
        Address(source, str(int.from_bytes(flow[-4:-2], "big"))),
        Address(destination, str(int.from_bytes(flow[-2:], "big"))),
    )


def reverse(flow: bytes) -> bytes:
    """The same four-tuple in the other direction."""
    if len(flow) == 12:
        return flow[4:8] + flow[:4] + flow[10:] + flow[8:10]
    if len(flow) == 36:
        return flow[16:32] + flow[:16] + flow[34:] + flow[32:34]
    a, b = endpoints(flow)
    return text_flow(b, a)
