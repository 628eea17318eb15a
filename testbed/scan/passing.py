"""One pass over one capture: the compiled walk, and the pure core where that stops.

    pieces of the file --> records --> frames --> follow --> over --> batches of connections
                              |           |          |
                              | a record  | a packet | a connection that the records cannot hold
                              v           v          v
                         wire.pcap(ng)  wire.decode  tcp.Connection

What the compiled code leaves to the pure core is handed over at once, in its place, so that nothing is
read twice and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from ..errors import UnreadableInput
from ..tcp.connection import Connection
from ..wire.options import offered
from ..wire.pcap import FILE_HEADER_SIZE, PcapParser, Row
from ..wire.pcapng import MAX_BLOCK, PcapngParser
from ..wire.reader import CaptureFile
from ..wire.segment import Segment
from .batch import Batch
from .compiled import entry
from .flows import UNKNOWN_HASH
from .follow import PURE, ROOM, TAKEN, take, taken
from .frames import FRAMING, NO_SCALE, OTHER, SECOND
from .incarnations import let_go, note_ended, rare_of
from .layout import Array, Gone, Int, Of, Scalar, Tables
from .memory import empty_tables, with_room
from .records import MORE, SECOND_NS, UNKNOWN_CLOCK, done_with_packet, walk_pcap, walk_pcapng
from .revive import Record, revived, store
from .verdicts import Verdicts

PIECE: Final = 1 << 19
"""Bytes asked for at once: they stay in the processor's cache, and what is done once for all of them is
little beside them."""

MOST_PACKETS: Final = (1 << 32) - PIECE
"""Frame numbers are kept in 32 bits."""

Sink = Callable[[Batch, Array], object]
"""Takes connections that are over, and the place of each one's verdict."""


