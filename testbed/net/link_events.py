"""What a user-space link tells of each segment, and how it is written between two processes."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple


class Fate(enum.StrEnum):
    """What became of a segment on the link."""

    PASSED = "passed"
    HELD = "held"
    AGAIN = "sent again"
    """A copy of one that is held, or of one whose answer is: nothing is queued for it."""
    RELEASED = "released"
    DROPPED = "dropped"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    """Released after the next one of its direction had passed it."""
    FORGED = "forged"


class LinkEvent(NamedTuple):
    """One thing that happened to one segment.

    time_ns      nanoseconds since the epoch: the capture's clock
    from_client  the direction it goes in
    line         the segment in the notation
    flow         the client's direction of its connection, as `wire.segment` has flows
    flags, seq, ack, length   as in the segment, numbers absolute
    seen         its number among the TCP segments that came in from its sender, from 1; 0: forged here
    sent         its numbers among those that went out to its receiver; none: it did not (yet)
    id           of one that is or was held, from 1; 0: it never was
    rule         which rule had it so, or why else; "" where nothing had
    """

    time_ns: int
    fate: Fate
    from_client: bool
    line: str
    flow: bytes
    flags: int
    seq: int
    ack: int
    length: int
    seen: int
    sent: tuple[int, ...] = ()
    id: int = 0
    rule: str = ""

    def to_json(self) -> list[Any]:
        """Its fields as JSON has them."""
        return [value.hex() if isinstance(value, bytes) else value for value in self]

    @classmethod
    def from_json(cls, row: list[Any]) -> LinkEvent:
        """What `to_json` made."""
        event = cls(*row)
        return event._replace(fate=Fate(event.fate), flow=bytes.fromhex(str(row[4])), sent=tuple(event.sent))
