"""What can happen to a connection while it is watched, and the account of all of them at the end."""

from __future__ import annotations

import enum
from typing import Any, Final, Literal, NamedTuple

from ..kernel.diag_socket import DiagSocket
from ..kernel.owners import Owner
from ..kernel.readings import readings
from ..kernel.sample import SocketAddress, name_of
from ..tcp.states import State

SCHEMA: Final = "testbed.watch/1"

Side = Literal["client", "server"]
Witness = Literal["sock_diag", "tracepoint", "counter", "wire"]


class Kind(enum.StrEnum):
    """The events."""

    FOUND = "found"
    """It was there when the watch began."""
    OPENED = "opened"
    STATE = "state"
    """One of its ends came into another state."""
    UNANSWERED = "unanswered"
    """The peer does not answer: SYNs, data, probes are sent again."""
    LEAK = "leak"
    """An end has been in CLOSE_WAIT for too long, and sends nothing."""
    GONE = "gone"
    """One end is in the tables no more, and the other still is."""
    CLOSED = "closed"
    """Both sides sent their FIN."""
    RESET = "reset"
    """It was aborted: by RST, or given up."""
    EXPIRED = "expired"
    """The kernel gave up waiting for the peer's FIN, without a word to it."""
    FAILED = "failed"
    """It never came about."""
    ENDED = "ended"
    """It is over; how, no witness saw."""
    HELD = "held"
    """It is over, and a program has still not closed its descriptor."""
    EXPLAINED = "explained"
    """The story of one that is over, as its packets tell it."""


class Ending(enum.StrEnum):
    """How a connection stands at the end; the order is that of the account."""

    ORDERLY = "orderly"
    RESET = "reset"
    EXPIRED = "expired"
    FAILED = "failed"
    UNSEEN = "unseen"
    OPEN = "open"


class Event(NamedTuple):
    """One thing that happened to one connection.

    time_ns     nanoseconds since the epoch at which it was seen; a tracepoint's own time
    connection  its number, from 1 in the order of being seen; both ends have the same.  0: only its
                packets were seen
    local       the end it happened to, as the tables of this network show it
    side        whose end that is, None where neither a listener nor a SYN has told
    before      the state it came from, None where there was none
    state       the state it is in, None when it is in the tables no more
    spent_ns    how long it was in `before` (of a leak: in `state`); None when that is not known
    at_least    whether that is a lower bound only: it was so before the watch began
    certain     False where the text is the likely reading and not the only one
    text        what it means, in words; may be empty
    reset_by    who sent the RST, where a witness saw that
    socket      its row in the tables, the last that was seen
    inode       of the descriptor that is or was the program's, 0 where none was seen
    history     of an ending: the states of that end that are over, each with its nanoseconds
    holder      the process that holds or held it
    """

    time_ns: int
    kind: Kind
    connection: int
    local: SocketAddress
    remote: SocketAddress
    side: Side | None
    before: State | None
    state: State | None
    spent_ns: int | None
    at_least: bool
    witness: Witness
    certain: bool = True
    text: str = ""
    reset_by: Side | None = None
    socket: DiagSocket | None = None
    inode: int = 0
    history: tuple[tuple[State, int], ...] = ()
    holder: Owner | None = None

    def to_json(self) -> dict[str, Any]:
        """One line of the JSON Lines; every line of an event has every key."""
        row = self.socket
        return {
            "event": str(self.kind),
            "time_ns": self.time_ns,
            "connection": self.connection,
            "side": self.side,
            "local": name_of(self.local),
            "remote": name_of(self.remote),
            "before": self.before,
            "state": self.state,
            "seconds": None if self.spent_ns is None else self.spent_ns / 1e9,
            "at_least": self.at_least,
            "witness": self.witness,
            "certain": self.certain,
            "reset_by": self.reset_by,
            "text": self.text,
            "socket": None if row is None else socket_json(row),
            "history": [{"state": state, "seconds": spent / 1e9} for state, spent in self.history],
            "holder": holder_json(self.holder),
        }


def socket_json(row: DiagSocket) -> dict[str, Any]:
    """What the tables say of a socket: queues in bytes, its timer, what they mean."""
    return {
        "receive_queue": row.rqueue,
        "send_queue": row.wqueue,
        "timer": row.timer.name.lower(),
        "timer_seconds": row.timer_ms / 1000,
        "retransmits": row.retransmits,
        "uid": row.uid,
        "inode": row.inode,
        "readings": [reading.code for reading in readings(row)],
    }


def holder_json(holder: Owner | None) -> dict[str, Any] | None:
    """The process that holds a socket."""
    return None if holder is None else {"pid": holder.pid, "fd": holder.fd, "command": holder.command}


class CloseWait(NamedTuple):
    """A stay in CLOSE_WAIT.

    spent_ns  how long, so far or until it ended; at_least: it had begun before the watch
    ended     whether it is over
    inode     of the descriptor; 0 where nobody held one
    """

    connection: int
    local: SocketAddress
    remote: SocketAddress
    spent_ns: int
    at_least: bool
    ended: bool
    inode: int
    holder: Owner | None = None

    def to_json(self) -> dict[str, Any]:
        """As part of the account."""
        return {
            "connection": self.connection,
            "local": name_of(self.local),
            "remote": name_of(self.remote),
            "seconds": self.spent_ns / 1e9,
            "at_least": self.at_least,
            "ended": self.ended,
            "holder": holder_json(self.holder),
        }


class Account(NamedTuple):
    """All that was seen, at the end.

    endings      connections by how they ended; those still there are `OPEN`
    resets_by    of the resets: by whom, None where no witness saw
    leaked       connections that were called a leak, still there or not
    leaks        the first of those that still are
    longest      the longest stay in CLOSE_WAIT
    complete     whether nothing can have come and gone unseen
    held         descriptors that were still open long after their connections had ended
    """

    seconds: float
    looks: int
    connections: int
    endings: dict[Ending, int]
    resets_by: dict[Side | None, int]
    leaked: int
    leaks: tuple[CloseWait, ...]
    longest: CloseWait | None
    complete: bool
    held: int = 0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The last of the JSON Lines."""
        return {
            "event": "summary",
            "seconds": self.seconds,
            "looks": self.looks,
            "connections": self.connections,
            "endings": {str(ending): count for ending, count in self.endings.items()},
            "resets_by": {side or "unknown": count for side, count in self.resets_by.items()},
            "leaked": self.leaked,
            "leaks": [leak.to_json() for leak in self.leaks],
            "longest_close_wait": None if self.longest is None else self.longest.to_json(),
            "held": self.held,
            "complete": self.complete,
            "notes": list(self.notes),
        }
