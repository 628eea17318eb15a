"""From a captured frame to its TCP segment, compiled, for the usual framings.

Ethernet with VLAN tags, Linux cooked (both versions), NULL, LOOP and bare IP; IPv4 with options and
without, IPv6 without extension headers.  Whatever else a frame is, or is not, `wire.decode` says: what
it would answer here is answered alike, and all else is left to it (`SECOND`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..tcp.endpoint import UNKNOWN_SCALE
from ..wire import linktype
from ..wire.options import MAX_WINDOW_SHIFT, Kind
from ..wire.segment import SYN
from .compiled import compiled, inlined
from .follow import TAKEN, take
from .layout import Int, Scalar, Tables
from .words import u16, u32, u32_swapped, u64

SECOND: Final = 3
"""What came of a packet, besides the answers of `take`: `wire.decode` is to say what it is."""

ETHERNET, COOKED, COOKED2, FAMILY, BARE, OTHER = range(6)
FRAMING: Final = {
    1: ETHERNET,
    113: COOKED,
    276: COOKED2,
    0: FAMILY,
    108: FAMILY,
    12: BARE,
    14: BARE,
    101: BARE,
}
"""By link type; all others are OTHER."""

IPV4, IPV6, ARP_TYPE = linktype.IPV4, linktype.IPV6, 0x0806
TAGS = tuple(sorted(linktype.TAGS))
FAMILIES4 = tuple(sorted(number for number, kind in linktype.FAMILIES.items() if kind == IPV4))
FAMILIES6 = tuple(sorted(number for number, kind in linktype.FAMILIES.items() if kind == IPV6))
TCP, UDP_PROTOCOL, VXLAN = 6, 17, 4789
EOL, NOP, WINDOW_SCALE = int(Kind.EOL), int(Kind.NOP), int(Kind.WINDOW_SCALE)
NO_SCALE = UNKNOWN_SCALE - 1


@inlined
def _among(number: Int, numbers: Any) -> Int:
    found = False
    for one in numbers:
        found |= one == number
    return found


@inlined
def _located(data: Any, at: Int, stop: Int, framing: Int) -> Any:
    """The EtherType and where what it names begins; 0 where `wire.linktype` is to say."""
    if framing == ETHERNET:
        if at + 14 > stop:
            return 0, 0
        kind, at = u16(data, at + 12), at + 14
    elif framing == COOKED:
        if at + 16 > stop:
            return 0, 0
        kind, at = u16(data, at + 14), at + 16
    elif framing == COOKED2:
        if at + 20 > stop:
            return 0, 0
        kind, at = u16(data, at), at + 20
    elif framing == FAMILY:
        if at + 4 > stop:
            return 0, 0
        first, second = u32_swapped(data, at), u32(data, at)
        at += 4
        if _among(first, FAMILIES4) or _among(second, FAMILIES4):
            return IPV4, at
        return IPV6 if _among(first, FAMILIES6) or _among(second, FAMILIES6) else 0, at
    elif framing == BARE:
        if at >= stop:
            return 0, 0
        version = data[np.uintp(at)] >> 4
        return IPV4 if version == 4 else IPV6 if version == 6 else 0, at
    else:
        return 0, 0
    while _among(kind, TAGS):
        if at + 4 > stop:
            return 0, 0
        kind, at = u16(data, at + 2), at + 4
    return kind, at


@inlined
def packet(
    t: Tables,
    framing: Int,
    data: Any,
    at: Int,
    stop: Int,
    original: Int,
    frame: Int,
    time_ns: Int,
    number: Any,
) -> Int:
    """Take the packet in `data[at:stop]`: TAKEN, or what is to be done about it first (ROOM, PURE, SECOND).

    original   where it ended on the wire
    number     as in `take`
    """
    kind, at = _located(data, at, stop, framing)
    zero = np.uint64(0)
    wire_end = 0
    if kind == IPV4:
        if at + 20 > stop:
            return SECOND
        first, total, fragment = np.int64(data[np.uintp(at)]), u16(data, at + 2), u16(data, at + 6)
        header = (first & 0x0F) * 4
        if first >> 4 != 4 or header < 20 or total < header or fragment & 0x3FFF:
            return SECOND
        protocol = np.int64(data[np.uintp(at + 9)])
        v6 = False
        s0, d0 = zero, zero
        s1, d1 = np.uint64(u32(data, at + 12)), np.uint64(u32(data, at + 16))
        wire_end = at + total
        at += header
    elif kind == IPV6:
        if at + 40 > stop:
            return SECOND
        size = u16(data, at + 4)
        if data[np.uintp(at)] >> 4 != 6 or not size:
            return SECOND
        protocol = np.int64(data[np.uintp(at + 6)])
        v6 = True
        s0, s1, d0, d1 = u64(data, at + 8), u64(data, at + 16), u64(data, at + 24), u64(data, at + 32)
        wire_end = at + 40 + size
        at += 40
    elif kind == ARP_TYPE:
        t.scalars[Scalar.ARP] += 1
        return TAKEN
    else:
        return SECOND
    if protocol != TCP:
        if protocol != UDP_PROTOCOL or (at + 16 <= stop and u16(data, at + 2) == VXLAN):
            return SECOND
        t.scalars[Scalar.UDP] += 1
        return TAKEN
    if at + 20 > stop or at + 20 > wire_end:
        return SECOND
    bits = u16(data, at + 12)
    payload = at + (bits >> 10 & 0x3C)
    if payload < at + 20 or payload > wire_end:
        return SECOND
    flags = bits & 0xFFF
    scale = _scale(data, at + 20, min(payload, stop)) if flags & SYN else 0
    answer = take(
        t,
        frame,
        time_ns,
        v6,
        s0,
        s1,
        d0,
        d1,
        u16(data, at),
        u16(data, at + 2),
        flags,
        u32(data, at + 4),
        u32(data, at + 8),
        u16(data, at + 14),
        wire_end - payload,
        scale,
        number,
    )
    if answer == TAKEN and wire_end > original and wire_end > stop:
        longer(t, frame, stop >= original)
    return answer


@compiled
def longer(t: Tables, frame: Int, cut: Int) -> None:
    """As `Decoder._longer`."""
    if not t.scalars[Scalar.LONGER]:
        t.scalars[Scalar.FIRST_LONGER] = frame
    t.scalars[Scalar.LONGER] += 1
    t.scalars[Scalar.CUT] += cut


@compiled
def _scale(data: Any, at: Int, end: Int) -> Int:
    """The window scale among a SYN's options, as `options.offered` reads them; NO_SCALE where none is."""
    while at + 1 < end:
        here = data[np.uintp(at)]
        if here == NOP:
            at += 1
            continue
        length = np.int64(data[np.uintp(at + 1)])
        if here == EOL or length < 2 or at + length > end:
            break
        if here == WINDOW_SCALE and length == 3:
            return min(np.int64(data[np.uintp(at + 2)]), MAX_WINDOW_SHIFT)
        at += length
    return NO_SCALE
