"""One side of a connection: what it has sent, what it has acknowledged, and its state."""

from __future__ import annotations

from typing import Any, NamedTuple

from .states import STEP, Event, State

UNKNOWN_SCALE = -1
"""The window scale of a side whose SYN was not captured."""


class Transition(NamedTuple):
    """One state change, as the wire shows it.

    state         the state entered
    event         why
    frame         the segment that caused it
    time_ns       when that segment was captured
    confirmed_by  the frame of the answer that proves the segment arrived; `frame` itself when
                  sending it was the event, or when the answer needs no proof
    """

    state: State
    event: Event
    frame: int
    time_ns: int
    confirmed_by: int


_FIELDS = len(Transition._fields)


class Endpoint:
    """The sending half of one direction and the state of the TCP that sends it.

    All sequence numbers are absolute.  A number that is not known yet is None.  Times are ns, as in the
    segments; frames count from 1, and 0 is one that was not seen.

    state            RFC 9293's, as the wire leaves it; `transitions` has the way there
    packets          segments sent
    scale, mss       of its SYN: the shift of RFC 7323 section 2, bytes
    fin_first_frame  its FIN; `fin_frame` is the one that arrived, `fin_acked_frame` the answer
    """

    __slots__ = (
        "ack_of_fin",
        "base",
        "data_end",
        "data_start",
        "dup_acks",
        "fin_acked_frame",
        "fin_first_frame",
        "fin_first_time",
        "fin_frame",
        "fin_seq",
        "fin_taken_frame",
        "fin_taken_time",
        "fin_time",
        "fins_sent",
        "heard_fin_at",
        "highest_to_ack",
        "is_client",
        "last_ack",
        "last_ack_time",
        "last_frame",
        "last_length",
        "last_notes",
        "letters",
        "mss",
        "next_seq",
        "next_seq_time",
        "packets",
        "payload_packets",
        "probing",
        "rst_frame",
        "saw_syn",
        "scale",
        "state",
        "steps",
        "syn_frame",
        "syn_time",
        "syns_sent",
        "timestamps",
        "window",
        "zero_since",
        "zero_total",
    )

    def __init__(self, is_client: bool) -> None:
        self.is_client = is_client
        self.state = State.CLOSED
        self.steps: tuple[Any, ...] = ()  # its transitions, field after field: `transitions` has them
        self.base: int | None = None  # the ISN, or one before the first number seen
        self.saw_syn = False
        self.syn_frame = 0
        self.syn_time = 0
        self.scale = UNKNOWN_SCALE
        self.mss: int | None = None
        self.timestamps = False  # did the SYN offer timestamps (RFC 7323)
        self.next_seq: int | None = None  # one past the highest number sent
        self.next_seq_time = 0
        self.highest_to_ack: int | None = None  # one past the highest number sent without a gap
        self.last_ack: int | None = None  # the last acknowledgment number it sent
        self.last_ack_time = 0
        self.window = -1  # the last window it advertised, unscaled
        self.dup_acks = 0
        self.last_notes = 0
        self.last_length = 0
        self.last_frame = 0
        self.probing = False  # its last keepalive probe has not been answered yet
        self.letters = 0  # the letters of Zeek's history that it has, as bits
        self.syns_sent = 0
        self.fins_sent = 0
        self.heard_fin_at: int | None = None  # its next number when it first acknowledged the peer's FIN
        self.zero_since = 0  # ns; since when it advertises no window, 0 when it does advertise one
        self.zero_total = 0  # ns it advertised none, before `zero_since`
        self.packets = 0
        self.payload_packets = 0
        self.data_start: int | None = None
        self.data_end: int | None = None
        self.fin_seq: int | None = None
        self.fin_first_frame = 0  # its first transmission
        self.fin_first_time = 0
        self.fin_frame = 0  # the one that arrived: the latest before its acknowledgment
        self.fin_time = 0
        self.fin_taken_frame = 0  # with which it could be taken: that one, or data before it that came later
        self.fin_taken_time = 0
        self.fin_acked_frame = 0
        self.ack_of_fin: tuple[int, int] | None = None  # (frame, time): came while a FIN was under way to us
        self.rst_frame = 0

    @property
    def side(self) -> str:
        """``client`` or ``server``."""
        return "client" if self.is_client else "server"

    @property
    def payload_bytes(self) -> int:
        """Payload bytes by sequence space: what was sent twice counts once."""
        if self.data_start is None or self.data_end is None:
            return 0
        return (self.data_end - self.data_start) & 0xFFFFFFFF

    @property
    def bytes_after_peer_fin(self) -> int:
        """Payload bytes sent after it had taken the peer's FIN: the half-close in use."""
        if self.heard_fin_at is None or self.data_end is None:
            return 0
        sent = (self.data_end - self.heard_fin_at) & 0xFFFFFFFF
        return sent if sent < 0x80000000 else 0

    def forget(self, base: int) -> None:
        """Begin at another number: nothing that was sent so far counts."""
        self.base = base
        self.next_seq = self.highest_to_ack = self.data_start = self.data_end = self.fin_seq = None
        self.fins_sent = self.fin_first_frame = self.fin_first_time = self.fin_frame = self.fin_time = 0
        self.fin_taken_frame = self.fin_taken_time = 0
        self.fin_acked_frame = self.rst_frame = self.payload_packets = 0

    @property
    def transitions(self) -> list[Transition]:
        """Its changes of state, in order."""
        return [Transition(*self.steps[at : at + _FIELDS]) for at in range(0, len(self.steps), _FIELDS)]

    def step(self, event: Event, frame: int, time_ns: int, confirmed_by: int | None = None) -> None:
        """Walk the edge for `event`, if the present state has one."""
        state = STEP.get((self.state, event))
        if state is not None:
            self.state = state
            self.steps += (state, event, frame, time_ns, confirmed_by or frame)
