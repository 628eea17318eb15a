"""The packets of some connections out of a capture, each connection as a pcap file of its own.

Link type, bytes, times and original lengths are the capture's; only frame numbers begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ..explanation.reading import Source
from ..tcp.tracker import Tracker
from ..wire.pcap import PcapWriter, Row
from ..wire.reader import open_capture
from ..wire.segment import Packet

_PIECE: Final = 1 << 16  # bytes kept before they are written: no file stays open, so there may be many


class _File:
    """A file that is written piece by piece and open only meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting = bytearray()
        path.write_bytes(b"")

    def write(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= _PIECE:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            with self._path.open("ab") as stream:
                stream.write(self._waiting)
            self._waiting.clear()


class _SubCapture:
    """The file of one connection.  Of several link types a pcap file can hold but one: the first."""

    def __init__(self, path: Path) -> None:
        self._file = _File(path)
        self._writer: PcapWriter | None = None
        self._link_type = 0
        self.left_out = 0

    def write(self, packet: Packet) -> None:
        if self._writer is None:
            self._link_type = packet.link_type
            self._writer = PcapWriter(self._file, packet.link_type)
        try:
            self._writer.write(packet)
        except ValueError:  # another link type, or a time that pcap cannot hold
            self.left_out += 1

    def close(self) -> None:
        self._file.flush()


def extract(sources: Sequence[Source], paths: Mapping[int, Path]) -> list[str]:
    """Write each connection with an id in `paths` to its file.

    Returns remarks, a line each, on what could not be written: a text has no packets, and a pcap file
    holds one link type and times from 1970 to 2106.
    """
    files: dict[int, _SubCapture] = {}
    remarks: list[str] = []
    before = 0
    for source in sources:
        with open_capture(source) as capture:
            text = capture.format.startswith("text")
            tracker = Tracker(over=lambda connection: None)
            for rows, segments in capture.pieces():
                by_frame: dict[int, Row] = {}
                for segment in segments:
                    number = before + tracker.feed(segment).id
                    if number in paths and not text:
                        if number not in files:
                            files[number] = _SubCapture(paths[number])
                        by_frame = by_frame or {row[0]: row for row in rows}
                        files[number].write(Packet._make(by_frame[segment.frame]))
            if text and any(before < number <= before + tracker.opened for number in paths):
                remarks.append(f"{capture.path} is a text: of its connections there are no packets to write")
            before += tracker.opened
    for number, file in files.items():
        file.close()
        if file.left_out:
            remarks.append(
                f"connection {number}: {file.left_out:,} packets, of another link type than its first or of "
                "a time before 1970 or after 2106, are not in its capture"
            )
    return remarks
