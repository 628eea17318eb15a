"""How a connection ended, judged by how its sockets went from the tables: each reading one row.

A closer that was first stays in TIME_WAIT for a minute, so an end in order is always seen where
that end is of this network.  The other end passes through LAST_ACK within a round trip, and goes;
so does one that was reset.  Which of the two it was is told by the other end, by the kernel's
counter, or by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ..tcp.states import State
from .events import Ending, Witness


class Last(NamedTuple):
    """One end as it was when it went.

    state    the last that was seen
    passed   every state it was seen in
    aborted  a tracepoint told that the socket was closed without the goodbyes
    expired  an orphan in FIN_WAIT_2 whose countdown had run out
    resets   how many connections of the network went to CLOSED without a close in that time
             (EstabResets); None when nobody counted
    rivals   how many sockets went that may be those, this one among them; None when not all are seen
    """

    state: State
    passed: frozenset[State]
    aborted: bool = False
    expired: bool = False
    resets: int | None = None
    rivals: int | None = None


class Judgement(NamedTuple):
    """What came of a connection, on whose word, and whether another reading is left."""

    ending: Ending
    witness: Witness
    certain: bool
    text: str


class Row(NamedTuple):
    """One row: `when` it holds of the ends that were seen, the judgement."""

    when: Callable[[Sequence[Last]], bool]
    judgement: Judgement


BOTH_FINS: Final = frozenset({State.LAST_ACK, State.CLOSING, State.TIME_WAIT})
"""An end in one of them has sent its FIN and has the peer's (RFC 9293 figure 5)."""
ABORTABLE: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT})
"""From here the counter counts an abort (net/ipv4/tcp.c, tcp_set_state)."""
_OPENING: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})
_CLOSING_FIRST: Final = frozenset({State.FIN_WAIT_1, State.FIN_WAIT_2})


def _quiet(end: Last) -> bool:
    return end.state in ABORTABLE and end.resets == 0


def _counted(end: Last) -> bool:
    if not end.resets or end.rivals is None:
        return False
    return end.state in ABORTABLE and end.resets >= end.rivals


ROWS: Final[tuple[Row, ...]] = (
    Row(lambda ends: any(end.passed & BOTH_FINS for end in ends),
        Judgement(Ending.ORDERLY, "sock_diag", True, "both sides have sent their FIN")),
    Row(lambda ends: len(ends) > 1 and any(end.expired for end in ends),
        Judgement(Ending.EXPIRED, "sock_diag", True, "one end had given up waiting before the other let go")),
    Row(lambda ends: any(end.expired for end in ends),
        Judgement(Ending.EXPIRED, "sock_diag", True,
                  "the kernel's countdown for the peer's FIN ran out, and it let go without a packet")),
    Row(lambda ends: all(end.state in _OPENING for end in ends),
        Judgement(Ending.FAILED, "sock_diag", True, "the handshake was refused or given up")),
    Row(lambda ends: any(end.aborted for end in ends),
        Judgement(Ending.RESET, "tracepoint", True, "aborted")),
    Row(lambda ends: any(map(_quiet, ends)),
        Judgement(Ending.ORDERLY, "counter", True,
                  "both sides have sent their FIN: no connection of this network was aborted meanwhile"
                  " (EstabResets)")),
    Row(lambda ends: len(ends) > 1,
        Judgement(Ending.RESET, "sock_diag", True, "aborted: both ends went and neither left a TIME_WAIT")),
    Row(lambda ends: any(map(_counted, ends)),
        Judgement(Ending.RESET, "counter", False,
                  "aborted, by RST or given up: the network's count of aborts (EstabResets) grew by as many"
                  " as went")),
    Row(lambda ends: any(end.state in _CLOSING_FIRST for end in ends),
        Judgement(Ending.RESET, "sock_diag", False,
                  "aborted, by RST or given up: the side that closed first left no TIME_WAIT")),
    Row(lambda ends: True,
        Judgement(Ending.UNSEEN, "sock_diag", False,
                  "closed in order or reset: it went between two looks and no witness saw how")),
)  # fmt: skip
"""The first row that holds counts.

`len(ends) > 1` is certain because the end that closes first would be in TIME_WAIT for a minute; only
a kernel at its limit of them (tcp_max_tw_buckets) leaves none."""


def judge(ends: Sequence[Last]) -> Judgement:
    """How the connection whose known `ends` have all gone did end."""
    return next(row.judgement for row in ROWS if row.when(ends))
