"""A connection: one incarnation of a four-tuple, with both endpoints' states as the wire shows them.

`Connection.feed` takes its segments in the order of the capture.  Three questions are answered
as they come: what is this segment (`classify`), what state does it bring each end to (`walk`),
and what is worth remembering for the findings (`noted` and the plain facts beside it).
"""

from __future__ import annotations

from ..wire import options as tcp_options
from ..wire.segment import ACK, FIN, RST, SYN, Address, Segment, endpoints
from . import zeek
from .classify import (
    CONTROL,
    DUPLICATE_ACK,
    KEEP_ALIVE,
    KEEP_ALIVE_ACK,
    MASK,
    PORT_REUSED,
    PREVIOUS_SEGMENT_LOST,
    ZERO_WINDOW,
    classify,
)
from .endpoint import Endpoint
from .facts import Cause, Ending, Exchange, Noted, Opening, Probe, Successor
from .notes import LABELS, SENT_AGAIN, names
from .states import Event, State
from .walk import FRAMES_KEPT, DoubtfulReset, walk

_SENT_AGAIN = int(SENT_AGAIN)
_NOTHING: dict[int, Noted] = {}
"""What a connection has noted before anything was: shared by all of them, never written to."""


class Connection:
    """One TCP connection: one incarnation of a four-tuple.

    Times are ns since the epoch (of a text without a date: since midnight), frames are packets' numbers in
    their file, from 1; a frame of 0 is one that was not seen.

    id                counts from 1 in the order in which connections began
    client, server    its two ends, each an `Endpoint`
    roles             how it is known which is the client: "syn", or "inferred" where there was none
    first_frame, start_ns      its first segment
    last_frame, last_time_ns   its last
    exchanges         its segments in order, as `Exchange`; None where they were not kept
    rtt_ns            from its last SYN to the handshake's ACK; 0 where that was not seen
    longest_silence   between two segments: (ns, the frame after it)
    mid_stream        its first captured segment was no SYN
    established       both ends have reached ESTABLISHED (or were taken to have, mid-stream)
    ended             it is over: reset, or both FINs acknowledged; repetitions may still come
    first_fin         the end whose FIN came first
    crossed           an end has been in CLOSING
    reset_by          who sent the RST that ended it; with it the frame, both ends' states before
                      it (client, server), the bytes sent to it that it never acknowledged, the
                      RST itself, and the segment before it
    resets_ignored    RSTs that their receiver did not take: (frame, from client)
    data_after_fin    data beyond its sender's own FIN: (frame, from client)
    short_of_fin      acknowledgments that stop just short of a FIN: frames
    probes_inferred   see `Probe`
    strays            segments in an end's name from before its SYN,ACK, which has another number: they
                      are no part of the connection
    answers_syn       the frame of the other end's SYN, which this connection's SYN answers; else 0
    successor         what opened its four-tuple anew, after which it can have no more segments

    Many of these are open at once: what most connections never have is made when it is needed.
    """

    __slots__ = (
        "_bits",
        "answers_syn",
        "before_syn",
        "client",
        "client_flow",
        "crossed",
        "data_after_fin",
        "doubtful",
        "ended",
        "established",
        "exchanges",
        "first_data_frame",
        "first_fin",
        "first_frame",
        "first_from_server",
        "history",
        "id",
        "last_flags",
        "last_frame",
        "last_from_client",
        "last_length",
        "last_syn_ns",
        "last_time_ns",
        "longest_silence",
        "mid_stream",
        "noted",
        "port_reused",
        "probes_inferred",
        "refused",
        "reset_by",
        "reset_cause",
        "reset_frame",
        "reset_segment",
        "reset_state",
        "reset_unacked",
        "resets_ignored",
        "roles",
        "rtt_ns",
        "saw_synack",
        "server",
        "short_of_fin",
        "simultaneous",
        "start_ns",
        "strays",
        "successor",
        "undo",
        "unnumbered",
        "watch",
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
        self.first_from_server = first.flow != client_flow
        self.start_ns = first.time_ns
        self.last_frame = first.frame
        self.last_time_ns = first.time_ns
        self.last_flags = 0
        self.last_length = 0
        self.last_from_client = True
        self.first_data_frame = 0
        self.exchanges: list[Exchange] | None = [] if keep else None
        self.noted = _NOTHING
        self.port_reused = port_reused
        self.mid_stream = not first.flags & SYN
        self.established = self.mid_stream
        self.ended = False
        self.watch = not self.mid_stream  # each segment may move a state: not so between open and close
        self.saw_synack = False
        self.simultaneous = False
        self.refused = False
        self.doubtful: DoubtfulReset | None = None
        self.reset_by: Endpoint | None = None
        self.reset_frame = 0
        self.reset_state: tuple[State, State] | None = None
        self.reset_unacked = 0
        self.reset_segment: Segment | None = None
        self.reset_cause: Cause | None = None
        self.resets_ignored: tuple[tuple[int, bool], ...] = ()
        self.rtt_ns = 0
        self.last_syn_ns = first.time_ns
        self.crossed = False
        self.answers_syn = 0
        self.before_syn: tuple[int, ...] = ()
        self.strays: tuple[int, ...] = ()
        self.undo: DoubtfulReset | None = None  # what the RST that ended it changed
        self.successor: Successor | None = None
        self.data_after_fin: tuple[tuple[int, bool], ...] = ()
        self.short_of_fin: tuple[int, ...] = ()
        self.first_fin: Endpoint | None = None
        self.history = ""
        self.unnumbered = 0  # segments of a text that printed no sequence number
        self.probes_inferred: tuple[Probe, ...] = ()
        self.longest_silence = (0, 0)  # (ns, frame after it)
        self._bits = 0
        if self.mid_stream:
            self.client.state = self.server.state = State.ESTABLISHED

    # ---------------------------------------------------------------- feeding

    def feed(self, segment: Segment, from_client: bool) -> None:
        """Take the next segment of this connection."""
        frame, time_ns, _, flags, seq, ack, window, length, _, _, _ = segment
        fwd, rev = (self.client, self.server) if from_client else (self.server, self.client)
        if seq is None:
            self.unnumbered += 1
            seq = fwd.next_seq if fwd.next_seq is not None else 0
        if fwd.base is None:
            fwd.base = seq if flags & SYN else (seq - 1) & MASK
        if rev.base is None and flags & ACK:
            rev.base = (ack - 1) & MASK
        silence = time_ns - self.last_time_ns
        if silence > self.longest_silence[0]:
            self.longest_silence = (silence, frame)
        fwd.last_frame = frame
        fwd.packets += 1

        expected = fwd.next_seq
        other_number = False
        if flags & CONTROL:
            if flags & SYN:
                other_number = seq != fwd.base
                if other_number and self.before_syn and not fwd.saw_syn and segment.ack == rev.next_seq:
                    expected = None
                    self._begin_again(fwd, rev, seq)
                self._options_of_syn(fwd, segment)
                if not flags & ACK:
                    self.last_syn_ns = time_ns
            self._control_letters(fwd, flags, length, frame)
            self.watch = True
        elif length:
            if not fwd.letters & zeek.D:
                self._letter(fwd, zeek.D)
        elif flags & ACK and not fwd.letters & zeek.A:
            self._letter(fwd, zeek.A)
        if not self.rtt_ns and self.saw_synack and flags & (SYN | ACK) == ACK:
            self.rtt_ns = max(0, time_ns - self.last_syn_ns)  # what Wireshark calls the initial RTT
        notes = classify(fwd, rev, segment, seq, self.rtt_ns)
        if segment.seq is None:
            notes = self._notes_without_number(fwd, rev, segment, notes, silence)
        if flags & SYN and (other_number or (frame == self.first_frame and self.port_reused)):
            notes |= PORT_REUSED
        if length:
            if not self.first_data_frame:
                self.first_data_frame = frame
            self._data(fwd, seq, length, flags)
        if self.watch:
            walk(self, fwd, rev, segment, seq, expected)
        if notes:
            self._note(notes, segment, fwd, rev)
        if fwd.zero_since and window:
            fwd.zero_total += time_ns - fwd.zero_since
            fwd.zero_since = 0
        self.last_frame, self.last_time_ns = frame, time_ns
        self.last_flags, self.last_length, self.last_from_client = flags, length, from_client
        if self.exchanges is not None:
            shift = fwd.scale if fwd.scale > 0 and rev.scale >= 0 and not flags & SYN else 0
            self.exchanges.append(
                Exchange(
                    segment,
                    from_client,
                    None if segment.seq is None else (seq - fwd.base) & MASK,
                    (ack - rev.base) & MASK if flags & ACK and rev.base is not None else 0,
                    window << shift,
                    notes,
                )
            )

    def _options_of_syn(self, fwd: Endpoint, segment: Segment) -> None:
        fwd.mss, scale, fwd.timestamps = tcp_options.offered(segment.options)
        fwd.scale = -2 if scale is None else scale
        fwd.saw_syn = True
        if not fwd.syn_frame:
            fwd.syn_frame, fwd.syn_time = segment.frame, segment.time_ns

    def _begin_again(self, fwd: Endpoint, rev: Endpoint, seq: int) -> None:
        """Only with its SYN,ACK does `fwd` begin: what came before was sent by another, or was old."""
        assert fwd.base is not None
        moved = (fwd.base - seq) & MASK
        self.strays = self.before_syn
        if self.first_fin is fwd:
            self.first_fin = None
        fwd.forget(seq)
        if self.exchanges is not None:
            self.exchanges[:] = [
                e._replace(seq=None if e.seq is None else (e.seq + moved) & MASK)
                if e.from_client == fwd.is_client
                else e._replace(ack=(e.ack + moved) & MASK if e.segment.flags & ACK else 0)
                for e in self.exchanges
            ]

    def _letter(self, fwd: Endpoint, bit: int) -> None:
        fwd.letters |= bit
        self.history += (zeek.CAPITAL if fwd.is_client else zeek.SMALL)[bit]
        if bit == zeek.A:
            self._bits |= 4
        elif bit == zeek.D:
            self._bits |= 8

    def _control_letters(self, fwd: Endpoint, flags: int, length: int, frame: int) -> None:
        new = zeek.control_letters(flags, length) & ~fwd.letters
        while new:
            lowest = new & -new
            self._letter(fwd, lowest)
            new ^= lowest
        if flags & SYN:
            self._bits |= 2 if flags & ACK else frame == self.first_frame
        elif flags & ACK and not length:
            self._bits |= 4
        if flags & FIN:
            self._bits |= 16
        if flags & RST:
            self._bits |= 32

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

    def _note(self, notes: int, segment: Segment, fwd: Endpoint, rev: Endpoint) -> None:
        """Remember what was noted of a segment that `fwd` sent."""
        from_client = fwd.is_client
        for bit, _ in LABELS:
            if notes & bit:
                noted = self.noted.get(bit)
                if noted is None:
                    if self.noted is _NOTHING:
                        self.noted = {}
                    noted = self.noted[bit] = Noted()
                noted.count += 1
                noted.by_client += from_client
                noted.last_frame, noted.last_time_ns = segment.frame, segment.time_ns
                if len(noted.frames) < FRAMES_KEPT:
                    noted.frames.append((segment.frame, from_client, segment.time_ns))
        if notes & ZERO_WINDOW and not fwd.zero_since:
            fwd.zero_since = segment.time_ns
        if notes & ZERO_WINDOW and not fwd.letters & zeek.W:
            self._letter(fwd, zeek.W)
        if notes & _SENT_AGAIN and segment.length and not fwd.letters & zeek.T:
            self._letter(fwd, zeek.T)
        if notes & PREVIOUS_SEGMENT_LOST and not fwd.letters & zeek.G:
            self._letter(fwd, zeek.G)

    def _notes_without_number(
        self, fwd: Endpoint, rev: Endpoint, segment: Segment, notes: int, silence: int
    ) -> int:
        """The notes of a segment for which a text prints no sequence number.

        Its number was taken to be the next one, so a keepalive probe looks like a duplicate ACK.
        It is told apart by what the text does show: seconds of silence before it, or another
        probe; an acknowledgment that repeats; and no timestamps where the connection uses them
        (macOS probes; its answers carry them again).
        """
        if not notes & (DUPLICATE_ACK | KEEP_ALIVE_ACK):
            return notes
        bare = fwd.timestamps and tcp_options.timestamps(segment.options) is None
        probing = (fwd.last_notes | rev.last_notes) & KEEP_ALIVE
        quiet = silence >= 1_000_000_000
        if (quiet and rev.window != 0) or (bare and probing):
            notes = (notes & ~(DUPLICATE_ACK | KEEP_ALIVE_ACK)) | KEEP_ALIVE
            fwd.probing = True
            if len(self.probes_inferred) < FRAMES_KEPT:
                self.probes_inferred += (Probe(segment.frame, fwd.is_client, silence, bare),)
        elif probing or rev.last_notes & KEEP_ALIVE_ACK:
            notes = (notes & ~DUPLICATE_ACK) | KEEP_ALIVE_ACK
        fwd.last_notes = notes
        return notes

    # --------------------------------------------------------------- verdicts

    @property
    def never_opened(self) -> bool:
        """Whether no more than an attempt to open it was seen."""
        return not self.established and not self.first_data_frame and self.first_fin is None

    @property
    def opening(self) -> Opening:
        """How it began."""
        if self.mid_stream:
            return Opening.MID_STREAM
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
        return Opening.SYN_ONLY

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
    def close_segments(self) -> int | None:
        """3 when the second FIN carried the ACK of the first, 4 when that ACK came alone."""
        if self.ending is not Ending.ORDERLY:
            return None
        first = self.first_fin
        assert first is not None
        second = self.server if first is self.client else self.client
        return 3 if first.fin_acked_frame == second.fin_first_frame else 4

    @property
    def duration_ns(self) -> int:
        """From its first to its last segment, ns."""
        return self.last_time_ns - self.start_ns

    @property
    def addresses(self) -> tuple[Address, Address]:
        """The client's and the server's address."""
        return endpoints(self.client_flow)

    @property
    def completeness(self) -> int:
        """Wireshark's `tcp.completeness`: 1 SYN, 2 SYN-ACK, 4 ACK without data, 8 data, 16 FIN, 32 RST.

        It has no direction: 31 is one FIN or both.  As in Wireshark, a SYN counts when it is the
        first segment of its connection.
        """
        return self._bits

    def count(self, note: int) -> int:
        """How many segments carry a note."""
        noted = self.noted.get(int(note))
        return noted.count if noted else 0

    def frames(self, note: int, from_client: bool | None = None) -> list[int]:
        """The first frames that carry a note, of both sides or of one: `FRAMES_KEPT` of them."""
        noted = self.noted.get(int(note))
        if noted is None:
            return []
        return [f for f, c, _ in noted.frames if from_client is None or c == from_client]

    def state_after(self, frame: int, side: Endpoint) -> State | None:
        """The state of one end once `frame` had been sent and taken; None before its first."""
        state = State.ESTABLISHED if self.mid_stream else None
        for transition in side.transitions:
            if transition.frame > frame:
                break
            state = transition.state
        return state


__all__ = ["Cause", "Connection", "Ending", "Exchange", "Noted", "Opening", "Probe", "Successor", "names"]
