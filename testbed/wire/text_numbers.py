"""The absolute sequence numbers behind the ones that tcpdump prints.

What tcpdump does (print-tcp.c): without -S it keeps, for each four-tuple, the number that each
side's others are subtracted from.

* A segment without the ACK flag is printed absolute and leaves no memory.
* A segment with ACK that is the first of its four-tuple, or has SYN too, is printed absolute. It
  sets the bases: its own sequence number for its sender, its acknowledgment number less one for
  the other side.
* All others are printed relative to these bases.

With -S all is printed absolute.  A text does not say which it was, and may be only a part of what
was printed, so this follows tcpdump's rule but judges each connection by its numbers: what lies
nearer to the number that is expected next is what was meant.  Once told, a connection keeps to it
unless its numbers stop making sense by far.

A transcript that begins inside a connection with a segment without data never prints that side's
base: 0 is taken for it, and the numbers of that side are then right relative to each other only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .segment import ACK, FIN, SYN, reverse
from .seq import MASK, after, distance

FAR: Final = 1 << 28
"""Bytes: numbers this far from the expected one belong to another connection or to another form."""

NEAR: Final = 1 << 24
"""Bytes: numbers this near to the expected one can be of this connection (a large window and more)."""


class _Conversation:
    """Both directions of a four-tuple; side 0 is the one met first."""

    __slots__ = ("base", "heard", "invented", "isn", "next", "relative")

    def __init__(self) -> None:
        self.base = [0, 0]
        self.invented = [True, True]  # the base is no number that was printed
        self.isn: list[int | None] = [None, None]  # of a SYN without ACK that no ACK has followed yet
        self.next: list[int | None] = [None, None]  # expected next of each side
        self.heard = False  # a segment with ACK was met, so tcpdump has bases
        self.relative: bool | None = None


class Known(NamedTuple):
    """What the bytes shown below a line say of its numbers; None where nothing is shown."""

    seq: int | None = None
    ack: int | None = None


UNKNOWN: Final = Known()


class Absolute(NamedTuple):
    """The numbers of one segment made absolute; None as in `Numbers.absolute`.

    base   what to add to the edges of its SACK blocks
    sure   whether they are known to want it
    """

    seq: int | None
    ack: int | None
    base: int = 0
    sure: bool = True

    def edge(self, number: int) -> int:
        """The edge of a SACK block, absolute: not far from the acknowledgment number."""
        shifted = (number + self.base) & MASK
        if self.sure or self.ack is None:
            return shifted
        return shifted if abs(distance(self.ack, shifted)) < abs(distance(self.ack, number)) else number


class Numbers:
    """The sequence spaces of all connections of a text.  Memory: one small record a connection."""

    def __init__(self) -> None:
        self._flows: dict[bytes, tuple[_Conversation, int]] = {}
        self._usual = True  # the form that was last told for certain; without -S is the default

    def _conversation(self, flow: bytes) -> tuple[_Conversation, int]:
        found = self._flows.get(flow)
        if found is None:
            conversation = _Conversation()
            self._flows[reverse(flow)] = conversation, 1
            found = self._flows[flow] = conversation, 0  # last: a socket connected to itself has one side
        return found

    def absolute(
        self, flow: bytes, flags: int, seq: int | None, ack: int | None, known: Known = UNKNOWN
    ) -> Absolute:
        """The absolute numbers of a segment printed with `seq` and `ack`.

        None stays None.  `seq` becomes None too where a number was printed that cannot be related
        to the others (an RST without ACK, on a side whose base was never printed).
        """
        talk, side = self._conversation(flow)
        other = 1 - side
        if not flags & ACK:
            expected = talk.next[side]
            unrelated = seq is not None and not flags & SYN and talk.heard and talk.invented[side]
            if unrelated and expected is not None and abs(distance(expected, seq or 0)) >= FAR:
                seq = None
            return Absolute(seq, ack)
        if flags & SYN or not talk.heard:
            self._begin(talk, side, flags, seq, ack, known)
            if flags & SYN or not talk.relative:
                # tcpdump subtracts the base from SACK's edges even in the segment that sets it
                return Absolute(seq, ack, talk.base[other], sure=False)
        if not self._is_relative(talk, side, seq, ack, known):
            return Absolute(seq, ack)
        return Absolute(
            None if seq is None else (seq + talk.base[side]) & MASK,
            None if ack is None else (ack + talk.base[other]) & MASK,
            talk.base[other],
        )

    def learn(self, flow: bytes, flags: int, seq: int | None, ack: int | None, length: int) -> None:
        """Take note of a segment by its absolute numbers, for the ones that follow."""
        talk, side = self._conversation(flow)
        if seq is not None:
            talk.next[side] = (seq + length + bool(flags & SYN) + bool(flags & FIN)) & MASK
            if flags & SYN:
                talk.isn[side] = None if flags & ACK else seq
        if flags & ACK and ack is not None:
            expected = talk.next[1 - side]
            if expected is None or after(ack, expected) or flags & SYN:
                talk.next[1 - side] = ack

    def _begin(
        self, talk: _Conversation, side: int, flags: int, seq: int | None, ack: int | None, known: Known
    ) -> None:
        """Set the bases as tcpdump does at the first segment with ACK, or at a SYN with ACK."""
        other = 1 - side
        isn = talk.isn[side]
        first = not talk.heard
        talk.heard = True
        talk.isn[side] = None
        if first and not flags & SYN:
            if self._is_cut(seq, ack, known):
                # the bytes say what the lines left out would have said
                talk.relative = True
                if seq is not None and known.seq is not None:
                    self._base(talk, side, known.seq - seq)
                if ack is not None and known.ack is not None:
                    self._base(talk, other, known.ack - ack)
                return
            if isn is not None and (ack == 1 if seq is None else _nearer((isn + 1) & MASK, isn, seq)):
                # the other side's answer to a SYN was left out of the text, not of the capture
                talk.relative = True
                self._base(talk, side, isn)
                return
        if seq is None:
            seq = known.seq if known.seq is not None else talk.next[side]
        if seq is not None:
            self._base(talk, side, seq)
        if ack is not None:
            self._base(talk, other, ack - 1)

    def _base(self, talk: _Conversation, side: int, number: int) -> None:
        talk.base[side] = number & MASK
        talk.invented[side] = False

    def _is_cut(self, seq: int | None, ack: int | None, known: Known) -> bool:
        """Whether the first numbers met are relative already, by the bytes below them."""
        pairs = [(seq, known.seq), (ack, known.ack)]
        there = [(number, truth) for number, truth in pairs if number is not None and truth is not None]
        return bool(there) and all(abs(distance(number, truth)) > NEAR for number, truth in there)

    def _is_relative(
        self, talk: _Conversation, side: int, seq: int | None, ack: int | None, known: Known
    ) -> bool:
        """Whether these numbers are relative, by which reading is nearer to what is expected."""
        other = 1 - side
        plain = shifted = 0
        for number, where, truth in ((seq, side, known.seq), (ack, other, known.ack)):
            expected = talk.next[where] if truth is None else truth
            if number is not None and expected is not None:
                plain += abs(distance(expected, number))
                shifted += abs(distance(expected, (number + talk.base[where]) & MASK))
        if talk.relative is None:
            if plain == shifted:
                return self._usual
            talk.relative = self._usual = shifted < plain
        else:
            mine, theirs = (shifted, plain) if talk.relative else (plain, shifted)
            if mine > FAR and theirs < NEAR:
                talk.relative = not talk.relative
        return talk.relative


def _nearer(expected: int, base: int, number: int) -> bool:
    """Whether `number` is nearer to `expected` relative to `base` than as it stands."""
    return abs(distance(expected, (number + base) & MASK)) < abs(distance(expected, number))
