"""What each segment is, judged against what its connection has shown before: the notes.

The questions, their order and their names follow Wireshark's sequence analysis, so that users
can compare; where the project knows better it says so here:

* a probe one below the next number is a *zero-window probe* when the peer's last window was 0,
  and a *keep-alive* only otherwise (they look the same: RFC 9293 sections 3.8.4 and 3.8.6.1);
* a single byte sent again while unacknowledged is a *retransmission*, not a keep-alive;
* an acknowledgment that the sender's own FIN has overtaken is not one either.

`classify` is called for every segment and is the hot path of the whole program: plain integers,
no objects made.
"""

from __future__ import annotations

from ..wire.segment import ACK, FIN, RST, SYN, Segment
from .endpoint import Endpoint
from .notes import Note

RETRANSMISSION = int(Note.RETRANSMISSION)
FAST_RETRANSMISSION = int(Note.FAST_RETRANSMISSION)
SPURIOUS_RETRANSMISSION = int(Note.SPURIOUS_RETRANSMISSION)
OUT_OF_ORDER = int(Note.OUT_OF_ORDER)
DUPLICATE_ACK = int(Note.DUPLICATE_ACK)
KEEP_ALIVE = int(Note.KEEP_ALIVE)
KEEP_ALIVE_ACK = int(Note.KEEP_ALIVE_ACK)
ZERO_WINDOW = int(Note.ZERO_WINDOW)
ZERO_WINDOW_PROBE = int(Note.ZERO_WINDOW_PROBE)
WINDOW_UPDATE = int(Note.WINDOW_UPDATE)
WINDOW_FULL = int(Note.WINDOW_FULL)
PREVIOUS_SEGMENT_LOST = int(Note.PREVIOUS_SEGMENT_LOST)
ACKED_LOST_SEGMENT = int(Note.ACKED_LOST_SEGMENT)
PORT_REUSED = int(Note.PORT_REUSED)

CONTROL = SYN | FIN | RST
MASK = 0xFFFFFFFF
HALF = 0x80000000

FAST_RETRANSMISSION_WITHIN = 20_000_000
"""ns after the last duplicate ACK in which a retransmission counts as a fast one."""
OUT_OF_ORDER_WITHIN = 3_000_000
"""ns after the highest segment in which a lower one counts as reordered, the RTT being unknown."""

OVERTAKEN_WITHIN = 1_000_000_000
"""ns after a FIN in which an empty segment with its number is an older one, not a probe."""


def classify(fwd: Endpoint, rev: Endpoint, segment: Segment, seq: int, rtt_ns: int) -> int:
    """The notes of `segment`, which `fwd` sent to `rev`, as bits; both ends are updated.

    `seq` is the segment's number, or the one assumed where a text prints none.  `rtt_ns` is the
    handshake's round-trip time, 0 when unknown.
    """
    _, time_ns, _, flags, _, ack, window, length, _, _, _ = segment
    next_seq = fwd.next_seq
    control = flags & CONTROL
    notes = 0

    if length == 0 and not control:
        notes = _classify_empty(fwd, rev, seq, ack, window, time_ns)
    else:
        if next_seq is not None:
            ahead = (seq - next_seq) & MASK
            if ahead and ahead < HALF and not flags & RST:
                notes = PREVIOUS_SEGMENT_LOST
            if length == 1 and not control:
                if rev.window == 0 and ahead == 0:
                    notes |= ZERO_WINDOW_PROBE
                elif ahead == MASK:
                    if rev.window == 0:
                        notes |= ZERO_WINDOW_PROBE
                    elif rev.last_ack == next_seq:
                        notes |= KEEP_ALIVE
                        fwd.probing = True
        if window == 0 and not control and not notes & ZERO_WINDOW_PROBE:
            notes |= ZERO_WINDOW
        if not notes & ZERO_WINDOW_PROBE:
            if length and not control and rev.scale != -1 and rev.last_ack is not None:
                edge = rev.last_ack + (rev.window << (rev.scale if rev.scale > 0 and fwd.scale >= 0 else 0))
                if (seq + length - edge) & MASK == 0:
                    notes |= WINDOW_FULL
            if not notes & KEEP_ALIVE and next_seq is not None and not flags & RST:
                taken = length + (1 if flags & (SYN | FIN) else 0)
                notes |= _resent(fwd, rev, seq, length, taken, time_ns, rtt_ns, next_seq)

    if flags & ACK:
        if ack != fwd.last_ack:
            fwd.dup_acks = 0
            rev.probing = False
        top = rev.highest_to_ack
        if top is not None and ack != top and (ack - top) & MASK < HALF:
            if (
                rev.last_notes & ZERO_WINDOW_PROBE
                and rev.next_seq is not None
                and ack == (rev.next_seq + 1) & MASK
            ):
                notes |= WINDOW_UPDATE  # the probe's byte was taken: the window is open again
            else:
                notes |= ACKED_LOST_SEGMENT
            # once is enough for one hole: go on from whatever is higher
            known = rev.next_seq
            rev.highest_to_ack = ack if known is None or (ack - known) & MASK < HALF else known
        fwd.last_ack = ack
        fwd.last_ack_time = time_ns
    fwd.window = window

    end = (seq + length + (1 if flags & (SYN | FIN) else 0)) & MASK
    if not notes & ZERO_WINDOW_PROBE:
        # an RST takes no number, and its own may be a guess
        if next_seq is None or (end != next_seq and (end - next_seq) & MASK < HALF and not flags & RST):
            fwd.next_seq = end
            fwd.next_seq_time = time_ns
        if fwd.highest_to_ack is None or seq == fwd.highest_to_ack:
            fwd.highest_to_ack = fwd.next_seq
    fwd.last_notes = notes
    fwd.last_length = length
    return notes


