"""Capture files and what lies in them: from bytes to TCP segments, with no I/O but reading a stream.

    a path, a stream, stdin
        |  reader        finds the format by its first bytes, unzips, streams
        v
    pcap, pcapng   text         parsers that are fed bytes; text is tcpdump's printed output
        |            |
        v            |
      Packet         |          frame number, time, link type, captured bytes, original length
        |  linktype  |          where the network layer begins
        |  decode    |          IPv4, IPv6, tunnels, TCP
        v            v
           Segment              one tuple for each TCP segment; all the layers above read these
              |
              +-- options       the TCP options, read on demand
              +-- seq           arithmetic modulo 2**32

What cannot be decoded is counted by name, and what is wrong with a file is told in a line; neither
raises.  Only a source that is no capture does (`testbed.errors.UnreadableInput`).
"""

from .decode import Decoder, IcmpError, Other
from .linktype import LINK_TYPES, LinkType
from .pcap import PcapParser, PcapWriter
from .pcapng import PcapngParser
from .reader import CaptureFile, open_capture
from .segment import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    URG,
    Address,
    Flag,
    Packet,
    Segment,
    endpoints,
    reverse,
    text_flow,
)

__all__ = [
    "ACK",
    "FIN",
    "LINK_TYPES",
    "PSH",
    "RST",
    "SYN",
    "URG",
    "Address",
    "CaptureFile",
    "Decoder",
    "Flag",
    "IcmpError",
    "LinkType",
    "Other",
    "Packet",
    "PcapParser",
    "PcapWriter",
    "PcapngParser",
    "Segment",
    "endpoints",
    "open_capture",
    "reverse",
    "text_flow",
]