class Pass:
    """Goes through a capture once.

    verdicts     what the places handed to `sink` mean
    connections  how many there were
    segments     TCP segments
    secondly     packets that `wire.decode` was asked about
    by_pure      connections that the pure core followed

    Error handling: as `wire.reader`; UnreadableInput for a text, which has no packets.
    """

    def __init__(self, capture: CaptureFile, verdicts: Verdicts, sink: Sink) -> None:
        if not isinstance(capture.parser, PcapParser | PcapngParser):
            raise UnreadableInput(
                f"{capture.path}: it is a text, which `testbed explain` reads; scan takes pcap and pcapng"
            )
        self.capture = capture
        self.parser = capture.parser
        self.verdicts = verdicts
        self.secondly = self.by_pure = 0
        self._sink = sink
        self._tables = empty_tables()
        self._pure: dict[int, Connection] = {}
        self._offset = 0
        self._interfaces: Array = np.zeros((0, 3), np.int64)
        walk = self._walk_pcap if isinstance(self.parser, PcapParser) else self._walk_pcapng
        self._walk: Callable[[Array, int], int] = walk

    @property
    def connections(self) -> int:
        return int(self._tables.scalars[Scalar.OPENED])

    @property
    def segments(self) -> int:
        return int(self._tables.scalars[Scalar.SEGMENTS])

    def pieces(self) -> Iterator[int]:
        """Go through it; yields after each piece how many bytes that was."""
        buffer, kept = np.empty(2 * PIECE, np.uint8), 0
        while size := self.capture.read_into(buffer.data[kept : kept + PIECE]):
            end = kept + size
            done = self._walk(buffer[:end], 0)
            kept = end - done
            rest = buffer[done:end]
            if kept + PIECE > buffer.size:
                buffer = np.empty(2 * buffer.size, np.uint8)
            buffer[:kept] = rest
            self._offset += done
            self._check_size()
            yield size
        if kept:
            self._feed_parser(buffer[:kept], 0)
        self.parser.finish()
        self._finish()
        self._tell_capture()

    # ---- records

    def _walk_pcap(self, data: Array, at: int) -> int:
        """Take what is whole in `data`; answers how much of it that was."""
        parser = self.parser
        assert isinstance(parser, PcapParser)
        if parser.magic is None:
            if len(data) < FILE_HEADER_SIZE:
                return at
            parser.feed(data[:FILE_HEADER_SIZE].tobytes())
            at = FILE_HEADER_SIZE
        if parser.magic is None or parser.version < (2, 4):
            self._feed_parser(data[at:], None)  # it keeps what is not whole, and knows where that began
            return len(data)
        little, header = parser.magic.order == "<", parser.magic.record_header
        scale = 1 if parser.magic.nanoseconds else 1000
        framing = FRAMING.get(parser.link_type, OTHER)
        while True:
            why, at = walk_pcap(self._tables, data, at, little, header, scale, framing, parser.link_type)
            if why == MORE:
                return int(at)
            if why in (ROOM, PURE, SECOND):
                at = self._stopped(why, data, at)
            else:
                self._feed_parser(data[at : at + header], at)  # it will say what is wrong, and stop
                return len(data)

    def _walk_pcapng(self, data: Array, at: int) -> int:
        parser = self.parser
        assert isinstance(parser, PcapngParser)
        if parser.to_skip:
            at = min(parser.to_skip, len(data))
            self._feed_parser(data[:at], 0)
        while not parser.stopped:
            if parser.order:
                why, at = walk_pcapng(self._tables, data, at, parser.order == "<", self._interfaces)
                if why == MORE:
                    return int(at)
                if why in (ROOM, PURE, SECOND):
                    at = self._stopped(why, data, at)
                    continue
            elif len(data) < at + 12:
                return at
            size = self._block_size(data, at)
            if at + size > len(data):
                if size <= MAX_BLOCK:
                    return at
                size = len(data) - at
            self._feed_parser(data[at : at + size], at)
            self._interfaces = _interfaces(parser)
            at += size
        return len(data)

    def _block_size(self, data: Array, at: int) -> int:
        """How long the block says that it is; so much as shows what is wrong, where it cannot be."""
        order = self.parser.order if isinstance(self.parser, PcapngParser) else ""
        head = data[at : at + 12].tobytes()
        if head[:4] == b"\x0a\x0d\x0d\x0a" or not order:
            if len(data) < at + 28:
                return 28
            order = ">" if head[8:] == b"\x1a\x2b\x3c\x4d" else "<"
        return max(28, int.from_bytes(head[4:8], "big" if order == ">" else "little"))

    def _feed_parser(self, data: Array, at: int | None) -> None:
        """Have the parser read what is odd; `at` is where in this piece it begins."""
        parser, scalars = self.parser, self._tables.scalars
        parser.packets = int(scalars[Scalar.FRAME])
        if at is not None:
            parser.offset = self._offset + at
        if isinstance(parser, PcapngParser):
            parser.last_time_ns = int(scalars[Scalar.LAST_TIME_NS])
        for row in parser.feed(data.tobytes()):
            self._second(row)
        scalars = self._tables.scalars
        scalars[Scalar.FRAME] = parser.packets
        if isinstance(parser, PcapngParser):
            scalars[Scalar.LAST_TIME_NS] = parser.last_time_ns

    # ---- where the compiled walk stops

    def _stopped(self, why: int, data: Array, at: int) -> int:
        """See to what the walk stopped at; answers where to go on."""
        if why == ROOM:
            self._make_room()
            return at
        scalars = self._tables.scalars
        start, stop = int(scalars[Scalar.AT]), int(scalars[Scalar.STOP])
        row = (
            int(scalars[Scalar.FRAME]) + 1,
            int(scalars[Scalar.TIME_NS]),
            int(scalars[Scalar.LINK]),
            data[start:stop].tobytes(),
            int(scalars[Scalar.ORIGINAL]),
        )
        if why == SECOND:
            self._second(row)
        else:
            (segment,) = self.capture.decoder.segments([row])
            self._feed_pure(segment)
        return int(done_with_packet(self._tables))

    def _second(self, row: Row) -> None:
        """A packet that the pure decoder is asked about."""
        self.secondly += 1
        for segment in self.capture.decoder.segments([row]):
            while (answer := self._take(segment)) == ROOM:
                self._make_room()
            if answer == PURE:
                self._feed_pure(segment)
            else:
                assert answer == TAKEN

    def _take(self, segment: Segment) -> int:
        flow = segment.flow
        size = (len(flow) - 4) // 2
        source, destination = flow[:size].rjust(16, b"\0"), flow[size : 2 * size].rjust(16, b"\0")
        s0, s1, d0, d1 = (
            np.uint64(int.from_bytes(half, "big"))
            for half in (source[:8], source[8:], destination[:8], destination[8:])
        )
        scale = offered(segment.options)[1]
        answer = _take(
            self._tables,
            segment.frame,
            segment.time_ns,
            size == 16,
            s0,
            s1,
            d0,
            d1,
            int.from_bytes(flow[-4:-2], "big"),
            int.from_bytes(flow[-2:], "big"),
            segment.flags,
            segment.seq or 0,
            segment.ack,
            segment.window,
            segment.length,
            NO_SCALE if scale is None else scale,
        )
        return int(answer)

    def _feed_pure(self, segment: Segment) -> None:
        """A segment of a connection that the records cannot hold, or no longer."""
        t = self._tables
        place, side = int(t.scalars[Scalar.INDEX]), int(t.scalars[Scalar.SIDE])
        rare = int(_rare_of(t, place))
        of, ends, rares = t.connections[place], t.ends[2 * place : 2 * place + 2], t.rare[rare : rare + 2]
        number = int(of["number"])
        connection = self._pure.get(number)
        if connection is None:
            self.by_pure += 1
            connection = self._pure[number] = revived(Record(of, ends, rares), segment.frame)
        connection.feed(segment, side == 0)
        store(connection, of, ends, rares)
        _taken(t, place, segment.time_ns)

    # ---- what is over

    def _make_room(self) -> None:
        self._hand_over(0)
        self._tables = with_room(self._tables)

    def _hand_over(self, end_ns: int) -> None:
        t = self._tables
        count = int(t.scalars[Scalar.OVER])
        if not count:
            return
        batch = Batch.over(t, count, end_ns)
        t.scalars[Scalar.OVER] = 0
        self._sink(batch, self.verdicts.of(batch, self._pure, self.capture.icmp_about, end_ns))
        if self._pure:
            for number in batch.of["number"][batch.of["bits"] & Of.PURE != 0].tolist():
                self._pure.pop(number, None)

    def _finish(self) -> None:
        self._hand_over(0)
        end_ns = int(self._tables.scalars[Scalar.END_NS])
        place = 0
        while place < self._tables.scalars[Scalar.USED]:
            place = int(_let_all_go(self._tables, place))
            self._hand_over(end_ns)
            self._tables = with_room(self._tables)

    def _check_size(self) -> None:
        if self._tables.scalars[Scalar.FRAME] > MOST_PACKETS:
            raise UnreadableInput(
                f"{self.capture.path}: more than {MOST_PACKETS:,} packets; cut it with `editcap -c`"
            )

    def _tell_capture(self) -> None:
        """Add what was counted here to what the pure core has counted."""
        scalars, parser, decoder = self._tables.scalars, self.parser, self.capture.decoder
        parser.packets = int(scalars[Scalar.FRAME])
        parser.truncated += int(scalars[Scalar.TRUNCATED])
        for name, place in (("UDP", Scalar.UDP), ("ARP", Scalar.ARP)):
            if scalars[place]:
                decoder.other[name] = decoder.other.get(name, 0) + int(scalars[place])
        if scalars[Scalar.LONGER]:
            first = int(scalars[Scalar.FIRST_LONGER])
            decoder.first_longer = min(first, decoder.first_longer or first)
            decoder.longer += int(scalars[Scalar.LONGER])
            decoder.cut += int(scalars[Scalar.CUT])


