"""How a live connection lies in memory: the fields of `tcp.Connection` and `tcp.Endpoint` as records.

    CONNECTION   what both ends share, and the four-tuple
    END          one end; two of them to a connection, the client's first: its place is 2 * i, 2 * i + 1
    RARE         what an end needs only once there are FINs, RSTs, keepalives or zero windows; two again

A number that is not known yet is told by a bit, not by a value.  96 bytes and twice 64 are one
connection; four places in the two queues of the tracker and its slots in the table come to 40 or 50 more.

What the records do not hold, so that `revive` hands a connection to the pure core when it matters: a
simultaneous open, an RST that may be refused, segments from before their sender's SYN,ACK, data beyond
a FIN, an ACK that stops short of one.  And what no row needs: the frames and times of each note and of
each state change, options but the window scale, the words of a finding.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..tcp.states import STEP, SYNCHRONIZED, Event, State
from .compiled import Placed

Array = npt.NDArray[Any]
Int = Any
"""What compiled code counts with: 64 bits with a sign, one of them for yes and no; a record's field."""

CONNECTION: Final = np.dtype(
    [
        ("low", "u8", 2),  # the end with the lower address and port: its address; IPv4's in the second half
        ("high", "u8", 2),
        ("ports", "u4"),  # of the low end, and in the lower half that of the high end
        ("number", "u4"),  # counts connections from 1, in the order in which they began
        ("first_frame", "u4"),
        ("rare", "u4"),  # the place of its first RARE record, of two; 0 when it has none
        ("start_ns", "i8"),
        ("last_ns", "i8"),
        ("last_syn_ns", "i8"),  # the last SYN without ACK
        ("rtt_ns", "i8"),
        ("server_syn_ns", "i8"),  # the server's last SYN,ACK, or its first SYN
        ("bits", "u4"),  # of `Of`
        ("noted", "u2"),  # every note that a segment of it had
        ("early_updates", "u1"),  # window updates before the first data; at most 255
        ("early_duplicates", "u1"),  # duplicate ACKs before it; at most 255
    ],
    align=True,
)

END: Final = np.dtype(
    [
        ("next_seq", "u4"),
        ("highest_to_ack", "u4"),
        ("last_ack", "u4"),
        ("base", "u4"),
        ("data_start", "u4"),
        ("data_end", "u4"),
        ("fin_seq", "u4"),
        ("packets", "u4"),
        ("next_seq_time", "i8"),
        ("last_ack_time", "i8"),
        ("resent", "u4"),  # retransmissions of every kind
        ("window", "u2"),
        ("last_notes", "u2"),
        ("bits", "u2"),  # of `At`
        ("state", "u1"),  # the place in STATES
        ("scale", "i1"),
        ("dup_acks", "u1"),  # at most 255, as the three that follow
        ("syns_sent", "u1"),
        ("fins_sent", "u1"),
        ("unanswered", "u1"),  # keepalive probes since the peer was last heard, as far as they were noted
    ],
    align=True,
)

RARE: Final = np.dtype(
    [
        ("fin_first_time", "i8"),
        ("fin_time", "i8"),
        ("ack_of_fin_time", "i8"),
        ("zero_since", "i8"),
        ("zero_total", "i8"),
        ("reset_time", "i8"),  # of the RST that ended the connection, where this end sent it
        ("habit_time", "i8"),  # the earliest ACK of the server's that may be `loopback_window_update`
        ("fin_first_frame", "u4"),
        ("fin_frame", "u4"),
        ("fin_taken_frame", "u4"),
        ("fin_acked_frame", "u4"),
        ("ack_of_fin_frame", "u4"),
        ("reset_frame", "u4"),
        ("heard_fin_at", "u4"),
        ("keepalives", "u4"),
        ("zero_windows", "u4"),
    ],
    align=True,
)


class _Of(NamedTuple):
    """The bits of a connection."""

    V6: int = 1 << 0
    CLIENT_IS_HIGH: int = 1 << 1
    SELF: int = 1 << 2  # both ends are the same address and port: each segment is the server's
    INFERRED: int = 1 << 3  # who is the client is told by the ports
    MID_STREAM: int = 1 << 4
    ESTABLISHED: int = 1 << 5
    ENDED: int = 1 << 6
    WATCH: int = 1 << 7
    SAW_SYNACK: int = 1 << 8
    OPENED: int = 1 << 9  # an end took the other's SYN,ACK, or the ACK of its own SYN
    REFUSED: int = 1 << 10
    PORT_REUSED: int = 1 << 11
    ANSWERS_SYN: int = 1 << 12
    DATA: int = 1 << 13
    FIRST_FIN: int = 1 << 14
    FIRST_FIN_BY_SERVER: int = 1 << 15
    RESET: int = 1 << 16
    RESET_BY_SERVER: int = 1 << 17
    CROSSED: int = 1 << 18
    BEFORE_SYN: int = 1 << 19  # the RST that ended it is a segment from before its sender's SYN
    LAST_BY_SERVER: int = 1 << 20
    IN_UNOPENED: int = 1 << 21  # it is in the tracker's queue of those that were not open yet
    IN_ENDED: int = 1 << 22  # ... of those that have ended
    SIMULTANEOUS: int = 1 << 23  # only of those that the pure core follows
    PURE: int = 1 << 24  # the pure core follows it: a `tcp.Connection` has what is not here


