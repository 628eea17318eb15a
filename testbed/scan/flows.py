"""Four-tuples: the hash table of live connections, and the memory of those that were let go.

A four-tuple is kept without a direction: its two ends in order, the low one and the high one.  The
hashes begin with a random number, so that no capture can be made whose connections all fall on one
slot.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..tcp.tracker import MOST_REMEMBERED
from .compiled import entry, inlined
from .layout import Int, Of, Scalar, Tables

PAST_MOST: Final = MOST_REMEMBERED * 2
"""Places in each of the two sets of four-tuples that were in use, at the most."""

UNKNOWN_HASH: Final = np.uint64(0)
"""In place of a four-tuple's hash: it is still to be made."""

_LOW32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_29 = np.uint64(29)
_1 = np.uint64(1)
_0 = np.uint64(0)
_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xBF58476D1CE4E5B9)
_C = np.uint64(0x94D049BB133111EB)


@inlined
def hashed(seed: Any, v6: Any, l0: Any, l1: Any, h0: Any, h1: Any, ports: Any) -> Any:
    """64 bits of a four-tuple: of IPv4's addresses the low 32 bits of `l1` and `h1` are all there is."""
    if v6:
        x = (l0 ^ np.uint64(seed)) * _A
        x ^= x >> _32
        x = (x ^ h0) * _B
        x ^= x >> _29
        x = (x ^ l1) * _C
        x ^= x >> _32
        x = (x ^ h1) * _A
    else:
        x = ((l1 << _32 | h1) ^ np.uint64(seed)) * _A
    x ^= x >> _32
    x = (x ^ np.uint64(ports)) * _B
    x ^= x >> _29
    x *= _C
    return x ^ (x >> _32)


@inlined
def hash_of(t: Tables, i: Int) -> Any:
    """The hash of a connection in the table."""
    c = t.connections[i]
    return hashed(
        t.scalars[Scalar.SEED], c.bits & Of.V6 != 0, c.low[0], c.low[1], c.high[0], c.high[1], c.ports
    )


@inlined
def find(t: Tables, number: Any, v6: Any, l0: Any, l1: Any, h0: Any, h1: Any, ports: Any) -> Int:
    """The place of the connection that has this four-tuple, -1 where none has."""
    mask = np.uint64(t.slots.size - 1)
    tag = number >> _32
    at = tag & mask
    while True:
        slot = t.slots[at]
        if slot == _0:
            return -1
        if slot >> _32 == tag:
            i = np.int64(slot & _LOW32) - 1
            c = t.connections[i]
            if (
                c.ports == ports
                and c.low[1] == l1
                and c.high[1] == h1
                and c.low[0] == l0
                and c.high[0] == h0
                and (c.bits & Of.V6 != 0) == v6
            ):
                return i
        at = (at + _1) & mask


@inlined
def put(slots: Any, number: Any, i: Int) -> None:
    """Enter a connection that is not there."""
    mask = np.uint64(slots.size - 1)
    tag = number >> _32
    at = tag & mask
    while slots[at] != _0:
        at = (at + _1) & mask
    slots[at] = tag << _32 | np.uint64(i + 1)


@inlined
def remove(slots: Any, number: Any, i: Int) -> None:
    """Take a connection out, and close the gap: what was pushed on by it moves back."""
    mask = np.uint64(slots.size - 1)
    at = (number >> _32) & mask
    wanted = np.uint64(i + 1)
    while slots[at] & _LOW32 != wanted:
        at = (at + _1) & mask
    following = at
    while True:
        following = (following + _1) & mask
        slot = slots[following]
        if slot == _0:
            break
        home = (slot >> _32) & mask
        if (following - home) & mask >= (following - at) & mask:
            slots[at] = slot
            at = following
    slots[at] = _0


@entry
def rehash(old: Any, new: Any) -> None:
    """Enter all of `old` into the larger table `new`."""
    mask = np.uint64(new.size - 1)
    for slot in old:
        if slot != _0:
            at = (slot >> _32) & mask
            while new[at] != _0:
                at = (at + _1) & mask
            new[at] = slot


# ---- those that were let go


@inlined
def _past_place(past: Any, number: Any, key: Any) -> Any:
    mask = np.uint64(past.size - 1)
    at = (number >> _32) & mask
    while past[at] != _0 and past[at] != key:
        at = (at + _1) & mask
    return at


@inlined
def _past_key(number: Any, client_is_high: Any) -> Any:
    """The hash with its last two bits telling from which end it was opened; never 0."""
    return number & ~np.uint64(3) | (np.uint64(1) if client_is_high else np.uint64(2))


@inlined
def room_to_remember(t: Tables) -> Int:
    """Whether one more can be remembered before the sets have to grow."""
    size = t.past.shape[1]
    return size >= PAST_MOST or t.scalars[Scalar.REMEMBERED] * 2 < size


@inlined
def remember(t: Tables, number: Any, client_is_high: Any, life: Int) -> None:
    """That this four-tuple was in use, as `tcp.tracker` remembers it."""
    scalars = t.scalars
    newer = scalars[Scalar.NEWER]
    key = _past_key(number, client_is_high)
    at = _past_place(t.past[newer], number, key)
    if t.past[newer, at] == _0:
        t.past[newer, at] = key
        scalars[Scalar.REMEMBERED] += 1
    t.past_lives[newer, at] = life
    if scalars[Scalar.REMEMBERED] == MOST_REMEMBERED:
        scalars[Scalar.NEWER] = 1 - newer
        scalars[Scalar.ROTATED] = 1
        scalars[Scalar.REMEMBERED] = 0
        t.past[1 - newer, :] = _0


@inlined
def remembered(t: Tables, number: Any) -> Int:
    """The incarnation of this four-tuple that was let go last; 0 where none is known of."""
    newer = t.scalars[Scalar.NEWER]
    life = np.int64(0)
    for older in range(1 + t.scalars[Scalar.ROTATED]):
        which = newer if older == 0 else 1 - newer
        for client_is_high in (False, True):
            at = _past_place(t.past[which], number, _past_key(number, client_is_high))
            if t.past[which, at] != _0:
                life = max(life, np.int64(t.past_lives[which, at]))
    return life


@entry
def rehash_past(old: Any, old_lives: Any, new: Any, new_lives: Any) -> None:
    """Enter one set into a larger one; a key holds all of its hash that tells its place."""
    for at in range(old.size):
        if old[at] != _0:
            place = _past_place(new, old[at], old[at])
            new[place] = old[at]
            new_lives[place] = old_lives[at]
