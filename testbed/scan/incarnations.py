"""`tcp.tracker` compiled: when a connection begins, and when it is let go.

What a capture's packets are told to be part of must not depend on who reads it, so this follows
`TrackerOf` line by line; its reasons are there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..tcp.states import State
from ..tcp.tracker import MOST_ENDED, MOST_UNOPENED, TWO_MSL_NS
from ..wire.segment import ACK, RST, SYN
from .compiled import compiled, inlined
from .flows import find, hash_of, put, remember, remembered, remove, room_to_remember
from .layout import STATE, At, Gone, Int, Of, Scalar, Tables

FULL: Final = -1
"""In place of a connection: there is no room for it yet."""

UNOPENED_LINKS, ENDED_LINKS = 0, 2
ESTABLISHED = STATE[State.ESTABLISHED]

# ---- the two queues


@inlined
def enqueue(t: Tables, i: Int, first: Int, links: Int) -> None:
    """Put a connection last.  `first` is the queue's place in the scalars, `links` in `queues`."""
    scalars, queues = t.scalars, t.queues
    last = scalars[first + 1]
    queues[i, links], queues[i, links + 1] = last, -1
    if last < 0:
        scalars[first] = i
    else:
        queues[last, links + 1] = i
    scalars[first + 1] = i
    scalars[first + 2] += 1


@inlined
def dequeue(t: Tables, i: Int, first: Int, links: Int) -> None:
    """Take a connection out, wherever it stands."""
    scalars, queues = t.scalars, t.queues
    before, after = queues[i, links], queues[i, links + 1]
    if before < 0:
        scalars[first] = after
    else:
        queues[before, links + 1] = after
    if after < 0:
        scalars[first + 1] = before
    else:
        queues[after, links] = before
    scalars[first + 2] -= 1


@inlined
def note_ended(t: Tables, i: Int) -> None:
    """Queue a connection that has ended, once."""
    c = t.connections[i]
    if c.bits & Of.ENDED and not c.bits & Of.IN_ENDED:
        c.bits |= Of.IN_ENDED
        enqueue(t, i, Scalar.ENDED, ENDED_LINKS)


# ---- letting go


@inlined
def never_opened(c: Any) -> Int:
    """As `Connection.never_opened`."""
    return not c.bits & (Of.ESTABLISHED | Of.DATA | Of.FIRST_FIN)


@compiled
def let_go(t: Tables, i: Int, gone: Int, until: Int, successor: Int) -> Int:
    """No more can come of a connection: it goes to `over`; False, and nothing done, where that is full."""
    scalars = t.scalars
    k = scalars[Scalar.OVER]
    if k == t.over.size or not room_to_remember(t):
        return False
    c = t.connections[i]
    rare = np.int64(c.rare)
    t.over[k] = c
    for side in range(2):
        t.over_ends[2 * k + side] = t.ends[2 * i + side]
        t.over_rare[2 * k + side] = t.rare[rare + side]  # the first two are nobody's and stay blank
    t.over_lives[k], t.over_gone[k] = t.lives[i], gone
    t.over_until[k], t.over_successor[k] = until, successor
    scalars[Scalar.OVER] = k + 1
    if c.bits & Of.IN_UNOPENED:
        dequeue(t, i, Scalar.UNOPENED, UNOPENED_LINKS)
    if c.bits & Of.IN_ENDED:
        dequeue(t, i, Scalar.ENDED, ENDED_LINKS)
    number = hash_of(t, i)
    remove(t.slots, number, i)
    remember(t, number, c.bits & Of.CLIENT_IS_HIGH != 0, t.lives[i])
    if rare:
        t.rare[rare].fin_frame = scalars[Scalar.RARE_FREE]
        scalars[Scalar.RARE_FREE] = rare
    c.bits = 0  # as no live connection's are
    t.queues[i, 0] = scalars[Scalar.FREE]
    scalars[Scalar.FREE] = i
    scalars[Scalar.LIVE] -= 1
    return True


@compiled
def sweep(t: Tables, quiet_since: Int) -> Int:
    """Let go what has been quiet for long enough, and what is too much; False where `over` is full."""
    scalars = t.scalars
    while scalars[Scalar.ENDED] >= 0:
        i = scalars[Scalar.ENDED]
        c = t.connections[i]
        if not c.bits & Of.ENDED:
            dequeue(t, i, Scalar.ENDED, ENDED_LINKS)
            c.bits &= ~np.uint32(Of.IN_ENDED)
        elif scalars[Scalar.ENDED + 2] >= MOST_ENDED or c.last_ns < quiet_since:
            if not let_go(t, i, Gone.QUIET, 0, 0):
                return False
        else:
            break
    while scalars[Scalar.UNOPENED] >= 0:
        i = scalars[Scalar.UNOPENED]
        c = t.connections[i]
        if not never_opened(c):
            dequeue(t, i, Scalar.UNOPENED, UNOPENED_LINKS)
            c.bits &= ~np.uint32(Of.IN_UNOPENED)
        elif scalars[Scalar.UNOPENED + 2] >= MOST_UNOPENED or c.last_ns < quiet_since:
            if not let_go(t, i, Gone.QUIET, 0, 0):
                return False
        else:
            break
    return True


# ---- beginning


