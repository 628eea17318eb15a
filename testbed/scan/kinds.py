"""Kinds of connections: those that every rule and every verdict answer alike.

A kind is a number made, bit by bit, of all that a rule may ask: which bits are set, which of the rules'
limits are passed.  Then the rules themselves are asked once for each kind (`verdicts`), and none of them
is written a second time.  What a new rule asks besides must have a bit here.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..findings.rules_open import STRAIGHT_AFTER_NS
from ..findings.rules_transfer import RESENT_MANY, RESENT_SHARE, STALLED_NS
from ..findings.signs import LATE_NS
from ..tcp.classify import ACKED_LOST_SEGMENT, HALF, MASK, OUT_OF_ORDER
from .batch import Batch
from .compiled import entry, inlined
from .layout import Array, At, Int, Of

OF_KIND: Final = (
    Of.MID_STREAM
    | Of.ESTABLISHED
    | Of.SAW_SYNACK
    | Of.OPENED
    | Of.REFUSED
    | Of.PORT_REUSED
    | Of.ANSWERS_SYN
    | Of.FIRST_FIN
    | Of.FIRST_FIN_BY_SERVER
    | Of.RESET
    | Of.RESET_BY_SERVER
    | Of.CROSSED
)
"""The bits of a connection that stay where they are in its kind."""

AT_KIND: Final = At.DATA | At.LAST_ACK | At.FIN | At.SAW_SYN | At.CLOSING | At.FIN_ACKED | At.ZERO_NOTED

AT_PLACES: Final = tuple(place for place in range(16) if AT_KIND >> place & 1)
END_BITS: Final = len(AT_PLACES) + 11
REST_BITS: Final = 2 * END_BITS + 8
"""How many bits `_of_end` makes, and all that is not `OF_KIND`."""
assert OF_KIND.bit_length() + REST_BITS <= 64


def kinds(batch: Batch) -> Array:
    """The kind of each connection."""
    answer = np.empty(len(batch), np.uint64)
    _kinds(batch.of, batch.ends, batch.rare, batch.until, answer)
    return answer


@entry
def _kinds(of: Any, ends: Any, rare: Any, until: Any, answer: Any) -> None:
    for k in range(of.size):
        c, client, server = of[k], ends[k, 0], ends[k, 1]
        seldom, servers = rare[k, 0], rare[k, 1]
        bits = _of_closing(c, ends[k], rare[k], until[k])
        bits = bits << 2 | (c.noted & OUT_OF_ORDER != 0) << 1 | (c.noted & ACKED_LOST_SEGMENT != 0)
        habit = servers.habit_time
        bits = bits << 1 | (habit != 0 and habit < c.server_syn_ns + STRAIGHT_AFTER_NS)
        by_server = c.bits & Of.LAST_BY_SERVER != 0
        bits = bits << END_BITS | _of_end(c, client, server, seldom, until[k], by_server)
        bits = bits << END_BITS | _of_end(c, server, client, servers, until[k], not by_server)
        answer[k] = np.uint64(c.bits & OF_KIND) << np.uint64(REST_BITS) | np.uint64(bits)


@inlined
def _of_closing(c: Any, ends: Any, rare: Any, until: Int) -> Int:
    """How the two ends' closings lie in time."""
    if not c.bits & Of.FIRST_FIN:
        return 0
    first = 1 if c.bits & Of.FIRST_FIN_BY_SERVER else 0
    own, others = rare[first], rare[1 - first]
    if c.bits & Of.RESET:
        until = rare[1 if c.bits & Of.RESET_BY_SERVER else 0].reset_time
    bits = np.int64(until - max(own.fin_first_time, ends[1 - first].next_seq_time) >= LATE_NS)
    bits = bits << 1 | (others.fin_first_time - own.fin_time >= LATE_NS)
    bits = bits << 1 | (own.fin_acked_frame >= others.fin_first_frame)
    bits = bits << 1 | (own.fin_acked_frame == others.fin_first_frame)
    return bits << 1 | (abs(others.fin_first_time - own.fin_first_time) >= LATE_NS)


@inlined
def _of_end(c: Any, end: Any, peer: Any, own: Any, until: Int, peer_spoke_last: Int) -> Int:
    bits = np.int64(0)
    for place in AT_PLACES:
        bits = bits << 1 | (end.bits >> place & 1)
    has_data = end.bits & At.DATA != 0
    after_fin = (np.int64(end.data_end) - np.int64(own.heard_fin_at)) & MASK
    behind = (np.int64(end.data_end) - np.int64(peer.last_ack)) & MASK
    waited = until - end.next_seq_time
    shut = own.zero_total + (c.last_ns - own.zero_since if own.zero_since else 0)
    bits = bits << 1 | (end.packets != 0)
    bits = bits << 1 | (has_data and end.bits & At.HEARD_FIN != 0 and 0 < after_fin < HALF)
    bits = bits << 1 | (end.syns_sent > 1)
    bits = bits << 1 | (end.fins_sent > 1)
    bits = bits << 1 | (end.bits & At.FIN != 0 and until - own.fin_first_time >= LATE_NS)
    bits = bits << 1 | (has_data and 0 < behind < HALF and waited >= STALLED_NS and not peer_spoke_last)
    bits = bits << 1 | (own.keepalives != 0)
    bits = bits << 1 | (end.unanswered > 1)
    bits = bits << 1 | (end.resent != 0)
    bits = bits << 1 | (end.resent >= RESENT_MANY and end.resent / max(1, end.packets) >= RESENT_SHARE)
    return bits << 1 | (shut >= STALLED_NS or own.zero_since != 0)
