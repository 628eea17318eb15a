"""Classic pcap files: a parser that is fed bytes, and a writer.

Source: draft-ietf-opsawg-pcap (the file header is its section 4, the packet record section 5).
The parser does no I/O: it takes a file's bytes in order, in pieces of any size, and hands back
the packets that are whole, so that it serves a file, a pipe from tcpdump and a test alike.

dpkt's reader is not used here: it drops the original length, which makes cut packets
invisible, and returns a cut last packet as though it were whole.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Protocol

from .segment import Packet

Row = tuple[int, int, int, bytes, int]
"""The fields of a `Packet` as a plain tuple: a plain tuple unpacks faster than a named one, and
between a parser and the decoder there is one of these for every packet of a file."""

MAX_CAPTURED: Final = 262_144
"""Bytes; no capture tool writes a longer packet (libpcap's MAXIMUM_SNAPLEN), so more is damage."""

FILE_HEADER_SIZE: Final = 24
_LINK_TYPE_MASK: Final = 0xFFFF  # above it lie the length of the frame check sequence and its flag


class Magic(NamedTuple):
    """What a file's first four bytes say about the rest of it."""

    order: str  # struct's byte order mark
    nanoseconds: bool
    record_header: int  # bytes before each packet


MAGICS: Final[dict[bytes, Magic]] = {
    bytes.fromhex("a1b2c3d4"): Magic(">", False, 16),
    bytes.fromhex("d4c3b2a1"): Magic("<", False, 16),
    bytes.fromhex("a1b23c4d"): Magic(">", True, 16),
    bytes.fromhex("4d3cb2a1"): Magic("<", True, 16),
    # Kuznetzov's "modified" pcap: interface, protocol and packet type follow the usual record header
    bytes.fromhex("a1b2cd34"): Magic(">", False, 24),
    bytes.fromhex("34cdb2a1"): Magic("<", False, 24),
}


class PcapParser:
    """Reads one pcap file that is handed to it piece by piece.

    link_type, snaplen    from the file header, 0 before it was seen
    packets               packets handed out so far
    truncated             those of them that are shorter than they were on the wire
    problems              one line for each thing wrong with the file
    stopped               True once nothing more can be read from it, whatever is fed
    magic, version        from the file header, None and 2.4 before it was seen
    offset                where in the file the next bytes are from, but for what was kept of the last ones

    Nothing raises: a file that stops making sense ends with a line in `problems`, and the packets
    before it stand.
    """

    def __init__(self) -> None:
        self.link_type = 0
        self.snaplen = 0
        self.packets = 0
        self.truncated = 0
        self.problems: list[str] = []
        self.stopped = False
        self.drops: int | None = None  # the format has no room for it
        self.detail = ""
        self.magic: Magic | None = None
        self._record = struct.Struct("<IIII")
        self.version = (2, 4)
        self._rest = b""
        self.offset = 0  # where in the file _rest begins

    @property
    def link_numbers(self) -> list[int]:
        """The LINKTYPE_ numbers that the file declares, in order."""
        return [self.link_type] if self.magic else []

    def feed(self, chunk: bytes) -> list[Row]:
        """Take the next bytes of the file; return the packets that they complete."""
        buffer = self._rest + chunk if self._rest else chunk
        if self.stopped:
            return []
        start = 0
        if self.magic is None:
            if len(buffer) < FILE_HEADER_SIZE:
                self._rest = buffer
                return []
            self.magic = self._read_file_header(buffer)
            if self.magic is None:
                return []
            start = FILE_HEADER_SIZE
        rows, end = self._records(buffer, start, self.magic)
        self._rest = buffer[end:]
        self.offset += end
        return rows

    def finish(self) -> None:
        """Say that the file ends here."""
        if self.stopped:
            return
        self.stopped = True
        if self.magic is None:
            self.problems.append(
                f"cut inside the file header: {len(self._rest)} of {FILE_HEADER_SIZE} bytes are there"
            )
        elif self._rest:
            self.problems.append(
                f"cut inside packet {self.packets + 1}, at byte {self.offset}: "
                f"the file ends {len(self._rest)} bytes into it"
            )

    def _read_file_header(self, buffer: bytes) -> Magic | None:
        magic = MAGICS.get(buffer[:4])
        if magic is None:
            self._stop("no pcap magic number at the beginning")
            return None
        major, minor, snaplen, network = struct.unpack_from(magic.order + "HH8xII", buffer, 4)
        self.link_type = network & _LINK_TYPE_MASK
        self.snaplen = snaplen
        self.version = (major, minor)
        self._record = struct.Struct(magic.order + "IIII")
        self.detail = "{}-endian, {}seconds{}".format(
            "big" if magic.order == ">" else "little",
            "nano" if magic.nanoseconds else "micro",
            ", modified record headers" if magic.record_header > 16 else "",
        )
        if major != 2:
            self.problems.append(f"pcap version {major}.{minor} is read as 2.4")
        return magic

    def _records(self, buffer: bytes, start: int, magic: Magic) -> tuple[list[Row], int]:
        """The whole packets in `buffer` from `start`, and where the first one that is not whole begins."""
        rows: list[Row] = []
        add = rows.append
        unpack = self._record.unpack_from
        scale = 1 if magic.nanoseconds else 1000
        header = magic.record_header
        link_type = self.link_type
        frame = self.packets
        truncated = 0
        end = len(buffer)
        odd_lengths = self.version < (2, 4)
        at = start + header  # where the packet's bytes would begin
        while at <= end:
            seconds, fraction, captured, original = unpack(buffer, at - header)
            if odd_lengths:
                captured, original = self._lengths(captured, original)
            if captured > MAX_CAPTURED:
                self._stop(
                    f"packet {frame + 1}, at byte {self.offset + at - header}, claims {captured} bytes, "
                    f"more than any capture holds ({MAX_CAPTURED}): the rest of the file was not read"
                )
                break
            stop = at + captured
            if stop > end:
                break
            frame += 1
            if captured < original:
                truncated += 1
            add((frame, seconds * 1_000_000_000 + fraction * scale, link_type, buffer[at:stop], original))
            at = stop + header
        self.packets = frame
        self.truncated += truncated
        return rows, at - header

    def _lengths(self, first: int, second: int) -> tuple[int, int]:
        """Captured and original length in files older than version 2.4.

        Up to 2.2 they were written the other way round; of 2.3 there are both kinds (libpcap,
        sf-pcap.c), and there the smaller one is what was captured.
        """
        if self.version < (2, 3) or first > second:
            return min(first, second), max(first, second)
        return first, second

    def _stop(self, problem: str) -> None:
        self.problems.append(problem)
        self.stopped = True


class Sink(Protocol):
    """What can be written to, such as a binary file."""

    def write(self, data: bytes, /) -> object: ...


class PcapWriter:
    """Writes a little-endian pcap file to `stream`, which stays the caller's to flush and close.

    Error handling: a packet of another link type, or of a time that the format cannot hold
    (before 1970 or after 2106), is a ValueError; nothing of it is written then.
    """

    def __init__(
        self, stream: Sink, link_type: int, snaplen: int = MAX_CAPTURED, nanoseconds: bool = True
    ) -> None:
        self._stream = stream
        self._link_type = link_type
        self._snaplen = snaplen
        self._nanoseconds = nanoseconds
        magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
        stream.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type))

    def write(self, packet: Packet) -> None:
        """Append `packet`, cut to the snap length; its frame number is its place in the file."""
        if packet.link_type != self._link_type:
            raise ValueError(f"a packet of link type {packet.link_type} in a file of {self._link_type}")
        seconds, fraction = divmod(packet.time_ns, 1_000_000_000)
        if not 0 <= seconds < 1 << 32:
            raise ValueError(f"time {packet.time_ns} ns does not fit pcap's 32 bits of seconds")
        if not self._nanoseconds:
            fraction //= 1000
        data = packet.data[: self._snaplen]
        original = max(packet.original_length, len(packet.data))
        self._stream.write(struct.pack("<IIII", seconds, fraction, len(data), original) + data)
