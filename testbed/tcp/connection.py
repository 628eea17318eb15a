"""A connection: one incarnation of a four-tuple, with both endpoints' states as the wire shows them.

`Connection.feed` takes its segments in the order of the capture.  Three questions are answered
as they come: what is this segment (`classify`), what state does it bring each end to
(`states`), and what is worth remembering for the findings (`noted`).

A segment that was sent is certain; that it *arrived* is certain only once its receiver answers.
So the sender's edge is walked at once, and the receiver's when its next acknowledgment covers
the segment, dated back to the segment that caused it (`Transition.confirmed_by`).  That is what
tells a FIN that crossed ours (CLOSING) from one that came after, and a lost FIN from a taken one.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from ..wire import options as tcp_options
from ..wire.segment import ACK, FIN, RST, SYN, Address, Segment, endpoints
from .classify import MASK, classify
from .endpoint import Endpoint
from .notes import LABELS, names
from .states import SYNCHRONIZED, Event, State

FRAMES_KEPT = 16
"""How many frame numbers are kept for each kind of note; the rest is counted."""


class Opening(enum.StrEnum):
    """How a connection began."""

    HANDSHAKE = "handshake"
    SIMULTANEOUS = "simultaneous"
    SYN_ONLY = "syn-only"
    HALF_OPEN = "half-open"
    REFUSED = "refused"
    MID_STREAM = "mid-stream"


class Ending(enum.StrEnum):
    """How it ended, by the FINs and RSTs seen."""

    ORDERLY = "orderly"
    RESET = "reset"
    HALF_CLOSED = "half-closed"
    OPEN = "open"


class Exchange(NamedTuple):
    """One segment in its connection: who sent it, its relative numbers, its notes, and both
    ends' states after it (as known by then; `Connection.states_at` knows them in hindsight)."""

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


class Noted:
    """How often a note was made, and its first frames with who sent them."""

    __slots__ = ("count", "frames")

    def __init__(self) -> None:
        self.count = 0
        self.frames: list[tuple[int, bool, int]] = []  # (frame, from client, time_ns)