@inlined
def begins_anew(t: Tables, i: Int, side: Int, flags: Int, seq: Int) -> Int:
    """Whether a SYN opens the four-tuple of a connection anew."""
    c, end = t.connections[i], t.ends[2 * i + side]
    if not end.bits & At.BASE:
        return False
    ended = c.bits & Of.RESET or t.ends[2 * i].bits & At.FIN or t.ends[2 * i + 1].bits & At.FIN
    saw_syn = end.bits & At.SAW_SYN
    other = seq != end.base
    if flags & ACK:
        return bool(ended and saw_syn and other)
    return bool(other or (ended and saw_syn))


@inlined
def from_client(from_low: Int, ports: Int, flags: Int) -> Int:
    """Whether the first segment of a connection comes from its client."""
    if flags & SYN and not flags & RST:
        return not flags & ACK
    low, high = ports >> 16, ports & 0xFFFF
    source, destination = (low, high) if from_low else (high, low)
    return source == destination or destination < source


@inlined
def begin(
    t: Tables,
    number: Any,
    v6: Int,
    l0: Any,
    l1: Any,
    h0: Any,
    h1: Any,
    ports: Any,
    from_low: Int,
    itself: Int,
    frame: Int,
    time_ns: Int,
    flags: Int,
) -> Int:
    """A new connection's place; FULL where there is no room, and then this is to be done again."""
    scalars = t.scalars
    if scalars[Scalar.FREE] < 0 and scalars[Scalar.USED] == t.connections.size:
        return FULL
    if scalars[Scalar.LIVE] * 2 >= t.slots.size or not sweep(t, time_ns - TWO_MSL_NS):
        return FULL
    bits = 0
    before = find(t, number, v6, l0, l1, h0, h1, ports)
    if before >= 0:
        old = t.connections[before]
        side = side_of(old, from_low)
        if not flags & ACK and never_opened(old) and not old.bits & Of.ENDED and side:
            bits |= Of.ANSWERS_SYN
        if not let_go(t, before, Gone.ANEW, time_ns, frame):
            return FULL
    life = remembered(t, number)
    if life:
        bits |= Of.PORT_REUSED
    i = scalars[Scalar.FREE]
    if i < 0:
        i = scalars[Scalar.USED]
        scalars[Scalar.USED] = i + 1
    else:
        scalars[Scalar.FREE] = t.queues[i, 0]
    _fill(t, i, v6, l0, l1, h0, h1, ports, from_low, itself, frame, time_ns, flags, bits)
    t.lives[i] = life + 1
    put(t.slots, number, i)
    scalars[Scalar.LIVE] += 1
    enqueue(t, i, Scalar.UNOPENED, UNOPENED_LINKS)
    return i


@inlined
def _fill(
    t: Tables,
    i: Int,
    v6: Int,
    l0: Any,
    l1: Any,
    h0: Any,
    h1: Any,
    ports: Any,
    from_low: Int,
    itself: Int,
    frame: Int,
    time_ns: Int,
    flags: Int,
    bits: Int,
) -> None:
    bits |= Of.IN_UNOPENED
    if v6:
        bits |= Of.V6
    if itself:
        bits |= Of.SELF
    if from_client(from_low, np.int64(ports), flags) != from_low:
        bits |= Of.CLIENT_IS_HIGH
    if not flags & SYN or flags & RST:
        bits |= Of.INFERRED
    bits |= Of.WATCH if flags & SYN else Of.MID_STREAM | Of.ESTABLISHED
    t.scalars[Scalar.OPENED] += 1
    c = t.connections[i]
    c.low[0], c.low[1], c.high[0], c.high[1] = l0, l1, h0, h1
    c.ports, c.number, c.first_frame, c.rare = ports, t.scalars[Scalar.OPENED], frame, 0
    c.start_ns = c.last_ns = c.last_syn_ns = time_ns
    c.rtt_ns = c.server_syn_ns = 0
    c.bits, c.noted, c.early_updates, c.early_duplicates = bits, 0, 0, 0
    for side in range(2):
        end = t.ends[2 * i + side]
        end.next_seq = end.highest_to_ack = end.last_ack = end.base = end.data_start = end.data_end = 0
        end.fin_seq = end.packets = end.resent = 0
        end.next_seq_time = end.last_ack_time = 0
        end.window = end.last_notes = end.bits = 0
        end.state, end.scale = 0 if flags & SYN else ESTABLISHED, -1
        end.dup_acks = end.syns_sent = end.fins_sent = end.unanswered = 0


@inlined
def side_of(c: Any, from_low: Int) -> Int:
    """0 where the client sent it, 1 where the server did."""
    if c.bits & Of.SELF:
        return 1
    return 1 if from_low == (c.bits & Of.CLIENT_IS_HIGH != 0) else 0


@inlined
def rare_of(t: Tables, i: Int) -> Int:
    """The place of a connection's RARE records, which it has from now on."""
    c, scalars = t.connections[i], t.scalars
    at = np.int64(c.rare)
    if at:
        return at
    at = scalars[Scalar.RARE_FREE]
    if at:
        scalars[Scalar.RARE_FREE] = np.int64(t.rare[at].fin_frame)
    else:
        at = scalars[Scalar.RARE_USED]
        scalars[Scalar.RARE_USED] = at + 2
    c.rare = at
    for side in range(2):
        own = t.rare[at + side]
        own.fin_first_time = own.fin_time = own.ack_of_fin_time = own.zero_since = own.zero_total = 0
        own.reset_time = own.habit_time = own.fin_taken_frame = 0
        own.fin_first_frame = own.fin_frame = own.fin_acked_frame = own.ack_of_fin_frame = 0
        own.reset_frame = own.heard_fin_at = own.keepalives = own.zero_windows = 0
    return at
