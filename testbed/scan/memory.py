"""The tables' memory: what they begin with, and how they grow while connections are live.

Growing moves no records: the operating system gives a block more pages where it is, or maps the same
pages elsewhere (`ndarray.resize`), so that there are never two copies.
"""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np

from .ahead import RING
from .flows import PAST_MOST, rehash, rehash_past
from .layout import CONNECTION, END, RARE, Scalar, Tables, edges, synchronized

PLACES: Final = 4096
"""Connections that there is room for at first, and at least by how many more the room grows."""

DOUBLED: Final = 1 << 17
"""Places up to which the room is doubled, so that little is moved while it is small."""

OVER_PLACES: Final = 1 << 14
"""Connections that are over, taken out at once: what is done once for all of them is little beside them.
They take 7 MB."""


def empty_tables(places: int = PLACES, over: int = OVER_PLACES) -> Tables:
    """Tables without a connection."""
    scalars = np.zeros(Scalar.SIZE, np.int64)
    for name in (Scalar.FREE, Scalar.UNOPENED, Scalar.UNOPENED + 1, Scalar.ENDED, Scalar.ENDED + 1):
        scalars[name] = -1
    scalars[Scalar.SEED] = secrets.randbits(63)
    scalars[Scalar.RARE_USED] = 2  # the first two are nobody's
    return Tables(
        connections=np.zeros(places, CONNECTION),
        ends=np.zeros(2 * places, END),
        rare=np.zeros(places, RARE),
        slots=np.zeros(2 * places, np.uint64),
        queues=np.zeros((places, 4), np.int32),
        lives=np.zeros(places, np.uint32),
        past=np.zeros((2, 2 * places), np.uint64),
        past_lives=np.zeros((2, 2 * places), np.uint32),
        over=np.zeros(over, CONNECTION),
        over_ends=np.zeros(2 * over, END),
        over_rare=np.zeros(2 * over, RARE),
        over_lives=np.zeros(over, np.uint32),
        over_gone=np.zeros(over, np.uint8),
        over_until=np.zeros(over, np.int64),
        over_successor=np.zeros(over, np.uint32),
        ahead=np.zeros(RING, np.uint64),
        edges=edges(),
        synchronized=synchronized(),
        scalars=scalars,
    )


def with_room(t: Tables) -> Tables:
    """The same tables with room for one more connection, and for what it may need."""
    scalars = t.scalars
    if scalars[Scalar.FREE] < 0 and scalars[Scalar.USED] == t.connections.size:
        places = _more(t.connections.size)
        for array, each in ((t.connections, 1), (t.ends, 2), (t.lives, 1)):
            array.resize(each * places, refcheck=False)
        t.queues.resize((places, 4), refcheck=False)
    if not scalars[Scalar.RARE_FREE] and scalars[Scalar.RARE_USED] + 2 > t.rare.size:
        t.rare.resize(2 * _more(t.rare.size // 2), refcheck=False)
    if scalars[Scalar.LIVE] * 2 >= t.slots.size:
        slots = np.zeros(2 * t.slots.size, np.uint64)
        rehash(t.slots, slots)
        t = t._replace(slots=slots)
    if t.past.shape[1] < PAST_MOST and scalars[Scalar.REMEMBERED] * 2 >= t.past.shape[1]:
        t = _with_longer_memory(t)
    return Tables(*t)


def _more(places: int) -> int:
    return places + max(PLACES, places // 8, min(places, DOUBLED))


def _with_longer_memory(t: Tables) -> Tables:
    size = min(PAST_MOST, 2 * t.past.shape[1])
    past, lives = np.zeros((2, size), np.uint64), np.zeros((2, size), np.uint32)
    for old, old_lives, new, new_lives in zip(t.past, t.past_lives, past, lives, strict=True):
        rehash_past(old, old_lives, new, new_lives)
    return t._replace(past=past, past_lives=lives)
