"""Connections that are over, many at once: their records, and what their kinds are judged by.

Most connections of a capture are of a few kinds.  `kinds` gives each a number made of all that a rule
or a verdict may ask of it: which bits are set, which limits are passed.  So the rules themselves
(`findings.judge`) are asked once for each kind (`verdicts`), and no rule is written twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..findings.rules_open import STRAIGHT_AFTER_NS
from ..findings.rules_transfer import RESENT_MANY, RESENT_SHARE, STALLED_NS
from ..findings.signs import LATE_NS
from ..tcp.notes import Note
from .layout import Array, At, Gone, Of, Tables
from .revive import Record

OF_KIND = (
    Of.MID_STREAM,
    Of.ESTABLISHED,
    Of.SAW_SYNACK,
    Of.OPENED,
    Of.REFUSED,
    Of.PORT_REUSED,
    Of.ANSWERS_SYN,
    Of.FIRST_FIN,
    Of.FIRST_FIN_BY_SERVER,
    Of.RESET,
    Of.RESET_BY_SERVER,
    Of.CROSSED,
)
AT_KIND = (At.FIN, At.FIN_ACKED, At.LAST_ACK, At.SAW_SYN, At.CLOSING, At.DATA, At.ZERO_NOTED)
NOTED_KIND = (Note.OUT_OF_ORDER, Note.ACKED_LOST_SEGMENT)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of connections, arrays of one length; `ends` and `rare` hold client and server.

    until   the time up to which each was watched, as `Evidence.until` tells it
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
        """A copy of the first `count` in `t.over`; `end_ns` is the capture's end, where that is known."""
        of, gone = t.over[:count].copy(), t.over_gone[:count].copy()
        last = of["last_ns"]
        finished = np.maximum(last, end_ns)
        until = np.where(
            gone == Gone.ANEW, t.over_until[:count], np.where(gone == Gone.FINISHED, finished, last)
        )
        return cls(
            of,
            t.over_ends[: 2 * count].reshape(count, 2).copy(),
            t.over_rare[: 2 * count].reshape(count, 2).copy(),
            t.over_lives[:count].copy(),
            gone,
            until,
            t.over_successor[:count].copy(),
        )

    def __len__(self) -> int:
        return len(self.of)

    def chosen(self, which: Array) -> Batch:
        """Those at these places, or where a mask is True."""
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

    def at(self, bit: int) -> Array:
        """Which ends have a bit of `At`: client and server of each."""
        answer: Array = self.ends["bits"] & np.uint16(bit) != 0
        return answer

    def first_fin(self, name: str, *, of: str = "rare", second: bool = False) -> Array:
        """A field of the end that sent the first FIN, or of the other."""
        server = self.has(Of.FIRST_FIN_BY_SERVER) != second
        values: Array = getattr(self, of)[name]
        return np.where(server, values[:, 1], values[:, 0])


def kinds(batch: Batch) -> Array:
    """A number for each connection; those with the same number are judged alike."""
    places = _Places(len(batch))
    for bit in OF_KIND:
        places.add(batch.has(bit))
    for note in NOTED_KIND:
        places.add(batch.of["noted"] & np.uint16(note) != 0)
    for marks in _of_closing(batch):
        places.add(marks)
    for marks in _of_ends(batch):
        places.add(marks[:, 0])
        places.add(marks[:, 1])
    habit = batch.rare["habit_time"][:, 1]
    places.add((habit != 0) & (habit < batch.of["synack_ns"] + STRAIGHT_AFTER_NS))
    return places.numbers


class _Places:
    """Numbers that are put together bit by bit."""

    def __init__(self, count: int) -> None:
        self.numbers: Array = np.zeros(count, np.uint64)
        self._shift = 0

    def add(self, marks: Array) -> None:
        assert self._shift < 64
        self.numbers |= marks.astype(np.uint64) << np.uint64(self._shift)
        self._shift += 1


def _of_closing(batch: Batch) -> list[Array]:
    """How the two ends' closings lie in time."""
    first_time = batch.rare["fin_first_time"]
    reset = np.max(batch.rare["reset_time"], axis=1)
    until = np.where(batch.has(Of.RESET), reset, batch.until)
    closed = batch.first_fin("fin_first_time")
    silent = batch.first_fin("next_seq_time", of="ends", second=True)
    acked = batch.first_fin("fin_acked_frame")
    second_fin = batch.first_fin("fin_first_frame", second=True)
    waited = batch.first_fin("fin_first_time", second=True) - batch.first_fin("fin_time")
    return [
        until - np.maximum(closed, silent) >= LATE_NS,
        waited >= LATE_NS,
        acked >= second_fin,
        acked == second_fin,
        np.abs(first_time[:, 1] - first_time[:, 0]) >= LATE_NS,
    ]


def _of_ends(batch: Batch) -> list[Array]:
    """What is asked of each end: arrays of two columns."""
    ends, rare = batch.ends, batch.rare
    until, last = batch.until[:, None], batch.of["last_ns"][:, None]
    last_by_server = batch.has(Of.LAST_BY_SERVER)
    peer_spoke_last = np.stack([last_by_server, ~last_by_server], axis=1)
    after_fin = (ends["data_end"] - rare["heard_fin_at"]).astype(np.int32)
    behind = (ends["data_end"] - ends["last_ack"][:, ::-1]).astype(np.int32)
    shut = rare["zero_total"] + np.where(rare["zero_since"], last - rare["zero_since"], 0)
    resent, packets = ends["resent"], np.maximum(ends["packets"], 1)
    return [
        *(batch.at(bit) for bit in AT_KIND),
        ends["packets"] > 0,
        batch.at(At.HEARD_FIN) & batch.at(At.DATA) & (after_fin > 0),
        ends["syns_sent"] > 1,
        ends["fins_sent"] > 1,
        until - rare["fin_first_time"] >= LATE_NS,
        (behind > 0) & (until - ends["next_seq_time"] >= STALLED_NS) & ~peer_spoke_last,
        rare["keepalives"] > 0,
        ends["unanswered"] > 1,
        resent > 0,
        (resent >= RESENT_MANY) & (resent / packets >= RESENT_SHARE),
        (shut >= STALLED_NS) | (rare["zero_since"] != 0),
    ]
