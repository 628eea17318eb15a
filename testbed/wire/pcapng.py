"""pcapng files: a parser that is fed bytes.

Source: draft-ietf-opsawg-pcapng (blocks are its section 4; the obsolete Packet Block its appendix A).
A file is a row of sections, each in its own byte order and with its own interfaces, and each
interface has its own link type, clock resolution and clock offset.  Like `pcap.PcapParser` this
does no I/O: it is fed pieces of any size and hands back the packets that are whole.

dpkt's reader is not used here: it reads every packet by the first interface's clock and link
type, and leaves out simple packet blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from .pcap import MAX_CAPTURED, Row

MAGIC: Final = b"\x0a\x0d\x0d\x0a"
"""The type of a Section Header Block: the same in either byte order."""

MAX_BLOCK: Final = 4 << 20
"""Bytes; a block of a kind that is read here and claims to be longer than this is damage."""

MAX_TIME_NS: Final = 1 << 63
"""Nanoseconds since the epoch, in the year 2262: no clock says more, and 64-bit readers hold no more."""

SECTION, INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET = MAGIC, 1, 2, 3
STATISTICS, ENHANCED_PACKET = 5, 6

_SECTION_NUMBER: Final = 0x0A0D0D0A
_SMALLEST: Final = 12  # type, length, length again
_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}

# Option codes, each within its own kind of block
_IF_TSRESOL, _IF_TSOFFSET = 9, 14
EPB_DROPCOUNT, _PACK_DROPS_UNKNOWN = 4, 0xFFFF
_ISB_IFDROP, _ISB_OSDROP = 5, 7


class Interface:
    """One interface of the section that is being read."""

    __slots__ = ("between", "link_type", "offset_ns", "snaplen", "statistics", "units")

    def __init__(self, link_type: int, snaplen: int) -> None:
        self.link_type = link_type
        self.snaplen = snaplen
        self.units = 1_000_000  # of its clock in a second
        self.offset_ns = 0
        self.between: int | None = None  # drops told packet by packet, summed
        self.statistics: int | None = None  # drops told by the last statistics block

    def time_ns(self, units: int) -> int:
        return units * 1_000_000_000 // self.units + self.offset_ns

    @property
    def drops(self) -> int | None:
        """Both ways of telling count the same packets, so the larger one holds."""
        return max((n for n in (self.between, self.statistics) if n is not None), default=None)


class PcapngParser:
    """Reads one pcapng file that is handed to it piece by piece.

    packets        packets seen so far, handed out or not: the last one's frame number
    truncated      those of them that are shorter than they were on the wire
    drops          packets that the file says were not captured; None where it says nothing
    problems       one line for each kind of thing wrong with the file
    stopped        True once nothing more can be read from it, whatever is fed

    For who reads the plain blocks himself and has this read the others (`testbed.scan`):

    order          struct's byte order mark of the section; empty before the first
    interfaces     of the section
    last_time_ns   the last packet's time: a simple packet has none of its own
    offset         where in the file the next bytes are from, but for what was kept of the last ones
    to_skip        how many of the next bytes belong to a block that is not read
    """

    def __init__(self) -> None:
        self._links: dict[int, None] = {}  # in their order; a file may name 65,536 of them
        self.packets = 0
        self.truncated = 0
        self.problems: list[str] = []
        self.stopped = False
        self.detail = ""
        self.order = ""
        self.interfaces: list[Interface] = []
        self._past_drops: int | None = None  # of the sections before this one
        self._told: set[str] = set()
        self.last_time_ns = 0
        self._rest = b""
        self.offset = 0  # where in the file _rest begins
        self.to_skip = 0
        self._head = self._enhanced = struct.Struct("<II")
        self._handlers: dict[int, Callable[[bytes, int, int], Row | None]] = {
            INTERFACE: self._interface,
            OBSOLETE_PACKET: self._obsolete_packet,
            SIMPLE_PACKET: self._simple_packet,
            STATISTICS: self._statistics,
            ENHANCED_PACKET: self._enhanced_packet,
        }

    @property
    def link_numbers(self) -> list[int]:
        """The LINKTYPE_ numbers of the interfaces seen so far, each once."""
        return list(self._links)

    @property
    def drops(self) -> int | None:
        told = [n for n in (self._past_drops, *(i.drops for i in self.interfaces)) if n is not None]
        return sum(told) if told else None

    def feed(self, chunk: bytes) -> list[Row]:
        """Take the next bytes of the file; return the packets that they complete."""
        if self.stopped:
            return []
        if self.to_skip:
            skipped = min(self.to_skip, len(chunk))
            self.to_skip -= skipped
            self.offset += skipped
            chunk = chunk[skipped:]
        buffer = self._rest + chunk if self._rest else chunk
        rows: list[Row] = []
        at = self._blocks(buffer, rows)
        self._rest = b"" if self.stopped else buffer[at:]
        self.offset += min(at, len(buffer))
        return rows

    def finish(self) -> None:
        """Say that the file ends here."""
        if self.stopped:
            return
        self.stopped = True
        if self._rest or self.to_skip:
            self.problems.append(f"cut inside a block, after packet {self.packets}")

    # ---- blocks

    def _blocks(self, buffer: bytes, rows: list[Row]) -> int:
        """Read the whole blocks in `buffer` into `rows`; return where the first one begins that is not
        whole, which lies beyond the buffer when the rest of a block is to be skipped."""
        at, end = 0, len(buffer)
        enhanced_packet = self._enhanced_packet
        while at + _SMALLEST <= end and not self.stopped:
            if buffer[at : at + 4] == MAGIC:
                if not self._begin_section(buffer, at):
                    break
                kind, length = self._head.unpack_from(buffer, at)
            elif not self.order:
                self._stop("no pcapng section header at the beginning")
                break
            else:
                kind, length = self._head.unpack_from(buffer, at)
            if length < _SMALLEST or length & 3:
                self._stop(f"the block at byte {self.offset + at} claims the impossible length {length}")
                break
            handler = self._handlers.get(kind)
            if handler is None and kind != _SECTION_NUMBER:
                if at + length > end:  # never held in memory, however long it is
                    self.to_skip = at + length - end
                    return end
                at += length
                continue
            if length > MAX_BLOCK:
                self._stop(
                    f"the block at byte {self.offset + at} claims {length} bytes, more than any of its kind"
                )
                break
            stop = at + length
            if stop > end:
                break
            if buffer[stop - 4 : stop] != buffer[at + 4 : at + 8]:
                self._tell(
                    "lengths",
                    f"the block at byte {self.offset + at} gives two different lengths; the first is taken",
                )
            if kind == ENHANCED_PACKET:
                row = enhanced_packet(buffer, at + 8, stop - 4)
            elif handler is not None:
                row = handler(buffer, at + 8, stop - 4)
            else:
                row = None
            if row is not None:
                rows.append(row)
            at = stop
        return at

    def _begin_section(self, buffer: bytes, at: int) -> bool:
        """Take on the byte order of the section whose header is at `at`; False when that is not all there
        or is not to be read."""
        if len(buffer) < at + 28:
            return False
        order = _ORDERS.get(buffer[at + 8 : at + 12])
        if order is None:
            self._stop(f"the section at byte {self.offset + at} has no byte-order magic")
            return False
        length, major, minor = struct.unpack_from(order + "4xI4xHH", buffer, at)
        if major != 1:
            self._stop(f"the section at byte {self.offset + at} is pcapng version {major}.{minor}, not 1.x")
            return False
        if length < 28:
            self._stop(f"the section header at byte {self.offset + at} claims the impossible length {length}")
            return False
        if at + length > len(buffer) and length <= MAX_BLOCK:
            return False  # the section begins when its header is whole, so that it begins once
        self._past_drops = self.drops
        self.interfaces = []
        self.order = order
        self._head = struct.Struct(order + "II")
        self._enhanced = struct.Struct(order + "IIIII")
        self.detail = "big-endian" if order == ">" else "little-endian"
        return True

    def _interface(self, buffer: bytes, at: int, end: int) -> None:
        if end < at + 8:
            return self._stop(f"an interface block of {end - at} bytes, at byte {self.offset + at - 8}")
        link_type, snaplen = struct.unpack_from(self.order + "H2xI", buffer, at)
        interface = Interface(link_type, snaplen)
        for code, value in self._options(buffer, at + 8, end):
            if code == _IF_TSRESOL and value:
                # the top bit tells powers of two from powers of ten
                interface.units = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == _IF_TSOFFSET and len(value) == 8:
                interface.offset_ns = self._number(value, signed=True) * 1_000_000_000
        self.interfaces.append(interface)
        self._links[link_type] = None
        return None

    def _enhanced_packet(self, buffer: bytes, at: int, end: int) -> Row | None:
        if end < at + 20:
            return self._bad_packet(f"an enhanced packet block of {end - at} bytes")
        number, high, low, captured, original = self._enhanced.unpack_from(buffer, at)
        data_at = at + 20
        stop = data_at + captured
        if captured > MAX_CAPTURED:
            return self._absurd(captured)
        if stop > end or number >= len(self.interfaces):
            return self._impossible(number, captured, end - data_at)
        interface = self.interfaces[number]
        if end - stop > 3:  # more than padding: options
            for code, value in self._options(buffer, stop + (-captured & 3), end):
                if code == EPB_DROPCOUNT and len(value) == 8:
                    interface.between = (interface.between or 0) + self._number(value)
        self.packets = frame = self.packets + 1
        if captured < original:
            self.truncated += 1
        # written out: this runs once a packet
        time_ns = (high << 32 | low) * 1_000_000_000 // interface.units + interface.offset_ns
        if not 0 <= time_ns < MAX_TIME_NS:
            time_ns = self._no_time(frame)
        self.last_time_ns = time_ns
        return frame, time_ns, interface.link_type, buffer[data_at:stop], original

    def _obsolete_packet(self, buffer: bytes, at: int, end: int) -> Row | None:
        if end < at + 20:
            return self._bad_packet(f"a packet block of {end - at} bytes")
        number, drops, high, low, captured, original = struct.unpack_from(self.order + "HHIIII", buffer, at)
        stop = at + 20 + captured
        if captured > MAX_CAPTURED:
            return self._absurd(captured)
        if stop > end or number >= len(self.interfaces):
            return self._impossible(number, captured, end - at - 20)
        interface = self.interfaces[number]
        if drops != _PACK_DROPS_UNKNOWN:
            interface.between = (interface.between or 0) + drops
        time_ns = interface.time_ns(high << 32 | low)
        if not 0 <= time_ns < MAX_TIME_NS:
            time_ns = self._no_time(self.packets + 1)
        return self._row(time_ns, interface.link_type, buffer[at + 20 : stop], original)

    def _simple_packet(self, buffer: bytes, at: int, end: int) -> Row | None:
        if end < at + 4:
            return self._bad_packet(f"a simple packet block of {end - at} bytes")
        if not self.interfaces:
            return self._bad_packet("a packet of interface 0, which the section does not describe")
        self._tell("simple", "simple packet blocks have no time: each was given that of the packet before it")
        interface = self.interfaces[0]
        (original,) = struct.unpack_from(self.order + "I", buffer, at)
        # its captured length is nowhere written: the least of these (section 4.4)
        captured = min(original, interface.snaplen or original, end - at - 4)
        if captured > MAX_CAPTURED:
            return self._absurd(captured)
        if end - at - 4 < min(original, interface.snaplen or original):
            self._tell("simple-short", f"packet {self.packets + 1} is longer than the block that holds it")
        return self._row(self.last_time_ns, interface.link_type, buffer[at + 4 : at + 4 + captured], original)

    def _statistics(self, buffer: bytes, at: int, end: int) -> None:
        """Counts since the capture began, so that a later block replaces an earlier one."""
        if end < at + 12:
            return
        (number,) = struct.unpack_from(self.order + "I", buffer, at)
        if number >= len(self.interfaces):
            return
        drops = [
            self._number(value)
            for code, value in self._options(buffer, at + 12, end)
            if code in (_ISB_IFDROP, _ISB_OSDROP) and len(value) == 8
        ]
        if drops:
            self.interfaces[number].statistics = sum(drops)

    # ---- parts of blocks

    def _row(self, time_ns: int, link_type: int, data: bytes, original: int) -> Row:
        self.packets += 1
        self.truncated += len(data) < original
        self.last_time_ns = time_ns
        return self.packets, time_ns, link_type, data, original

    def _options(self, buffer: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Codes and values (section 3.5), as far as their lengths make sense."""
        while at + 4 <= end:
            code, length = struct.unpack_from(self.order + "HH", buffer, at)
            stop = at + 4 + length
            if code == 0:
                return
            if stop > end:
                self._tell("options", f"options at byte {self.offset + at} run beyond their block")
                return
            yield code, buffer[at + 4 : stop]
            at = stop + (-length & 3)

    def _number(self, value: bytes, signed: bool = False) -> int:
        return int.from_bytes(value, "big" if self.order == ">" else "little", signed=signed)

    # ---- what is wrong

    def _bad_packet(self, what: str, kind: str = "") -> Row | None:
        """No packet, then.  It has its number all the same, so that later ones keep theirs."""
        self.packets += 1
        self._tell("packet " + (kind or what[:20]), f"packet {self.packets} was left out: {what}")
        return None

    def _no_time(self, frame: int) -> int:
        self._tell(
            "time", f"packet {frame} claims an impossible time; it was given that of the packet before it"
        )
        return self.last_time_ns

    def _impossible(self, number: int, captured: int, room: int) -> Row | None:
        if captured > room:
            return self._bad_packet(f"it claims {captured} bytes in a block with room for {room}", "room")
        return self._bad_packet(
            f"its interface {number} is one that the section does not describe", "interface"
        )

    def _absurd(self, captured: int) -> Row | None:
        self._stop(
            f"packet {self.packets + 1} claims {captured} bytes, more than any capture holds "
            f"({MAX_CAPTURED}): the rest of the file was not read"
        )
        return None

    def _tell(self, kind: str, problem: str) -> None:
        """Each kind of problem once: a damaged file has one of a kind in every block."""
        if kind not in self._told:
            self._told.add(kind)
            self.problems.append(problem)

    def _stop(self, problem: str) -> None:
        self.problems.append(problem)
        self.stopped = True
