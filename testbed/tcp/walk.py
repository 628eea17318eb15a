"""Walks the machine of RFC 9293 at both ends of a connection, segment by segment.

A segment that was sent is certain; that it *arrived* is certain only once its receiver answers.
So the sender's edge is walked at once, and the receiver's when its next acknowledgment covers
the segment, dated back to the segment that caused it (`Transition.confirmed_by`).  That is what
tells a FIN that crossed ours (CLOSING) from one that came after, and a lost FIN from a taken one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..wire.segment import ACK, FIN, RST, SYN, Segment
from .classify import HALF, MASK
from .endpoint import Endpoint
from .facts import Cause
from .states import SYNCHRONIZED, Event, State

if TYPE_CHECKING:
    from .connection import Connection

FRAMES_KEPT = 16
"""How many frame numbers are kept for each kind of thing; the rest is counted."""


class DoubtfulReset(NamedTuple):
    """An RST that its receiver may refuse, and what to restore if it did."""

    frame: int
    by: Endpoint
    states: tuple[State, State]
    steps: tuple[int, int]


def walk(
    c: Connection, fwd: Endpoint, rev: Endpoint, segment: Segment, seq: int, expected: int | None
) -> None:
    """Take one segment, which `fwd` sent.  `expected` is the number `fwd` was to send next."""
    flags = segment.flags
    if c.doubtful is not None and not flags & RST:
        _ignored(c, c.doubtful)
    if not fwd.saw_syn and rev.saw_syn and not c.mid_stream and len(c.before_syn) < FRAMES_KEPT:
        c.before_syn += (segment.frame,)
    if flags & RST:
        _reset(c, fwd, rev, segment, seq, expected)
        return
    if flags & SYN:
        _syn(c, fwd, rev, segment)
    elif flags & ACK and not c.established:
        _ack_of_syn(c, fwd, rev, segment)
    if flags & ACK and rev.fin_seq is not None:
        _ack_of_fin(c, fwd, rev, segment, seq)
    if flags & FIN:
        fwd.fins_sent += 1
        if fwd.fin_seq is None:
            fwd.fin_seq = (seq + segment.length) & MASK
            fwd.fin_first_frame, fwd.fin_first_time = segment.frame, segment.time_ns
            fwd.step(Event.SEND_FIN, segment.frame, segment.time_ns)
            c.first_fin = c.first_fin or fwd
        if not fwd.fin_acked_frame:
            fwd.fin_frame, fwd.fin_time = segment.frame, segment.time_ns
            fwd.fin_taken_frame, fwd.fin_taken_time = segment.frame, segment.time_ns
    elif fwd.fin_seq is not None and segment.length:
        _data_after_fin(c, fwd, rev, segment, (seq + segment.length) & MASK)


def _data_after_fin(c: Connection, fwd: Endpoint, rev: Endpoint, segment: Segment, end: int) -> None:
    """`fwd` sends data up to number `end`, and has sent its FIN before.

    As long as data before the FIN is missing, the receiver keeps the FIN and does not take it
    (RFC 9293 section 3.10.7.4): it does with the segment that fills the gap.
    """
    assert fwd.fin_seq is not None
    if 0 < (end - fwd.fin_seq) & MASK < HALF:
        if len(c.data_after_fin) < FRAMES_KEPT:
            c.data_after_fin += ((segment.frame, fwd.is_client),)
    elif not fwd.fin_acked_frame and (rev.last_ack is None or 0 < (end - rev.last_ack) & MASK < HALF):
        fwd.fin_taken_frame, fwd.fin_taken_time = segment.frame, segment.time_ns


def _syn(c: Connection, fwd: Endpoint, rev: Endpoint, segment: Segment) -> None:
    frame, time_ns = segment.frame, segment.time_ns
    fwd.syns_sent += 1
    if not segment.flags & ACK:
        if fwd.state is State.CLOSED and not fwd.steps:
            fwd.step(Event.SEND_SYN, frame, time_ns)
        if rev.saw_syn and not c.saw_synack and rev.state is State.SYN_SENT:
            c.simultaneous = True
        return
    c.saw_synack = True
    if fwd.state is State.SYN_SENT and rev.saw_syn:
        fwd.step(Event.RECEIVE_SYN, rev.syn_frame, rev.syn_time, frame)
    elif fwd.state is State.CLOSED and not fwd.steps:
        fwd.state = State.LISTEN  # it answers, so it was listening
        cause, when = (rev.syn_frame, rev.syn_time) if rev.saw_syn else (frame, time_ns)
        fwd.step(Event.RECEIVE_SYN, cause, when, frame)
    if fwd.fin_seq is None and not fwd.is_client:
        fwd.syn_frame, fwd.syn_time = frame, time_ns
    if not rev.saw_syn and rev.state is State.CLOSED and not rev.steps:
        rev.state = State.SYN_SENT  # its SYN was not captured
    if c.simultaneous and rev.state is State.SYN_RECEIVED:
        rev.step(Event.RECEIVE_ACK_OF_SYN, frame, time_ns)
        if fwd.state is State.SYN_RECEIVED and fwd.last_ack == rev.next_seq and rev.last_ack == fwd.next_seq:
            fwd.step(Event.RECEIVE_ACK_OF_SYN, rev.syn_frame, rev.syn_time, frame)
        _check_established(c)
    if c.strays and c.undo is not None and c.undo.by is fwd:
        # the RST came before this SYN,ACK: if this is taken, that was not
        rev.rst_frame = 0
        own, others = (fwd.state, len(fwd.steps)), (c.undo.states[fwd.is_client], c.undo.steps[fwd.is_client])
        client, server = (own, others) if fwd.is_client else (others, own)
        c.doubtful = DoubtfulReset(c.undo.frame, fwd, (client[0], server[0]), (client[1], server[1]))


def _ack_of_syn(c: Connection, fwd: Endpoint, rev: Endpoint, segment: Segment) -> None:
    frame, time_ns = segment.frame, segment.time_ns
    covers = rev.base is None or (segment.ack - rev.base - 1) & MASK < HALF
    if not covers:
        return
    if fwd.state is State.SYN_SENT and rev.saw_syn and c.saw_synack:
        fwd.step(Event.RECEIVE_SYN_ACK, rev.syn_frame, rev.syn_time, frame)
    if not rev.packets:  # one direction only: what this end goes on to send proves what it received
        if fwd.state is State.SYN_SENT and not c.saw_synack:
            fwd.step(Event.RECEIVE_SYN_ACK, frame, time_ns)
        elif fwd.state is State.SYN_RECEIVED and (segment.length or segment.flags & FIN):
            fwd.step(Event.RECEIVE_ACK_OF_SYN, frame, time_ns)
    if rev.state is State.SYN_RECEIVED:
        rev.step(Event.RECEIVE_ACK_OF_SYN, frame, time_ns)
    if c.simultaneous and fwd.state is State.SYN_RECEIVED and rev.last_ack == fwd.next_seq:
        fwd.step(Event.RECEIVE_ACK_OF_SYN, rev.syn_frame, rev.syn_time, frame)
    _check_established(c)


def _check_established(c: Connection) -> None:
    if c.client.state in SYNCHRONIZED and c.server.state in SYNCHRONIZED:
        c.established = True
        c.watch = c.client.fin_seq is not None or c.server.fin_seq is not None or c.doubtful is not None


def _ack_of_fin(c: Connection, fwd: Endpoint, rev: Endpoint, segment: Segment, seq: int) -> None:
    """`fwd` sends an ACK while `rev` has sent its FIN: does it cover it?

    It proves that `fwd` took the FIN.  Whether `rev` has got this ACK before or after `fwd`'s
    own FIN, if one is under way to it, its next ACK tells: so that ACK is held until then.
    """
    assert rev.fin_seq is not None
    frame, time_ns = segment.frame, segment.time_ns
    if (segment.ack - rev.fin_seq - 1) & MASK >= HALF:
        if segment.ack == rev.fin_seq and not segment.length and not segment.flags & FIN and fwd.packets == 1:
            c.short_of_fin += (frame,)
        return
    if rev.fin_acked_frame:
        return
    rev.fin_acked_frame = frame
    c.ended = c.ended or bool(fwd.fin_acked_frame)
    fwd.heard_fin_at = seq if segment.length else fwd.next_seq
    crossed = fwd.ack_of_fin
    fwd.ack_of_fin = None
    if crossed is not None and crossed[0] < rev.fin_taken_frame:
        fwd.step(Event.RECEIVE_ACK_OF_FIN, *crossed)
        crossed = None
    fwd.step(Event.RECEIVE_FIN, rev.fin_taken_frame, rev.fin_taken_time, frame)
    c.crossed = c.crossed or fwd.state is State.CLOSING
    if crossed is not None:
        fwd.step(Event.RECEIVE_ACK_OF_FIN, *crossed)
    if fwd.fin_seq is not None and not fwd.fin_acked_frame:
        rev.ack_of_fin = (frame, time_ns)  # our FIN may have overtaken this ACK
    else:
        rev.step(Event.RECEIVE_ACK_OF_FIN, frame, time_ns)


def _reset(
    c: Connection, fwd: Endpoint, rev: Endpoint, segment: Segment, seq: int, expected: int | None
) -> None:
    """An RST ends the connection if its number is the one its receiver waits for (RFC 5961 section 3).

    In any other case the receiver may ignore it or challenge it, and older systems take it all the
    same: it counts unless the receiver goes on talking (`_ignored`).
    """
    frame, time_ns = segment.frame, segment.time_ns
    fwd.rst_frame = frame
    if c.reset_by is not None:
        return
    exact = (
        segment.seq is None
        or rev.last_ack is None
        or seq == rev.last_ack
        or seq == expected
        or rev.state in (State.SYN_SENT, State.CLOSED)
    )
    states, steps = (c.client.state, c.server.state), (len(c.client.steps), len(c.server.steps))
    c.undo = DoubtfulReset(frame, fwd, states, steps)
    if not exact:
        c.doubtful = c.undo
    unacknowledged = rev.fin_seq is not None and not rev.fin_acked_frame and segment.flags & ACK
    if unacknowledged and (segment.ack - (rev.fin_seq or 0) - 1) & MASK < HALF:
        rev.fin_acked_frame = frame  # the RST itself shows that the FIN was taken
        fwd.step(Event.RECEIVE_FIN, rev.fin_taken_frame, rev.fin_taken_time, frame)
    c.reset_by, c.reset_frame, c.reset_segment = fwd, frame, segment.bare()
    c.ended = True
    if fwd.packets + rev.packets > 1:
        c.reset_cause = Cause(c.last_frame, c.last_time_ns, c.last_flags, c.last_length, c.last_from_client)
    c.reset_state = (c.client.state, c.server.state)
    if rev.next_seq is not None and fwd.last_ack is not None:
        acked = segment.ack if segment.flags & ACK else fwd.last_ack
        sent = rev.next_seq if rev.fin_seq is None else rev.fin_seq  # bytes: the FIN's number is none
        c.reset_unacked = max(0, ((sent - acked + HALF) & MASK) - HALF)
    if rev.state is State.SYN_SENT and not c.saw_synack:
        c.refused = True
    fwd.step(Event.SEND_RST, frame, time_ns)
    if rev.state is State.SYN_RECEIVED and not c.simultaneous:
        rev.step(Event.RECEIVE_RST, frame, time_ns)
        rev.state = State.CLOSED  # back in LISTEN: this connection is no more
    else:
        rev.step(Event.RECEIVE_RST, frame, time_ns)


def _ignored(c: Connection, doubtful: DoubtfulReset) -> None:
    """The receiver of a doubtful RST did not take it: undo what it did."""
    c.doubtful = None
    if len(c.resets_ignored) < FRAMES_KEPT:
        c.resets_ignored += ((doubtful.frame, doubtful.by.is_client),)
    c.reset_by, c.reset_frame, c.reset_state, c.reset_unacked = None, 0, None, 0
    c.reset_segment = None
    c.reset_cause = None
    c.refused = False
    doubtful.by.rst_frame = 0
    for end, state, count in zip((c.client, c.server), doubtful.states, doubtful.steps, strict=True):
        end.state = state
        end.steps = end.steps[:count]
    c.ended = bool(c.client.fin_acked_frame and c.server.fin_acked_frame)