Of: Final = _Of()


class _At(NamedTuple):
    """The bits of an end."""

    BASE: int = 1 << 0  # its number is known, as for the four that follow
    LAST_ACK: int = 1 << 1
    DATA: int = 1 << 2
    FIN: int = 1 << 3
    HEARD_FIN: int = 1 << 4
    SAW_SYN: int = 1 << 5
    PROBING: int = 1 << 6
    STEPPED: int = 1 << 7  # it has changed its state
    CLOSING: int = 1 << 8  # it has been in CLOSING
    FIN_ACKED: int = 1 << 9
    HOLDS_ACK: int = 1 << 10  # `Endpoint.ack_of_fin`
    ZERO: int = 1 << 11  # its window is shut
    ZERO_NOTED: int = 1 << 12  # one of its zero windows is among the first that were noted
    RST: int = 1 << 13


At: Final = _At()


class _Gone(NamedTuple):
    """Why no more can come of a connection."""

    QUIET: int = 0  # it had ended, or never opened, and its time was over
    ANEW: int = 1  # its four-tuple was opened anew
    FINISHED: int = 2  # the capture ended


Gone: Final = _Gone()


STATES: Final = tuple(State)
EVENTS: Final = tuple(Event)
STATE: Final = {state: place for place, state in enumerate(STATES)}
EVENT: Final = {event: place for place, event in enumerate(EVENTS)}
NOWHERE: Final = 255


def edges() -> Array:
    """`states.STEP` as an array: [state, event] is the next state's place, NOWHERE where no edge is."""
    table = np.full((len(STATES), len(EVENTS)), NOWHERE, dtype=np.uint8)
    for (state, event), following in STEP.items():
        table[STATE[state], EVENT[event]] = STATE[following]
    return table


def synchronized() -> Array:
    """Whether each state is one in which both ends know each other's numbers."""
    return np.array([state in SYNCHRONIZED for state in STATES], dtype=np.bool_)


class _Scalar(NamedTuple):
    """The places of what is one number for all: `Tables.scalars`."""

    OPENED: int = 0  # connections so far
    FREE: int = 1  # the first free place of a connection, -1 none
    USED: int = 2  # places that were ever in use
    RARE_FREE: int = 3  # the same of RARE records; 0 none
    RARE_USED: int = 4
    LIVE: int = 5  # connections in the table
    OVER: int = 6  # connections in `Tables.over`
    UNOPENED: int = 7  # the queue of those that are not open yet: its first, its last, how many
    UNOPENED_LAST: int = 8
    UNOPENED_COUNT: int = 9
    ENDED: int = 10  # ... of those that have ended
    ENDED_LAST: int = 11
    ENDED_COUNT: int = 12
    REMEMBERED: int = 13  # four-tuples in the newer of the two sets
    NEWER: int = 14  # which of the two that is
    ROTATED: int = 15  # whether the older one holds anything
    SEED: int = 16  # of the hashes
    INDEX: int = 17  # the connection that `take` leaves to the pure core, and who sent
    SIDE: int = 18
    AT: int = 19  # the packet that the walk stopped at: where its bytes begin and end, ...
    STOP: int = 20
    NEXT: int = 21  # ... where the next record begins, ...
    TIME_NS: int = 22  # ... its time, link type and length on the wire
    LINK: int = 23
    ORIGINAL: int = 24
    FRAME: int = 25  # packets so far
    SEGMENTS: int = 26  # of TCP
    TRUNCATED: int = 27  # as in `wire.pcap`
    LONGER: int = 28  # as in `wire.decode`, with the two that follow
    FIRST_LONGER: int = 29
    CUT: int = 30
    UDP: int = 31  # packets without TCP, by protocol
    ARP: int = 32
    END_NS: int = 33  # the latest time of a segment
    LAST_TIME_NS: int = 34  # that of the last packet
    SIZE: int = 35


Scalar: Final = _Scalar()


class _Arrays(NamedTuple):
    connections: Any
    ends: Any
    rare: Any
    slots: Array
    queues: Array
    lives: Array
    past: Array
    past_lives: Array
    over: Array
    over_ends: Array
    over_rare: Array
    over_lives: Array
    over_gone: Array
    over_until: Array
    over_successor: Array
    ahead: Array
    edges: Array
    synchronized: Array
    scalars: Array


class Tables(_Arrays, Placed):
    """All that the compiled code reads and writes; where an array moves, there are new tables.

    slots   the hash table: a 32-bit tag and, below it, the connection's place and one; 0 is empty
    queues  for each connection before and after it in the two queues of the tracker, -1 none
    lives   which incarnation of its four-tuple each connection is
    past    two sets of four-tuples that were in use, by their hashes, and in which incarnation
    over    connections of which no more can come, until they are taken out: with both ends, with both
            RARE records, why, and the time and frame of what opened the four-tuple anew
    ahead   the hashes of the packets that come next (`ahead`)
    """
