"""What a connection is made of besides its two endpoints: the words for its two ends in time, its
segments, and what was noted of them."""

from __future__ import annotations

import enum
from typing import NamedTuple

from ..wire.segment import Segment


class Opening(enum.StrEnum):
    """How a connection began (RFC 9293 section 3.5).

    SYN_ONLY: nothing answered; HALF_OPEN: a SYN,ACK that was never acknowledged; REFUSED: an RST answered
    the SYN; MID_STREAM: the capture has no SYN of it.
    """

    HANDSHAKE = "handshake"
    SIMULTANEOUS = "simultaneous"
    SYN_ONLY = "syn-only"
    HALF_OPEN = "half-open"
    REFUSED = "refused"
    MID_STREAM = "mid-stream"


class Ending(enum.StrEnum):
    """How it ended (RFC 9293 section 3.6).

    ORDERLY: both FINs were seen; RESET: an RST before that; HALF_CLOSED: one FIN and no RST; OPEN: neither.
    """

    ORDERLY = "orderly"
    RESET = "reset"
    HALF_CLOSED = "half-closed"
    OPEN = "open"


class Exchange(NamedTuple):
    """One segment in its connection; `Connection.state_after` has both ends' states after it.

    seq     relative to its sender's first, modulo 2^32; None where a text printed none
    ack     relative to the receiver's first; 0 without the ACK flag
    window  bytes, scaled (RFC 7323 section 2.3)
    notes   bits, see `Note`; `notes.names` has them in Wireshark's words
    """

    segment: Segment
    from_client: bool
    seq: int | None
    ack: int
    window: int
    notes: int

    @property
    def sender(self) -> str:
        """``client`` or ``server``."""
        return "client" if self.from_client else "server"


class Cause(NamedTuple):
    """The segment before an RST, which may be what it answers."""

    frame: int
    time_ns: int
    flags: int
    length: int
    from_client: bool


class Successor(NamedTuple):
    """The SYN that opened a connection's four-tuple anew.

    answers  it came from the other end, and answers a SYN that is still open: a split handshake
    """

    frame: int
    time_ns: int
    answers: bool


class Noted:
    """How often a note was made, by whom, its first frames, and its last."""

    __slots__ = ("by_client", "count", "frames", "last_frame", "last_time_ns")

    def __init__(self) -> None:
        self.count = 0
        self.by_client = 0
        self.frames: list[tuple[int, bool, int]] = []  # (frame, from client, time_ns)
        self.last_frame = 0
        self.last_time_ns = 0


class Probe(NamedTuple):
    """A keepalive probe told without its sequence number.

    silence_ns   how long nothing had been sent before it
    bare         it carries no timestamps though the connection uses them
    """

    frame: int
    from_client: bool
    silence_ns: int
    bare: bool
