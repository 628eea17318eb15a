"""What one cut of a capture holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..wire.decode import Decoder
from ..wire.pcap import PcapWriter
from ..wire.segment import Packet, Segment


@dataclass(frozen=True, slots=True)
class Recording:
    """The packets between two cuts, in the order in which they were captured.

    packets             without the capture's own sentinels, frames numbered from 1
    cut_ns              when it was cut, ns since the epoch as in the packets: what passed up to there
                        is among them
    link_type           LINKTYPE_ number
    snaplen             bytes kept of each packet
    interface_packets   packets the interface counted meanwhile, sentinels not among them;
                        None where that counter proves nothing (a filter, a shared interface)
    dropped             packets that were not captured: by the interface's count where that is a
                        proof, else by tcpdump's statistics; None when it gave none
    complete            True: as many packets as the interface counted; False: fewer, or dropped some;
                        None: nothing was seen missing, but nothing proves that nothing is
    """

    packets: list[Packet]
    cut_ns: int
    link_type: int
    snaplen: int
    interface_packets: int | None
    dropped: int | None
    complete: bool | None

    def segments(self) -> list[Segment]:
        """The TCP segments among them."""
        return Decoder().segments(self.packets)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a pcap file with nanoseconds, readable by tcpdump and Wireshark."""
        with Path(path).open("wb") as stream:
            writer = PcapWriter(stream, self.link_type, self.snaplen)
            for packet in self.packets:
                writer.write(packet)