class Connection:
    """One TCP connection.  `id` counts from 1 in the order in which connections began."""

    __slots__ = (
        "_relative_frames",
        "client",
        "close_frames",
        "client_flow",
        "data_after_fin",
        "established",
        "exchanges",
        "first_frame",
        "history",
        "id",
        "last_frame",
        "last_time_ns",
        "longest_silence",
        "noted",
        "port_reused",
        "refused",
        "reset_by",
        "reset_frame",
        "reset_state",
        "reset_unacked",
        "roles",
        "rtt_ns",
        "saw_synack",
        "server",
        "simultaneous",
        "start_ns",
        "unnumbered",
    )

    def __init__(
        self, number: int, client_flow: bytes, first: Segment, *, roles: str, keep: bool, port_reused: bool
    ) -> None:
        self.id = number
        self.client_flow = client_flow
        self.client = Endpoint(True)
        self.server = Endpoint(False)
        self.roles = roles
        self.first_frame = first.frame
        self.start_ns = first.time_ns
        self.last_frame = first.frame
        self.last_time_ns = first.time_ns
        self.exchanges: list[Exchange] | None = [] if keep else None
        self.noted: dict[int, Noted] = {}
        self.port_reused = port_reused
        self.established = False
        self.saw_synack = False
        self.simultaneous = False
        self.refused = False
        self.reset_by: Endpoint | None = None
        self.reset_frame = 0
        self.reset_state: tuple[State, State] | None = None  # (client, server) before the RST
        self.reset_unacked = 0
        self.rtt_ns = 0
        self.data_after_fin: list[int] = []
        self.close_frames: list[tuple[int, bool, int]] = []
        self.history: list[str] = []
        self.unnumbered = 0  # segments of a text that printed no sequence number
        self.longest_silence = (0, 0)  # (ns, frame after it)
        self._relative_frames = 0
        if roles == "inferred" or (first.flags & (SYN | ACK)) == (SYN | ACK):
            if not first.flags & SYN:
                self.client.state = self.server.state = State.ESTABLISHED

    # ---------------------------------------------------------------- feeding

    def feed(self, segment: Segment, from_client: bool) -> None:
        """Take the next segment of this connection."""
        fwd, rev = (self.client, self.server) if from_client else (self.server, self.client)
        flags = segment.flags
        time_ns = segment.time_ns
        seq = segment.seq
        if seq is None:
            self.unnumbered += 1
            seq = fwd.next_seq if fwd.next_seq is not None else 0
        if fwd.base is None:
            fwd.base = seq if flags & SYN else (seq - 1) & MASK
        if rev.base is None and flags & ACK:
            rev.base = (segment.ack - 1) & MASK
        silence = time_ns - self.last_time_ns
        if silence > self.longest_silence[0]:
            self.longest_silence = (silence, segment.frame)
        self.last_time_ns = time_ns
        self.last_frame = segment.frame
        fwd.packets += 1

        if flags & SYN:
            self._options_of_syn(fwd, segment)
        notes = classify(fwd, rev, segment, seq, self.rtt_ns)
        if segment.seq is None:
            notes = self._notes_without_number(fwd, rev, segment, notes, silence)
        if self.port_reused and segment.frame == self.first_frame:
            notes |= LABELS[-1][0]
        if segment.length:
            self._data(fwd, seq, segment.length, flags)
        if flags & (SYN | FIN | RST) or not self.established or fwd.fin_seq is not None or rev.fin_seq is not None:
            self._states(fwd, rev, segment, seq)
        if notes:
            self._note(notes, segment, from_client)
        if self.exchanges is not None:
            shift = fwd.scale if fwd.scale > 0 and rev.scale >= 0 and not flags & SYN else 0
            self.exchanges.append(
                Exchange(
                    segment,
                    from_client,
                    None if segment.seq is None else (seq - fwd.base) & MASK,
                    (segment.ack - rev.base) & MASK if flags & ACK and rev.base is not None else 0,
                    segment.window << shift,
                    notes,
                )
            )

    def _options_of_syn(self, fwd: Endpoint, segment: Segment) -> None:
        raw = segment.options
        scale = tcp_options.window_scale(raw)
        fwd.scale = -2 if scale is None else min(scale, 14)  # RFC 7323 section 2.3
        fwd.mss = tcp_options.mss(raw)
        fwd.timestamps = tcp_options.timestamps(raw) is not None
        fwd.saw_syn = True
        if not fwd.syn_frame:
            fwd.syn_frame, fwd.syn_time = segment.frame, segment.time_ns

    def _data(self, fwd: Endpoint, seq: int, length: int, flags: int) -> None:
        start = (seq + 1) & MASK if flags & SYN else seq
        end = (start + length) & MASK
        fwd.payload_packets += 1
        if fwd.data_start is None or fwd.data_end is None:
            fwd.data_start, fwd.data_end = start, end
            return
        if (end - fwd.data_end) & MASK < 0x80000000:
            fwd.data_end = end
        if (fwd.data_start - start) & MASK < 0x80000000:
            fwd.data_start = start

    def _note(self, notes: int, segment: Segment, from_client: bool) -> None:
        for bit, _ in LABELS:
            if notes & bit:
                noted = self.noted.get(bit)
                if noted is None:
                    noted = self.noted[bit] = Noted()
                noted.count += 1
                if len(noted.frames) < FRAMES_KEPT:
                    noted.frames.append((segment.frame, from_client, segment.time_ns))

    def _notes_without_number(
        self, fwd: Endpoint, rev: Endpoint, segment: Segment, notes: int, silence: int
    ) -> int:
        """The notes of a segment for which a text prints no sequence number.

        Its number was taken to be the next one, so a keepalive probe looks like a duplicate ACK.
        It is told apart by what the text does show: seconds of silence before it, or another
        probe; an acknowledgment that repeats; and no timestamps where the connection uses them
        (macOS probes; its answers carry them again).
        """
        from .classify import DUPLICATE_ACK, KEEP_ALIVE, KEEP_ALIVE_ACK  # one cycle less at import

        if not notes & (DUPLICATE_ACK | KEEP_ALIVE_ACK):
            return notes
        bare = fwd.timestamps and tcp_options.timestamps(segment.options) is None
        probing = (fwd.last_notes | rev.last_notes) & KEEP_ALIVE
        quiet = silence >= 1_000_000_000
        if (quiet and rev.window != 0) or (bare and probing):
            notes = (notes & ~(DUPLICATE_ACK | KEEP_ALIVE_ACK)) | KEEP_ALIVE
        elif probing or rev.last_notes & KEEP_ALIVE_ACK:
            notes = (notes & ~DUPLICATE_ACK) | KEEP_ALIVE_ACK
        fwd.last_notes = notes
        return notes

    # ----------------------------------------------------------------- states

    def _states(self, fwd: Endpoint, rev: Endpoint, segment: Segment, seq: int) -> None:
        """Walk the machine of RFC 9293 at both ends for one segment."""
        flags, frame, time_ns = segment.flags, segment.frame, segment.time_ns
        if flags & RST:
            self._reset(fwd, rev, segment, seq)
            return
        if flags & SYN:
            self._syn(fwd, rev, segment)
        elif flags & ACK and not self.established:
            self._ack_of_syn(fwd, rev, segment)
        if flags & ACK and rev.fin_seq is not None:
            self._ack_of_fin(fwd, rev, segment)
        if flags & FIN:
            if fwd.fin_seq is None:
                fwd.fin_seq = (seq + segment.length) & MASK
                fwd.step(Event.SEND_FIN, frame, time_ns)
                self.close_frames.append((frame, fwd.is_client, time_ns))
            fwd.fin_frame, fwd.fin_time = frame, time_ns
        elif fwd.fin_seq is not None and segment.length and (seq + segment.length - fwd.fin_seq - 1) & MASK < 0x7FFFFFFF:
            if len(self.data_after_fin) < FRAMES_KEPT:
                self.data_after_fin.append(frame)

    def _syn(self, fwd: Endpoint, rev: Endpoint, segment: Segment) -> None:
        frame, time_ns = segment.frame, segment.time_ns
        if not segment.flags & ACK:
            if fwd.state is State.CLOSED and not fwd.transitions:
                fwd.step(Event.SEND_SYN, frame, time_ns)
            if rev.saw_syn:
                self.simultaneous = True
            return
        self.saw_synack = True
        if fwd.state is State.SYN_SENT and rev.saw_syn:
            fwd.step(Event.RECEIVE_SYN, rev.syn_frame, rev.syn_time, frame)
        elif fwd.state is State.CLOSED and not fwd.transitions:
            fwd.state = State.LISTEN  # it answers, so it was listening
            cause, when = (rev.syn_frame, rev.syn_time) if rev.saw_syn else (frame, time_ns)
            fwd.step(Event.RECEIVE_SYN, cause, when, frame)
        if fwd.fin_seq is None and not fwd.is_client:
            fwd.syn_frame, fwd.syn_time = frame, time_ns
        if not rev.saw_syn and rev.state is State.CLOSED:
            rev.state = State.SYN_SENT  # its SYN was not captured
        if self.simultaneous and rev.state is State.SYN_RECEIVED:
            rev.step(Event.RECEIVE_ACK_OF_SYN, frame, time_ns)
            if fwd.state is State.SYN_RECEIVED and fwd.last_ack == rev.next_seq and rev.last_ack == fwd.next_seq:
                fwd.step(Event.RECEIVE_ACK_OF_SYN, rev.syn_frame, rev.syn_time, frame)
            self.established = fwd.state is rev.state is State.ESTABLISHED

    def _ack_of_syn(self, fwd: Endpoint, rev: Endpoint, segment: Segment) -> None:
        frame, time_ns = segment.frame, segment.time_ns
        if fwd.state is State.SYN_SENT and rev.saw_syn and self.saw_synack:
            fwd.step(Event.RECEIVE_SYN_ACK, rev.syn_frame, rev.syn_time, frame)
            if fwd.syn_time and not self.rtt_ns:
                self.rtt_ns = time_ns - fwd.syn_time
        if rev.state is State.SYN_RECEIVED and (rev.base is None or segment.ack != rev.base):
            rev.step(Event.RECEIVE_ACK_OF_SYN, frame, time_ns)
        self.established = fwd.state in SYNCHRONIZED and rev.state in SYNCHRONIZED

    def _ack_of_fin(self, fwd: Endpoint, rev: Endpoint, segment: Segment) -> None:
        """`fwd` sends an ACK while `rev` has sent its FIN: does it cover it?

        It proves that `fwd` took the FIN.  Whether `rev` has got this ACK before or after `fwd`'s
        own FIN, if one is under way to it, its next ACK tells: so that ACK is held until then.
        """
        assert rev.fin_seq is not None
        frame, time_ns = segment.frame, segment.time_ns
        if (segment.ack - rev.fin_seq - 1) & MASK >= 0x80000000:
            return
        if not rev.fin_acked_frame:
            rev.fin_acked_frame = frame
            crossed = fwd.ack_of_fin
            fwd.ack_of_fin = None
            if crossed is not None and crossed[0] < rev.fin_frame:
                fwd.step(Event.RECEIVE_ACK_OF_FIN, *crossed)
                crossed = None
            fwd.step(Event.RECEIVE_FIN, rev.fin_frame, rev.fin_time, frame)
            if crossed is not None:
                fwd.step(Event.RECEIVE_ACK_OF_FIN, *crossed)
            self.close_frames.append((frame, fwd.is_client, time_ns))
            if fwd.fin_seq is not None and not fwd.fin_acked_frame:
                rev.ack_of_fin = (frame, time_ns)  # our FIN may have overtaken this ACK
            else:
                rev.step(Event.RECEIVE_ACK_OF_FIN, frame, time_ns)

    def _reset(self, fwd: Endpoint, rev: Endpoint, segment: Segment, seq: int) -> None:
        """An RST: it ends the connection if its number is one that the receiver takes (RFC 5961)."""
        frame, time_ns = segment.frame, segment.time_ns
        fwd.rst_frame = frame
        acceptable = (
            rev.last_ack is None
            or seq == rev.last_ack
            or seq == fwd.next_seq
            or rev.state in (State.SYN_SENT, State.CLOSED)
        )
        if not acceptable:
            return
        if self.reset_by is None:
            self.reset_by, self.reset_frame = fwd, frame
            self.reset_state = (self.client.state, self.server.state)
            if rev.next_seq is not None and fwd.last_ack is not None:
                self.reset_unacked = max(0, ((rev.next_seq - fwd.last_ack + 0x80000000) & MASK) - 0x80000000)
        if rev.state is State.SYN_SENT and not self.saw_synack:
            self.refused = True
        fwd.step(Event.SEND_RST, frame, time_ns)
        if rev.state is State.SYN_RECEIVED and not self.simultaneous:
            rev.step(Event.RECEIVE_RST, frame, time_ns)
            rev.state = State.CLOSED  # back in LISTEN: this connection is no more
        else:
            rev.step(Event.RECEIVE_RST, frame, time_ns)

    # --------------------------------------------------------------- verdicts

    @property
    def opening(self) -> Opening:
        """How it began."""
        if self.refused:
            return Opening.REFUSED
        if self.simultaneous and self.saw_synack:
            return Opening.SIMULTANEOUS
        if self.established or any(
            t.event is Event.RECEIVE_SYN_ACK or t.event is Event.RECEIVE_ACK_OF_SYN
            for t in (*self.client.transitions, *self.server.transitions)
        ):
            return Opening.HANDSHAKE
        if self.saw_synack:
            return Opening.HALF_OPEN
        if self.client.saw_syn:
            return Opening.SYN_ONLY
        return Opening.MID_STREAM

    @property
    def ending(self) -> Ending:
        """How it ended: orderly (both FINs), reset (an RST before), half-closed, or open."""
        fins = (self.client.fin_seq is not None) + (self.server.fin_seq is not None)
        if fins == 2:
            return Ending.ORDERLY
        if self.reset_by is not None:
            return Ending.RESET
        return Ending.HALF_CLOSED if fins else Ending.OPEN

    @property
    def first_fin(self) -> Endpoint | None:
        """The end whose FIN came first."""
        for _, from_client, _ in self.close_frames:
            return self.client if from_client else self.server
        return None

    @property
    def close_segments(self) -> int | None:
        """3 when the second FIN carried the ACK of the first, 4 when that ACK came alone."""
        if self.ending is not Ending.ORDERLY:
            return None
        first = self.first_fin
        second = self.server if first is self.client else self.client
        assert first is not None
        fin_frames = [frame for frame, from_client, _ in self.close_frames if from_client == second.is_client]
        return 3 if first.fin_acked_frame and first.fin_acked_frame == fin_frames[-1] and len(fin_frames) == 2 else 4

    @property
    def duration_ns(self) -> int:
        """From its first to its last segment."""
        return self.last_time_ns - self.start_ns

    @property
    def addresses(self) -> tuple[Address, Address]:
        """The client's and the server's address."""
        return endpoints(self.client_flow)

    @property
    def completeness(self) -> int:
        """Wireshark's `tcp.completeness`: 1 SYN, 2 SYN-ACK, 4 ACK, 8 data, 16 FIN, 32 RST."""
        return (
            (1 if any(e.saw_syn for e in (self.client,)) else 0)
            | (2 if self.saw_synack else 0)
            | (4 if self.established else 0)
            | (8 if self.client.payload_packets or self.server.payload_packets else 0)
            | (16 if self.client.fin_seq is not None or self.server.fin_seq is not None else 0)
            | (32 if self.client.rst_frame or self.server.rst_frame else 0)
        )

    def count(self, note: int) -> int:
        """How many segments carry a note."""
        noted = self.noted.get(int(note))
        return noted.count if noted else 0

    def frames(self, note: int, from_client: bool | None = None) -> list[int]:
        """The first frames that carry a note, of both sides or of one."""
        noted = self.noted.get(int(note))
        if noted is None:
            return []
        return [f for f, c, _ in noted.frames if from_client is None or c == from_client]

    def state_after(self, frame: int, side: Endpoint) -> State | None:
        """The state of one end once `frame` had been sent and taken; None before its first."""
        state = None
        if not side.transitions and side.state is State.ESTABLISHED:
            return State.ESTABLISHED
        for transition in side.transitions:
            if transition.frame > frame:
                break
            state = transition.state
        return state


__all__ = ["Connection", "Ending", "Exchange", "Noted", "Opening", "names"]
