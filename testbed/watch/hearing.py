"""What the tracepoints tell, entered into the book: every change of state, and who sent an RST, and why.

The tables are read first and the tracepoints' buffers after them, so what is heard is never older
than what is seen, and a row that lags behind is known by its state: TCP's states only go forward.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..kernel import events as kernel
from ..kernel.diag_socket import AF_INET, AF_INET6, DiagSocket, Shut, Timer
from ..tcp.states import State
from .connections import ORDER, End
from .endings import Judgement
from .events import Ending, Side
from .ledger import BOTH_FINS, HANDSHAKE, Chosen, Ledger

S = State

_NEW: Final = frozenset({S.CLOSED, S.LISTEN})


class Hearing(Ledger):
    """A ledger that the tracepoints' events are entered into."""

    def __init__(self, chosen: Chosen) -> None:
        super().__init__(chosen)
        self._heard_last: list[End] = []
        """Ends that went since the last look: who reset them may be heard a moment later."""
        self._unseen_cookie = 0

    def heard(self, events: Iterable[kernel.Event], *, strangers: bool) -> None:
        """Enter what the tracepoints told, in order of time.

        strangers  whether an event may be about a connection that the tables have not shown: not where
                   other networks of the machine may use the same addresses.  There an event is taken for
                   a connection's only where it goes on from the state that the tables have shown
        """
        if not self.looks:
            return  # the tables are the beginning
        for event in events:
            if event.remote is None:
                continue
            end = self._pairs.get((event.local, event.remote))
            if isinstance(event, kernel.Transition):
                self._transition(event, end, strangers=strangers)
            elif isinstance(event, kernel.ResetSent | kernel.ResetReceived):
                self._reset(event, end, strangers=strangers)

    def _transition(self, event: kernel.Transition, end: End | None, *, strangers: bool) -> None:
        if event.before in _NEW:
            if event.state in HANDSHAKE and (end is None or end.state not in HANDSHAKE) and strangers:
                self._meet(event)
            return
        if end is None or end.state is None:
            return
        if end.object != event.socket and not strangers and (end.object or event.before is not end.state):
            return  # of the same addresses in another network
        end.object = event.socket
        if event.state is not S.CLOSED:
            if ORDER[event.state] > ORDER[end.state]:
                self._enter(end, event.state, event.time_ns, "tracepoint")
        elif event.before is S.CLOSING:
            self._enter(end, S.TIME_WAIT, event.time_ns, "tracepoint")
        elif event.before is not S.FIN_WAIT_2:  # from there the tables tell: TIME_WAIT, an orphan, or gone
            self._over(end, event)

    def _meet(self, event: kernel.Transition) -> None:
        """A connection that the tables have not shown yet, and may never show."""
        if not event.local[1] or event.remote is None:
            return  # a port that the kernel had not written down
        self._unseen_cookie -= 1
        family = AF_INET6 if ":" in event.local[0] else AF_INET
        row = DiagSocket(family, event.local, event.remote, event.state, Timer.NONE, 0, 0, 0, 0, 0, 0, 0,
                         self._unseen_cookie, Shut.NOTHING)  # fmt: skip
        end, _ = self._open(row, event.time_ns, "tracepoint")
        end.object = event.socket
        self._choose(end)

    def _over(self, end: End, event: kernel.Transition) -> None:
        """The socket is closed, from a state that no small object follows."""
        spent, at_least = event.time_ns - end.since_ns, end.at_least
        if end.state is S.CLOSE_WAIT:
            self._leave_close_wait(end, event.time_ns)
        end.leave(event.time_ns, "tracepoint")
        self._ends.pop(end.row.cookie, None)
        if event.before is S.LAST_ACK and not end.connection.over:
            judgement = Judgement(Ending.ORDERLY, "tracepoint", True, BOTH_FINS)
            self._end(end, judgement, event.time_ns, event.before, spent, at_least=at_least)
        end.aborted = event.before is not S.LAST_ACK
        self._heard_last.append(end)
        self._let_go.append(end)

    def _reset(
        self, event: kernel.ResetSent | kernel.ResetReceived, end: End | None, *, strangers: bool
    ) -> None:
        """An RST was sent or received by the end at `local`; the first word counts."""
        peer = self._pairs.get((event.remote, event.local))
        known = end or peer
        if known is None or (not strangers and (end is None or end.object not in (0, event.socket))):
            return
        connection = known.connection
        local = known.side if known is end else _other(known.side)
        sender = local if isinstance(event, kernel.ResetSent) else _other(local)
        connection.reset_by = connection.reset_by or sender
        reason = event.reason if isinstance(event, kernel.ResetSent) else None
        if reason and not connection.reason:
            words = kernel.REASONS.get(reason)
            connection.reason = f"{words} ({reason})" if words else reason


def _other(side: Side | None) -> Side | None:
    return None if side is None else "client" if side == "server" else "server"
