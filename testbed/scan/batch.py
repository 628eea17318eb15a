"""Connections that are over, many at once: their records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .layout import Array, Gone, Tables
from .revive import Record


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of connections, arrays of one length; `ends` and `rare` hold client and server.

    until   the time up to which each was watched, as `Evidence.until` tells it

    They lie in the tables, and are other connections' once the next are over.
    """

    of: Array
    ends: Array
    rare: Array
    lives: Array
    gone: Array
    until: Array
    successor: Array

    @classmethod
    def over(cls, t: Tables, count: int, end_ns: int) -> Batch:
        """The first `count` in `t.over`; `end_ns` is the capture's end, where that is known."""
        of, gone = t.over[:count], t.over_gone[:count]
        quiet = np.where(gone == Gone.FINISHED, np.maximum(of["last_ns"], end_ns), of["last_ns"])
        return cls(
            of,
            t.over_ends[: 2 * count].reshape(count, 2),
            t.over_rare[: 2 * count].reshape(count, 2),
            t.over_lives[:count],
            gone,
            np.where(gone == Gone.ANEW, t.over_until[:count], quiet),
            t.over_successor[:count],
        )

    def __len__(self) -> int:
        return len(self.of)

    def chosen(self, which: Array) -> Batch:
        """Those at these places, or where a mask is True; copies."""
        return Batch(*(getattr(self, name)[which] for name in self.__slots__))

    def record(self, place: int) -> Record:
        """One of them."""
        return Record(
            self.of[place],
            self.ends[place],
            self.rare[place],
            int(self.gone[place]),
            int(self.until[place]),
            int(self.successor[place]),
        )

    def has(self, bit: int) -> Array:
        """Which connections have a bit of `Of`."""
        answer: Array = self.of["bits"] & np.uint32(bit) != 0
        return answer