def _interfaces(parser: PcapngParser) -> Array:
    """The section's interfaces as `walk_pcapng` wants them."""
    rows = [
        (
            FRAMING.get(one.link_type, OTHER),
            one.link_type,
            _unit(one.units) if not one.offset_ns else UNKNOWN_CLOCK,
        )
        for one in parser.interfaces
    ]
    return np.array(rows, np.int64).reshape(len(rows), 3)


def _unit(units: int) -> int:
    """Nanoseconds in a unit of which a second has so many."""
    return SECOND_NS // units if units <= SECOND_NS and SECOND_NS % units == 0 else UNKNOWN_CLOCK


@entry
def _take(
    t: Tables,
    frame: Int,
    time_ns: Int,
    v6: Int,
    s0: Any,
    s1: Any,
    d0: Any,
    d1: Any,
    sport: Int,
    dport: Int,
    flags: Int,
    seq: Int,
    ack: Int,
    window: Int,
    length: Int,
    scale: Int,
) -> Int:
    return take(
        t,
        frame,
        time_ns,
        v6 != 0,
        s0,
        s1,
        d0,
        d1,
        sport,
        dport,
        flags,
        seq,
        ack,
        window,
        length,
        scale,
        UNKNOWN_HASH,
    )


@entry
def _rare_of(t: Tables, place: Int) -> Int:
    return rare_of(t, place)


@entry
def _taken(t: Tables, place: Int, time_ns: Int) -> None:
    """What is to be done after a segment that the pure core took."""
    note_ended(t, place)
    taken(t, time_ns)


@entry
def _let_all_go(t: Tables, place: Int) -> Int:
    """Let go all that are live from a place on, as many as there is room for; answers where to go on."""
    while place < t.scalars[Scalar.USED]:
        if t.connections[place].bits and not let_go(t, place, Gone.FINISHED, 0, 0):
            break
        place += 1
    return place