def _classify_empty(fwd: Endpoint, rev: Endpoint, seq: int, ack: int, window: int, time_ns: int) -> int:
    """The notes of a segment without data and without SYN, FIN or RST."""
    notes = 0 if window else ZERO_WINDOW
    next_seq = fwd.next_seq
    if next_seq is None:
        return notes
    if seq != next_seq:
        ahead = (seq - next_seq) & MASK
        if ahead == MASK:
            if rev.window == 0:
                return notes | ZERO_WINDOW_PROBE
            if (
                seq == fwd.fin_seq
                and not fwd.fin_acked_frame
                and time_ns - fwd.next_seq_time < OVERTAKEN_WITHIN
            ):
                return notes
            fwd.probing = True
            return notes | KEEP_ALIVE
        return notes | PREVIOUS_SEGMENT_LOST if ahead < HALF else notes
    if ack != fwd.last_ack:
        return notes
    if window != fwd.window:
        return notes | WINDOW_UPDATE if window else notes
    if rev.probing and window:
        rev.probing = False  # where both ends probe, each answer belongs to the other's probe
        return notes | KEEP_ALIVE_ACK
    if rev.last_notes & ZERO_WINDOW_PROBE:
        return notes
    if window:
        fwd.dup_acks += 1
        return notes | DUPLICATE_ACK
    return notes


def _resent(
    fwd: Endpoint,
    rev: Endpoint,
    seq: int,
    length: int,
    taken: int,
    time_ns: int,
    rtt_ns: int,
    next_seq: int,
) -> int:
    """Which kind of repetition a segment with data, SYN or FIN is, if it is one."""
    behind = (next_seq - seq) & MASK
    if length and rev.last_ack is not None and (rev.last_ack - seq - length) & MASK < HALF:
        return SPURIOUS_RETRANSMISSION  # every byte of it had been acknowledged
    if behind == 0 or behind >= HALF:
        return 0
    if length > 1 and behind == 1:
        return 0  # new data after a probe that carried its first byte
    # a capture whose clock went back tells nothing by times: hence the 0
    if (
        rev.dup_acks >= 2
        and rev.last_ack == seq
        and 0 <= time_ns - rev.last_ack_time < FAST_RETRANSMISSION_WITHIN
    ):
        return FAST_RETRANSMISSION
    if 0 <= time_ns - fwd.next_seq_time < (rtt_ns or OUT_OF_ORDER_WITHIN) and behind != taken:
        return OUT_OF_ORDER
    return RETRANSMISSION
