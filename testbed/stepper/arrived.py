"""What has arrived of one direction of a connection: in order, and early."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..net.link_events import LinkEvent
from ..wire.segment import FIN, SYN
from ..wire.seq import add, before


class _Piece(NamedTuple):
    """The numbers that a segment takes: from `first` up to `end`; `fin`: the last of them is a FIN."""

    first: int
    end: int
    fin: bool


class Arrived:
    """The receiver's side of RFC 9293 section 3.10.7.4: what comes early is kept until the gap is filled."""

    def __init__(self) -> None:
        self._next: int | None = None  # the number that the receiver waits for; None before the SYN
        self._early: list[_Piece] = []

    def take(self, event: LinkEvent) -> None:
        """A segment has arrived."""
        piece = _piece(event)
        if event.flags & SYN:
            self._next, self._early = piece.end, []
        elif self._next is not None:
            self._early.append(piece)
            self._next, _ = _in_order(self._next, self._early)
            self._early = [piece for piece in self._early if before(self._next, piece.end)]

    def early(self, event: LinkEvent) -> bool:
        """Whether something before this segment is missing."""
        return self._next is not None and not event.flags & SYN and before(self._next, event.seq)

    def ends_with(self, event: LinkEvent) -> bool:
        """Whether its receiver would take a FIN with it: its own, or one that waits for this segment."""
        if self._next is None:
            return bool(event.flags & FIN)
        return _in_order(self._next, [*self._early, _piece(event)])[1]


def _piece(event: LinkEvent) -> _Piece:
    taken = event.length + bool(event.flags & SYN) + bool(event.flags & FIN)
    return _Piece(event.seq, add(event.seq, taken), bool(event.flags & FIN))


def _in_order(number: int, pieces: Iterable[_Piece]) -> tuple[int, bool]:
    """The number waited for once these are there, and whether a FIN was taken on the way to it."""
    fin = False
    left = list(pieces)
    while piece := next((p for p in left if not before(number, p.first) and before(number, p.end)), None):
        number, fin = piece.end, fin or piece.fin
    return number, fin
