"""What the tracepoints tell, entered into the book: every change of state, and who sent an RST, and why.

The tables are read first and the tracepoints' buffers after them, so what is heard is never older
than what is seen, and a row that lags behind is known by its state: TCP's states only go forward.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        self.doubted = 0
        """Connections that came and went unseen and may have been this network's or another's."""
        self._doubtful: set[int] = set()
        self._unseen_cookie = 0

    def heard(self, events: Sequence[kernel.Event], *, home: int, alone: bool) -> None:
        """Enter what the tracepoints told, in order of time.

        They tell of the whole machine.  Where this network is not `alone` on it, a socket that the tables
        have not shown is taken in only if its callers are in this one, or its peer is; and an event is
        taken for a socket that they have shown only where it goes on from the state shown.

        home  this network, as `Transition.network` has it
        """
        if not self.looks:
            return  # the tables are the beginning
        for event, ours in zip(events, _whose(events, home), strict=True):
            if event.remote is None or ours is False:
                continue
            end = self._pairs.get((event.local, event.remote))
            peer = self._pairs.get((event.remote, event.local))
            sure = alone or ours is True or (end is None and peer is not None and peer.object != 0)
            if isinstance(event, kernel.Transition):
                self._transition(event, end, sure=sure)
            elif isinstance(event, kernel.ResetSent | kernel.ResetReceived):
                self._reset(event, end, peer, sure=sure)

    def _transition(self, event: kernel.Transition, end: End | None, *, sure: bool) -> None:
        if event.before in _NEW:
            known = end is not None and (end.state in HANDSHAKE or event.time_ns <= end.born_ns)
            if event.state in HANDSHAKE and not known:
                if sure:
                    self._meet(event)
                else:
                    self._doubtful.add(event.socket)
            return
        if end is None or end.state is None:
            if event.state is S.CLOSED and event.socket in self._doubtful:
                self._doubtful.discard(event.socket)
                self.doubted += 1
            return
        if end.object != event.socket and not sure and (end.object or event.before is not end.state):
            return  # of the same addresses in another network
        self._doubtful.discard(event.socket)
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
        self,
        event: kernel.ResetSent | kernel.ResetReceived,
        end: End | None,
        peer: End | None,
        *,
        sure: bool,
    ) -> None:
        """An RST was sent or received by the end at `local`; the first word counts."""
        known = end or peer
        if known is None or (not sure and (end is None or end.object not in (0, event.socket))):
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


def _whose(events: Sequence[kernel.Event], home: int) -> list[bool | None]:
    """Of each event whether its socket is of network `home`; None where no caller tells.

    One caller tells it for a socket's whole life, as far as `events` have it: from CLOSED or LISTEN on.
    """
    lives: list[int] = []
    living: dict[int, int] = {}
    verdicts: list[bool | None] = []
    for event in events:
        begins = isinstance(event, kernel.Transition) and event.before in _NEW
        if begins or event.socket not in living:
            living[event.socket] = len(verdicts)
            verdicts.append(None)
        life = living[event.socket]
        lives.append(life)
        if isinstance(event, kernel.Transition) and event.network is not None:
            verdicts[life] = event.network == home
    return [verdicts[life] for life in lives]
