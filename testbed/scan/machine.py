"""The machine of RFC 9293, compiled: `tcp.walk` without what `follow.beyond` leaves to the pure core.

The edges are those of `tcp.states`, handed over as an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tcp.classify import HALF, MASK
from ..tcp.states import Event, State
from ..wire.segment import ACK, FIN, RST, SYN
from .compiled import inlined
from .incarnations import rare_of
from .layout import EVENT, NOWHERE, STATE, At, Int, Of, Tables

CLOSED, LISTEN, SYN_SENT = STATE[State.CLOSED], STATE[State.LISTEN], STATE[State.SYN_SENT]
SYN_RECEIVED, CLOSING = STATE[State.SYN_RECEIVED], STATE[State.CLOSING]
SEND_SYN, RECEIVE_SYN = EVENT[Event.SEND_SYN], EVENT[Event.RECEIVE_SYN]
RECEIVE_SYN_ACK, RECEIVE_ACK_OF_SYN = EVENT[Event.RECEIVE_SYN_ACK], EVENT[Event.RECEIVE_ACK_OF_SYN]
SEND_FIN, RECEIVE_FIN = EVENT[Event.SEND_FIN], EVENT[Event.RECEIVE_FIN]
RECEIVE_ACK_OF_FIN = EVENT[Event.RECEIVE_ACK_OF_FIN]
SEND_RST, RECEIVE_RST = EVENT[Event.SEND_RST], EVENT[Event.RECEIVE_RST]


@inlined
def step(t: Tables, c: Any, end: Any, event: Int) -> None:
    """Walk the edge for `event`, if the present state has one."""
    state = t.edges[end.state, event]
    if state != NOWHERE:
        end.state = state
        end.bits |= At.STEPPED
        if state == CLOSING:
            end.bits |= At.CLOSING
        if event in (RECEIVE_SYN_ACK, RECEIVE_ACK_OF_SYN):
            c.bits |= Of.OPENED


@inlined
def walk(
    t: Tables, i: Int, side: Int, frame: Int, time_ns: Int, flags: Int, seq: Int, ack: Int, length: Int
) -> None:
    """Take one segment, which the end `side` sent."""
    c, fwd, rev = t.connections[i], t.ends[2 * i + side], t.ends[2 * i + 1 - side]
    if flags & RST:
        if not fwd.bits & At.SAW_SYN and rev.bits & At.SAW_SYN and not c.bits & Of.MID_STREAM:
            c.bits |= Of.BEFORE_SYN
        _reset(t, i, side, frame, time_ns, flags, ack)
        return
    if flags & SYN:
        _syn(t, c, fwd, rev, side, time_ns, flags)
    elif flags & ACK and not c.bits & Of.ESTABLISHED:
        _ack_of_syn(t, c, fwd, rev, flags, ack, length)
    if flags & ACK and rev.bits & At.FIN:
        _ack_of_fin(t, i, side, frame, time_ns, seq, ack, length)
    if flags & FIN:
        own = t.rare[rare_of(t, i) + side]
        fwd.fins_sent += fwd.fins_sent < 255
        if not fwd.bits & At.FIN:
            fwd.bits |= At.FIN
            fwd.fin_seq = (seq + length) & MASK
            own.fin_first_frame, own.fin_first_time = frame, time_ns
            step(t, c, fwd, SEND_FIN)
            if not c.bits & Of.FIRST_FIN:
                c.bits |= Of.FIRST_FIN | (Of.FIRST_FIN_BY_SERVER if side else 0)
        if not fwd.bits & At.FIN_ACKED:
            own.fin_frame, own.fin_time, own.fin_taken_frame = frame, time_ns, frame
    elif length and fwd.bits & At.FIN and not fwd.bits & At.FIN_ACKED:
        end = (seq + length) & MASK
        missing = not rev.bits & At.LAST_ACK or 0 < (end - np.int64(rev.last_ack)) & MASK < HALF
        if missing and not 0 < (end - np.int64(fwd.fin_seq)) & MASK < HALF:
            t.rare[rare_of(t, i) + side].fin_taken_frame = frame


@inlined
def _syn(t: Tables, c: Any, fwd: Any, rev: Any, side: Int, time_ns: Int, flags: Int) -> None:
    fwd.syns_sent += fwd.syns_sent < 255
    if not flags & ACK:
        if fwd.state == CLOSED and not fwd.bits & At.STEPPED:
            step(t, c, fwd, SEND_SYN)
        return
    c.bits |= Of.SAW_SYNACK
    if fwd.state == SYN_SENT and rev.bits & At.SAW_SYN:
        step(t, c, fwd, RECEIVE_SYN)
    elif fwd.state == CLOSED and not fwd.bits & At.STEPPED:
        fwd.state = LISTEN
        step(t, c, fwd, RECEIVE_SYN)
    if not fwd.bits & At.FIN and side:
        c.server_syn_ns = time_ns
    if not rev.bits & At.SAW_SYN and rev.state == CLOSED and not rev.bits & At.STEPPED:
        rev.state = SYN_SENT


@inlined
def _ack_of_syn(t: Tables, c: Any, fwd: Any, rev: Any, flags: Int, ack: Int, length: Int) -> None:
    if rev.bits & At.BASE and (ack - np.int64(rev.base) - 1) & MASK >= HALF:
        return
    if fwd.state == SYN_SENT and rev.bits & At.SAW_SYN and c.bits & Of.SAW_SYNACK:
        step(t, c, fwd, RECEIVE_SYN_ACK)
    if not rev.packets:
        if fwd.state == SYN_SENT and not c.bits & Of.SAW_SYNACK:
            step(t, c, fwd, RECEIVE_SYN_ACK)
        elif fwd.state == SYN_RECEIVED and (length or flags & FIN):
            step(t, c, fwd, RECEIVE_ACK_OF_SYN)
    if rev.state == SYN_RECEIVED:
        step(t, c, rev, RECEIVE_ACK_OF_SYN)
    if t.synchronized[fwd.state] and t.synchronized[rev.state]:
        c.bits |= Of.ESTABLISHED
        if not (fwd.bits | rev.bits) & At.FIN:
            c.bits &= ~np.uint32(Of.WATCH)


@inlined
def _ack_of_fin(
    t: Tables, i: Int, side: Int, frame: Int, time_ns: Int, seq: Int, ack: Int, length: Int
) -> None:
    c, fwd, rev = t.connections[i], t.ends[2 * i + side], t.ends[2 * i + 1 - side]
    if (ack - np.int64(rev.fin_seq) - 1) & MASK >= HALF or rev.bits & At.FIN_ACKED:
        return
    at = rare_of(t, i)
    own, peers = t.rare[at + side], t.rare[at + 1 - side]
    rev.bits |= At.FIN_ACKED
    peers.fin_acked_frame = frame
    if fwd.bits & At.FIN_ACKED:
        c.bits |= Of.ENDED
    fwd.bits |= At.HEARD_FIN
    own.heard_fin_at = seq if length else np.int64(fwd.next_seq)
    holds = fwd.bits & At.HOLDS_ACK
    fwd.bits &= ~np.uint16(At.HOLDS_ACK)
    if holds and own.ack_of_fin_frame < peers.fin_taken_frame:
        step(t, c, fwd, RECEIVE_ACK_OF_FIN)
        holds = 0
    step(t, c, fwd, RECEIVE_FIN)
    if fwd.state == CLOSING:
        c.bits |= Of.CROSSED
    if holds:
        step(t, c, fwd, RECEIVE_ACK_OF_FIN)
    if fwd.bits & At.FIN and not fwd.bits & At.FIN_ACKED:
        rev.bits |= At.HOLDS_ACK
        peers.ack_of_fin_frame, peers.ack_of_fin_time = frame, time_ns
    else:
        step(t, c, rev, RECEIVE_ACK_OF_FIN)


@inlined
def _reset(t: Tables, i: Int, side: Int, frame: Int, time_ns: Int, flags: Int, ack: Int) -> None:
    c, fwd, rev = t.connections[i], t.ends[2 * i + side], t.ends[2 * i + 1 - side]
    fwd.bits |= At.RST
    if c.bits & Of.RESET:
        return
    at = rare_of(t, i)
    own, peers = t.rare[at + side], t.rare[at + 1 - side]
    unacknowledged = rev.bits & At.FIN and not rev.bits & At.FIN_ACKED and flags & ACK
    if unacknowledged and (ack - np.int64(rev.fin_seq) - 1) & MASK < HALF:
        rev.bits |= At.FIN_ACKED
        peers.fin_acked_frame = frame
        step(t, c, fwd, RECEIVE_FIN)
    c.bits |= Of.RESET | Of.ENDED | (Of.RESET_BY_SERVER if side else 0)
    own.reset_frame, own.reset_time = frame, time_ns
    if rev.state == SYN_SENT and not c.bits & Of.SAW_SYNACK:
        c.bits |= Of.REFUSED
    step(t, c, fwd, SEND_RST)
    back_to_listen = rev.state == SYN_RECEIVED
    step(t, c, rev, RECEIVE_RST)
    if back_to_listen:
        rev.state = CLOSED
