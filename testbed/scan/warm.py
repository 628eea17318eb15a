"""Imported by the server that other processes are forked from: what is compiled is loaded once for all."""

from __future__ import annotations

import io

from ..wire.pcap import PcapWriter
from ..wire.reader import open_capture
from ..wire.segment import Packet
from .passing import Pass
from .verdicts import Verdicts


def scan_a_syn() -> None:
    """Scan a capture of one packet."""
    ip = bytes.fromhex("4500002800010000400600007f0000017f000001")
    tcp = bytes.fromhex("c754091d0000000a00000000500200ff00000000")
    stream = io.BytesIO()
    PcapWriter(stream, 101).write(Packet(1, 0, 101, ip + tcp, len(ip + tcp)))
    stream.seek(0)
    with open_capture(stream) as capture:
        for _ in Pass(capture, Verdicts(), lambda batch, places: None).pieces():
            pass


scan_a_syn()
