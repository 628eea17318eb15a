"""What the next packets will need is fetched into the processor's cache before they are looked at.

A connection's slot and records lie anywhere in memory, and fetching them takes as long as all the rest.
So some packets ahead of the walk the four-tuple is hashed and its slot asked for, and somewhat later, when
that is there, the records.  Nothing is decided here: a packet that is not plain Ethernet and IPv4 is passed
over, and only its own turn is the slower for it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..wire.linktype import IPV4
from .compiled import inlined
from .flows import hashed
from .layout import CONNECTION, END, Int, Scalar, Tables
from .words import u16, u32

DISTANCE: Final = 12
"""Packets between the first look at one and its turn."""

SLOT_DISTANCE: Final = 6
"""How many packets later its slot is there."""

PROBES: Final = 3
"""Slots that it is looked for in; farther from its own lie few."""

RING: Final = 16
CONNECTION_LINES: Final = (0, CONNECTION.itemsize - 1)
"""Bytes of a connection's record in different cache lines, as far as it lies in several."""
END_LINES: Final = (0, 64, 2 * END.itemsize - 1)
"""The same of its two ends' records."""

_LOW32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def fetch(array: Any, index: Any, offset: Any) -> None:
    """Ask for the cache line that holds a byte of an array's element; nothing waits for it.  Compiled code
    does (`compiling`)."""


@inlined
def look_ahead(t: Tables, data: Any, frame: Int, stop: Int, turn: Int) -> None:
    """Look at the frame in `data[frame:stop]`, some turns before its own."""
    number = np.uint64(0)
    if frame + 38 <= stop and u16(data, frame + 12) == IPV4 and data[np.uintp(frame + 14)] == 0x45:
        source, destination = np.uint64(u32(data, frame + 26)), np.uint64(u32(data, frame + 30))
        sport, dport = u16(data, frame + 34), u16(data, frame + 36)
        zero = np.uint64(0)
        if source < destination or (source == destination and sport <= dport):
            ports = np.uint32(sport << 16 | dport)
            number = hashed(t.scalars[Scalar.SEED], False, zero, source, zero, destination, ports)
        else:
            ports = np.uint32(dport << 16 | sport)
            number = hashed(t.scalars[Scalar.SEED], False, zero, destination, zero, source, ports)
        fetch(t.slots, np.int64((number >> _32) & np.uint64(t.slots.size - 1)), 0)
    t.ahead[turn & (RING - 1)] = number
    earlier = t.ahead[(turn - SLOT_DISTANCE) & (RING - 1)]
    tag, mask = earlier >> _32, np.uint64(t.slots.size - 1)
    for further in range(PROBES):
        slot = t.slots[(tag + np.uint64(further)) & mask]
        if slot >> _32 == tag and slot:
            _fetch_records(t, np.int64(slot & _LOW32) - 1)
            break


@inlined
def _fetch_records(t: Tables, i: Int) -> None:
    for offset in CONNECTION_LINES:
        fetch(t.connections, i, offset)
    for offset in END_LINES:
        fetch(t.ends, 2 * i, offset)
