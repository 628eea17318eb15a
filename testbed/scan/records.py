"""The records of a capture file, compiled: one after the other through a piece of it.

Only what is as it should be is read here.  A record that claims too much, a block of another kind, a
clock that is not counted in powers of ten: there the walk stops, and the parsers of `wire` go on.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..wire.pcap import MAX_CAPTURED
from ..wire.pcapng import ENHANCED_PACKET, EPB_DROPCOUNT, MAX_BLOCK, MAX_TIME_NS
from .ahead import DISTANCE, RING, look_ahead
from .compiled import compiled, entry, inlined
from .flows import UNKNOWN_HASH
from .frames import ETHERNET, packet
from .layout import Int, Scalar, Tables
from .words import u32, u32_swapped

MORE, ODD = 4, 5
"""Why the walk stopped, besides the answers of `packet`: the rest of a record is not there; a record, or
block, that is for the parser."""

SECOND_NS: Final = 1_000_000_000
MOST_NS: Final = MAX_TIME_NS - 1
BLOCK_HEAD: Final = 28  # type, length, interface, time in two halves, captured and original length
UNKNOWN_CLOCK: Final = 0


@inlined
def _word(data: Any, at: Int, swapped: Int) -> Int:
    return u32_swapped(data, at) if swapped else u32(data, at)


@entry
def walk_pcap(
    t: Tables, data: Any, at: Int, little: Int, header: Int, scale: Int, framing: Int, link: Int
) -> tuple[Int, Int]:
    """Take the packets of a pcap file from `at` on; answers why it stopped, and where.

    header, scale   the size of a record's header; nanoseconds in its unit
    """
    size = data.size
    scalars = t.scalars
    next_look, turn = at, scalars[Scalar.FRAME]
    while at + header <= size:
        while framing == ETHERNET and turn < scalars[Scalar.FRAME] + DISTANCE and next_look + header <= size:
            begin = next_look + header
            next_look = begin + _word(data, next_look + 8, little)
            look_ahead(t, data, begin, min(next_look, size), turn)
            turn += 1
        captured = _word(data, at + 8, little)
        if captured > MAX_CAPTURED:
            return ODD, at
        start = at + header
        stop = start + captured
        if stop > size:
            return MORE, at
        time_ns = _word(data, at, little) * SECOND_NS + _word(data, at + 4, little) * scale
        original = start + _word(data, at + 12, little)
        frame = scalars[Scalar.FRAME] + 1
        number = t.ahead[scalars[Scalar.FRAME] & (RING - 1)] if framing == ETHERNET else UNKNOWN_HASH
        answer = packet(t, framing, data, start, stop, original, frame, time_ns, number)
        if answer:
            _stopped(scalars, start, stop, stop, time_ns, link, original - start)
            return answer, at
        scalars[Scalar.FRAME] += 1
        scalars[Scalar.TRUNCATED] += stop < original
        at = stop
    return MORE, at


@entry
def walk_pcapng(t: Tables, data: Any, at: Int, little: Int, interfaces: Any) -> tuple[Int, Int]:
    """Take the packets of a pcapng section from `at` on; answers why it stopped, and where.

    interfaces   for each its framing, its link type, and the nanoseconds in its clock's unit, or
                 UNKNOWN_CLOCK
    """
    size = data.size
    scalars = t.scalars
    while at + 12 <= size:
        length = _word(data, at + 4, little)
        if (
            _word(data, at, little) != ENHANCED_PACKET
            or length & 3
            or not BLOCK_HEAD + 4 <= length <= MAX_BLOCK
        ):
            return ODD, at
        end = at + length
        if end > size:
            return MORE, at
        number = _word(data, at + 8, little)
        captured = _word(data, at + 20, little)
        start = at + BLOCK_HEAD
        stop = start + captured
        if (
            captured > MAX_CAPTURED
            or stop > end - 4
            or number >= interfaces.shape[0]
            or _word(data, end - 4, little) != length
        ):
            return ODD, at
        unit = interfaces[number, 2]
        high = _word(data, at + 12, little)
        if unit == UNKNOWN_CLOCK or high >= 1 << 31:
            return ODD, at
        units = high << 32 | _word(data, at + 16, little)
        if units > MOST_NS // unit or (
            end - 4 - stop > 3 and not _plain(data, stop + (-captured & 3), end - 4, little)
        ):
            return ODD, at
        time_ns = units * unit
        original = start + _word(data, at + 24, little)
        answer = packet(
            t,
            interfaces[number, 0],
            data,
            start,
            stop,
            original,
            scalars[Scalar.FRAME] + 1,
            time_ns,
            UNKNOWN_HASH,
        )
        if answer:
            _stopped(scalars, start, stop, end, time_ns, interfaces[number, 1], original - start)
            return answer, at
        scalars[Scalar.FRAME] += 1
        scalars[Scalar.TRUNCATED] += stop < original
        scalars[Scalar.LAST_TIME_NS] = time_ns
        at = end
    return MORE, at


@compiled
def _plain(data: Any, at: Int, end: Int, little: Int) -> Int:
    """Whether a packet's options are whole, and none of them counts lost packets."""
    while at + 4 <= end:
        word = _word(data, at, little)
        code, length = (word & 0xFFFF, word >> 16) if little else (word >> 16, word & 0xFFFF)
        if code == 0:
            return True
        at += 4 + length
        if at > end or code == EPB_DROPCOUNT:
            return False
        at += -length & 3
    return True


@compiled
def _stopped(
    scalars: Any, at: Int, stop: Int, following: Int, time_ns: Int, link: Int, original: Int
) -> None:
    """Leave word of the packet that the walk stopped at."""
    scalars[Scalar.AT], scalars[Scalar.STOP], scalars[Scalar.NEXT] = at, stop, following
    scalars[Scalar.TIME_NS], scalars[Scalar.LINK], scalars[Scalar.ORIGINAL] = time_ns, link, original


@entry
def done_with_packet(t: Tables) -> Int:
    """Count the packet that the walk stopped at, which was taken elsewhere; where to go on."""
    scalars = t.scalars
    scalars[Scalar.FRAME] += 1
    scalars[Scalar.TRUNCATED] += scalars[Scalar.STOP] - scalars[Scalar.AT] < scalars[Scalar.ORIGINAL]
    scalars[Scalar.LAST_TIME_NS] = scalars[Scalar.TIME_NS]
    following = scalars[Scalar.NEXT]
    return np.int64(following)
