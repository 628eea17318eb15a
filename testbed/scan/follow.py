"""One segment of a connection, compiled: `Connection.feed` and `tcp.classify` on records.

The questions, their order and their limits are those of `tcp.classify`, whose reasons are there.
`beyond` says what is not followed here but handed to the pure core.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tcp import notes as tcp_notes
from ..tcp.classify import (
    ACKED_LOST_SEGMENT,
    CONTROL,
    DUPLICATE_ACK,
    FAST_RETRANSMISSION,
    FAST_RETRANSMISSION_WITHIN,
    HALF,
    KEEP_ALIVE,
    KEEP_ALIVE_ACK,
    MASK,
    OUT_OF_ORDER,
    OUT_OF_ORDER_WITHIN,
    OVERTAKEN_WITHIN,
    PORT_REUSED,
    PREVIOUS_SEGMENT_LOST,
    RETRANSMISSION,
    SPURIOUS_RETRANSMISSION,
    WINDOW_FULL,
    WINDOW_UPDATE,
    ZERO_WINDOW,
    ZERO_WINDOW_PROBE,
)
from ..tcp.states import State
from ..tcp.walk import FRAMES_KEPT
from ..wire.segment import ACK, FIN, RST, SYN
from .compiled import inlined
from .flows import find, hashed
from .incarnations import FULL, begin, begins_anew, note_ended, rare_of, side_of
from .layout import STATE, At, Int, Of, Scalar, Tables
from .machine import walk

SENT_AGAIN = int(tcp_notes.SENT_AGAIN)

TAKEN, ROOM, PURE = 0, 1, 2
"""What came of a segment: followed; not looked at before there is more room; one for the pure core."""

CLOSED, SYN_SENT = STATE[State.CLOSED], STATE[State.SYN_SENT]


@inlined
def take(
    t: Tables,
    frame: Int,
    time_ns: Int,
    v6: Int,
    s0: Any,
    s1: Any,
    d0: Any,
    d1: Any,
    sport: Int,
    dport: Int,
    flags: Int,
    seq: Int,
    ack: Int,
    window: Int,
    length: Int,
    scale: Int,
    number: Any,
) -> Int:
    """Take a segment to its connection.

    s0, s1, d0, d1  the halves of the addresses, 64 bits each; IPv4: 0 and the address
    scale           the window scale that a SYN offers, -2 none
    number          the four-tuple's hash; 0 where that is not known yet

    After PURE the connection's place and the sender are in the scalars Scalar.INDEX and Scalar.SIDE.
    """
    scalars = t.scalars
    if not scalars[Scalar.RARE_FREE] and scalars[Scalar.RARE_USED] + 2 > t.rare.size:
        return ROOM
    from_low = s1 < d1 if s0 == d0 else s0 < d0
    itself = False
    if s0 == d0 and s1 == d1:
        from_low = sport <= dport
        itself = sport == dport
    if from_low:
        l0, l1, h0, h1, ports = s0, s1, d0, d1, np.uint32(sport << 16 | dport)
    else:
        l0, l1, h0, h1, ports = d0, d1, s0, s1, np.uint32(dport << 16 | sport)
    if not number:
        number = hashed(scalars[Scalar.SEED], v6, l0, l1, h0, h1, ports)
    i = find(t, number, v6, l0, l1, h0, h1, ports)
    if i < 0 or (flags & SYN and begins_anew(t, i, side_of(t.connections[i], from_low), flags, seq)):
        i = begin(t, number, v6, l0, l1, h0, h1, ports, from_low, itself, frame, time_ns, flags)
        if i == FULL:
            return ROOM
    c = t.connections[i]
    side = side_of(c, from_low)
    if c.bits & Of.PURE or beyond(c, t.ends[2 * i + side], t.ends[2 * i + 1 - side], flags, seq, ack, length):
        scalars[Scalar.INDEX], scalars[Scalar.SIDE] = i, side
        return PURE
    feed(t, i, side, frame, time_ns, flags, seq, ack, window, length, scale)
    note_ended(t, i)
    taken(t, time_ns)
    return TAKEN


@inlined
def taken(t: Tables, time_ns: Int) -> None:
    """Count a segment that was taken, here or by the pure core."""
    t.scalars[Scalar.SEGMENTS] += 1
    t.scalars[Scalar.END_NS] = max(t.scalars[Scalar.END_NS], time_ns)


@inlined
def beyond(c: Any, fwd: Any, rev: Any, flags: Int, seq: Int, ack: Int, length: Int) -> Int:
    """Whether a segment may make of a connection what its records cannot hold: see `layout`."""
    if not (flags & CONTROL or c.bits & Of.WATCH):
        return False
    if flags & SYN:
        if c.bits & Of.BEFORE_SYN and not fwd.bits & At.SAW_SYN:
            return True
        if not flags & ACK and rev.bits & At.SAW_SYN and rev.state == SYN_SENT and not c.bits & Of.SAW_SYNACK:
            return True
    elif not fwd.bits & At.SAW_SYN and rev.bits & At.SAW_SYN and not c.bits & Of.MID_STREAM:
        answers_syn = rev.state == SYN_SENT and fwd.state == CLOSED and not c.bits & Of.SAW_SYNACK
        if not flags & RST or not answers_syn or c.bits & (Of.BEFORE_SYN | Of.RESET):
            return True
    if flags & RST:
        exact = (
            not rev.bits & At.LAST_ACK
            or seq == rev.last_ack
            or (fwd.packets and seq == fwd.next_seq)
            or rev.state == SYN_SENT
            or rev.state == CLOSED
        )
        return not exact and not c.bits & Of.RESET
    if fwd.bits & At.FIN and length and not flags & FIN:
        past = (seq + length - np.int64(fwd.fin_seq)) & MASK
        if 0 < past < HALF:
            return True
    short = flags & ACK and rev.bits & At.FIN and ack == rev.fin_seq and not length and not flags & FIN
    return bool(short and not fwd.packets)


@inlined
def feed(
    t: Tables,
    i: Int,
    side: Int,
    frame: Int,
    time_ns: Int,
    flags: Int,
    seq: Int,
    ack: Int,
    window: Int,
    length: Int,
    scale: Int,
) -> None:
    """As `Connection.feed`."""
    c, fwd, rev = t.connections[i], t.ends[2 * i + side], t.ends[2 * i + 1 - side]
    if not fwd.bits & At.BASE:
        fwd.bits |= At.BASE
        fwd.base = seq if flags & SYN else (seq - 1) & MASK
    if flags & ACK and not rev.bits & At.BASE:
        rev.bits |= At.BASE
        rev.base = (ack - 1) & MASK
    reused = 0
    if flags & CONTROL:
        if flags & SYN:
            if seq != fwd.base or (frame == c.first_frame and c.bits & Of.PORT_REUSED):
                reused = PORT_REUSED
            if side and not fwd.bits & At.SAW_SYN:
                c.server_syn_ns = time_ns
            fwd.scale = scale
            fwd.bits |= At.SAW_SYN
            if not flags & ACK:
                c.last_syn_ns = time_ns
        c.bits |= Of.WATCH
    if not c.rtt_ns and c.bits & Of.SAW_SYNACK and flags & (SYN | ACK) == ACK:
        c.rtt_ns = max(0, time_ns - c.last_syn_ns)
    notes = classify(fwd, rev, time_ns, flags, seq, ack, window, length, c.rtt_ns) | reused
    if length:
        c.bits |= Of.DATA
        _data(fwd, seq, length, flags)
    if c.bits & Of.WATCH:
        walk(t, i, side, frame, time_ns, flags, seq, ack, length)
    if notes:
        _note(t, i, side, time_ns, notes)
    if fwd.bits & At.ZERO and window:
        own = t.rare[np.int64(c.rare) + side]
        own.zero_total += time_ns - own.zero_since
        own.zero_since = 0
        fwd.bits &= ~np.uint16(At.ZERO)
    c.last_ns = time_ns
    if side:
        c.bits |= Of.LAST_BY_SERVER
    else:
        c.bits &= ~np.uint32(Of.LAST_BY_SERVER)
    fwd.packets += 1
    rev.unanswered = 0


@inlined
def _data(fwd: Any, seq: Int, length: Int, flags: Int) -> None:
    start = (seq + 1) & MASK if flags & SYN else seq
    end = (start + length) & MASK
    if not fwd.bits & At.DATA:
        fwd.bits |= At.DATA
        fwd.data_start, fwd.data_end = start, end
        return
    if (end - np.int64(fwd.data_end)) & MASK < HALF:
        fwd.data_end = end
    if (np.int64(fwd.data_start) - start) & MASK < HALF:
        fwd.data_start = start


@inlined
def _note(t: Tables, i: Int, side: Int, time_ns: Int, notes: Int) -> None:
    """Remember what was noted of a segment: of most notes that it was, of some how often."""
    c, fwd = t.connections[i], t.ends[2 * i + side]
    c.noted |= notes
    if notes & SENT_AGAIN:
        fwd.resent += 1
    if notes & (KEEP_ALIVE | ZERO_WINDOW):
        at = rare_of(t, i)
        own, peers = t.rare[at + side], t.rare[at + 1 - side]
        if notes & KEEP_ALIVE:
            if np.int64(own.keepalives) + np.int64(peers.keepalives) < FRAMES_KEPT:
                fwd.unanswered += 1
            own.keepalives += 1
        if notes & ZERO_WINDOW:
            if np.int64(own.zero_windows) + np.int64(peers.zero_windows) < FRAMES_KEPT:
                fwd.bits |= At.ZERO_NOTED
            own.zero_windows += 1
            if not fwd.bits & At.ZERO and time_ns:
                own.zero_since = time_ns
                fwd.bits |= At.ZERO
    if notes & (WINDOW_UPDATE | DUPLICATE_ACK) and not c.bits & (Of.DATA | Of.FIRST_FIN):
        among_first = c.early_updates if notes & WINDOW_UPDATE else c.early_duplicates
        if side and among_first < FRAMES_KEPT:
            servers = t.rare[rare_of(t, i) + 1]
            if not servers.habit_time or time_ns < servers.habit_time:
                servers.habit_time = time_ns
        if notes & WINDOW_UPDATE:
            c.early_updates += c.early_updates < 255
        else:
            c.early_duplicates += c.early_duplicates < 255


@inlined
def classify(
    fwd: Any,
    rev: Any,
    time_ns: Int,
    flags: Int,
    seq: Int,
    ack: Int,
    window: Int,
    length: Int,
    rtt_ns: Int,
) -> Int:
    """As `classify.classify`.  An end has a next number once it has sent a packet."""
    next_seq = np.int64(fwd.next_seq)
    control = flags & CONTROL
    notes = 0
    if length == 0 and not control:
        notes = _classify_empty(fwd, rev, time_ns, seq, ack, window, next_seq)
    else:
        if fwd.packets:
            ahead = (seq - next_seq) & MASK
            if ahead and ahead < HALF and not flags & RST:
                notes = PREVIOUS_SEGMENT_LOST
            if length == 1 and not control:
                shut = rev.packets and not rev.window
                if shut and (ahead == 0 or ahead == MASK):
                    notes |= ZERO_WINDOW_PROBE
                elif ahead == MASK and rev.bits & At.LAST_ACK and rev.last_ack == next_seq:
                    notes |= KEEP_ALIVE
                    fwd.bits |= At.PROBING
        if window == 0 and not control and not notes & ZERO_WINDOW_PROBE:
            notes |= ZERO_WINDOW
        if not notes & ZERO_WINDOW_PROBE:
            if length and not control and rev.scale != -1 and rev.bits & At.LAST_ACK:
                shift = np.int64(rev.scale) if rev.scale > 0 and fwd.scale >= 0 else 0
                edge = np.int64(rev.last_ack) + (np.int64(rev.window) << shift)
                if (seq + length - edge) & MASK == 0:
                    notes |= WINDOW_FULL
            if not notes & KEEP_ALIVE and fwd.packets and not flags & RST:
                space = length + (1 if flags & (SYN | FIN) else 0)
                notes |= _resent(fwd, rev, seq, length, space, time_ns, rtt_ns, next_seq)
    if flags & ACK:
        if not fwd.bits & At.LAST_ACK or ack != fwd.last_ack:
            fwd.dup_acks = 0
            rev.bits &= ~np.uint16(At.PROBING)
        if rev.packets:
            top = np.int64(rev.highest_to_ack)
            if ack != top and (ack - top) & MASK < HALF:
                known = np.int64(rev.next_seq)
                if rev.last_notes & ZERO_WINDOW_PROBE and ack == (known + 1) & MASK:
                    notes |= WINDOW_UPDATE
                else:
                    notes |= ACKED_LOST_SEGMENT
                rev.highest_to_ack = ack if (ack - known) & MASK < HALF else known
        fwd.bits |= At.LAST_ACK
        fwd.last_ack = ack
        fwd.last_ack_time = time_ns
    fwd.window = window
    end = (seq + length + (1 if flags & (SYN | FIN) else 0)) & MASK
    if not notes & ZERO_WINDOW_PROBE:
        if not fwd.packets or (end != next_seq and (end - next_seq) & MASK < HALF and not flags & RST):
            fwd.next_seq = end
            fwd.next_seq_time = time_ns
        if not fwd.packets or seq == fwd.highest_to_ack:
            fwd.highest_to_ack = fwd.next_seq
    fwd.last_notes = notes
    return notes


@inlined
def _classify_empty(fwd: Any, rev: Any, time_ns: Int, seq: Int, ack: Int, window: Int, next_seq: Int) -> Int:
    notes = 0 if window else ZERO_WINDOW
    if not fwd.packets:
        return notes
    if seq != next_seq:
        ahead = (seq - next_seq) & MASK
        if ahead == MASK:
            if rev.packets and not rev.window:
                return notes | ZERO_WINDOW_PROBE
            overtaken = fwd.bits & At.FIN and seq == fwd.fin_seq and not fwd.bits & At.FIN_ACKED
            if overtaken and time_ns - fwd.next_seq_time < OVERTAKEN_WITHIN:
                return notes
            fwd.bits |= At.PROBING
            return notes | KEEP_ALIVE
        return notes | PREVIOUS_SEGMENT_LOST if ahead < HALF else notes
    if not fwd.bits & At.LAST_ACK or ack != fwd.last_ack:
        return notes
    if window != fwd.window:
        return notes | WINDOW_UPDATE if window else notes
    if rev.bits & At.PROBING and window:
        rev.bits &= ~np.uint16(At.PROBING)
        return notes | KEEP_ALIVE_ACK
    if rev.last_notes & ZERO_WINDOW_PROBE:
        return notes
    if window:
        fwd.dup_acks += fwd.dup_acks < 255
        return notes | DUPLICATE_ACK
    return notes


@inlined
def _resent(
    fwd: Any, rev: Any, seq: Int, length: Int, space: Int, time_ns: Int, rtt_ns: Int, next_seq: Int
) -> Int:
    behind = (next_seq - seq) & MASK
    known = rev.bits & At.LAST_ACK
    if length and known and (np.int64(rev.last_ack) - seq - length) & MASK < HALF:
        return SPURIOUS_RETRANSMISSION
    if behind == 0 or behind >= HALF:
        return 0
    if length > 1 and behind == 1:
        return 0
    if rev.dup_acks >= 2 and known and rev.last_ack == seq:
        since = time_ns - rev.last_ack_time
        if 0 <= since < FAST_RETRANSMISSION_WITHIN:
            return FAST_RETRANSMISSION
    since = time_ns - fwd.next_seq_time
    if 0 <= since < (rtt_ns if rtt_ns else OUT_OF_ORDER_WITHIN) and behind != space:
        return OUT_OF_ORDER
    return RETRANSMISSION
