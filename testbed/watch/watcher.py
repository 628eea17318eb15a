"""From successive looks at the kernel's tables to events: connections told apart and followed.

A socket is known by its cookie, which the kernel keeps from the handshake's request socket through
the socket itself to the small object of TIME_WAIT; so an address pair used again is another one.
Both ends of a connection are joined where both are in this network (loopback, a container's).

Where the kernel's tracepoints are heard too (`heard`), they tell what went by between two looks.

The watcher reads no clock and asks nobody: rows, times and counts are handed to it.  What goes
between two looks is judged one look later, when the other end has been seen too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..kernel.diag_socket import DiagSocket, Timer
from ..tcp.states import State
from .connections import ORDER, End
from .endings import ABORTABLE, Judgement, judge
from .events import Ending, Event, Kind
from .hearing import Hearing
from .ledger import BOTH_FINS, HANDSHAKE, Chosen, Silence, meaning

S = State

_PEERS_DOING: Final = frozenset({S.CLOSE_WAIT, S.FIN_WAIT_2, S.CLOSING})
"""States that a segment of the peer's leads to: they began before it was last heard."""
_SLACK_NS: Final = 200_000_000
"""How much earlier than its timer said an orphan may go: the timer is shown in whole ticks."""
_PATIENCE_NS: Final = 2_000_000_000
"""How long a connection that tracepoints told of may stay out of the tables before it is taken for gone."""
_EXPIRED: Final = (
    "the kernel's countdown for the peer's FIN ran out: it let go without a packet, and the other end is"
    " still there"
)
_UNANSWERED: Final = {
    Timer.RETRANSMISSION: "sent {n} times again and not acknowledged, the next in {s:.1f} s",
    Timer.KEEPALIVE: "{n} keepalive probes are unanswered, the next in {s:.1f} s",
    Timer.WINDOW_PROBE: "the peer's window is closed and {n} probes are unanswered, the next in {s:.1f} s",
}


class Watcher(Hearing):
    """Follows connections from look to look.

    leak_after_ns  how long an end may be in CLOSE_WAIT, sending nothing, before it is called a leak
    chosen         which sockets' connections are wanted; asked again when a socket gets its holder
    heard_ms       how long ago a socket's peer was last heard, None where nobody knows: asked of
                   those there at the first look
    sent_ms        how long ago a socket last sent data: asked before it is called a leak
    """

    def __init__(
        self,
        *,
        leak_after_ns: int = 10_000_000_000,
        chosen: Chosen = lambda row: True,
        heard_ms: Silence = lambda row: None,
        sent_ms: Silence = lambda row: None,
    ) -> None:
        super().__init__(chosen)
        self.leak_after_ns = leak_after_ns
        self._heard_ms = heard_ms
        self._sent_ms = sent_ms
        self._before_ns = 0
        self._new: list[End] = []

    def look(
        self, rows: Iterable[DiagSocket], time_ns: int, resets: int | None = None, *, whole: bool = True
    ) -> list[Event]:
        """What has happened, now that the tables are `rows` at `time_ns`.

        resets  how much EstabResets grew from before the last look to after this one
        whole   whether `rows` are all sockets of the network, so that a count can be compared with them
        """
        first = self.looks == 0
        self.looks += 1
        self._before_ns, self.now_ns = self.now_ns, time_ns
        self._began_ns = self._began_ns or time_ns
        now = self._sorted_out(rows)
        unresolved, self._pending, self._heard_last = self._pending, self._heard_last, []
        for cookie, row in now.items():
            end = self._ends.get(cookie)
            if end is None:
                self._arrive(row, first=first)
            elif end.row is not row:
                self._update(end, row)
        self._introduce(first=first)
        if len(now) != len(self._ends):
            gone = [end for cookie, end in self._ends.items() if cookie not in now]
            self._depart([end for end in gone if not self._awaited(end)], resets, whole=whole)
        for end in unresolved:
            self._resolve(end)
        self._look_for_leaks()
        return self._taken()

    def finish(self) -> list[Event]:
        """The watch is over: judge what has gone and was not judged yet."""
        pending, self._pending, self._heard_last = [*self._pending, *self._heard_last], [], []
        for end in pending:
            self._resolve(end)
        return self._taken()

    def _sorted_out(self, rows: Iterable[DiagSocket]) -> dict[int, DiagSocket]:
        """The connections' sockets by cookie, each once; listeners are put aside."""
        now: dict[int, DiagSocket] = {}
        listeners = []
        for row in rows:
            if row.state is S.LISTEN:
                listeners.append(row)
            elif row.remote is not None:
                twin = now.get(row.cookie)
                if twin is None or ORDER[twin.state] < ORDER[row.state]:
                    now[row.cookie] = row
        self.listeners = listeners
        self._listening = {row.local for row in listeners}
        return now

    # ---- what may have happened to a socket

    def _arrive(self, row: DiagSocket, *, first: bool) -> None:
        assert row.remote is not None
        known = self._pairs.get((row.local, row.remote))
        if known is not None and known.row.cookie == row.cookie:
            return  # a tracepoint told of its end after the table was read
        if known is not None and known.row.cookie < 0:
            self._recognise(known, row)
            return
        end, joined = self._open(row, self.now_ns)
        end.at_least = first
        if first and row.state in _PEERS_DOING and not row.small:
            end.since_ns -= (self._heard_ms(row) or 0) * 1_000_000
        if first and row.state is S.TIME_WAIT:
            end.connection.over = True  # before the watch began
            return
        self._choose(end)
        if row.state is S.TIME_WAIT:
            if not end.connection.over:
                text = BOTH_FINS if joined else f"{BOTH_FINS}; it came and went between two looks"
                self._end(end, Judgement(Ending.ORDERLY, "sock_diag", True, text), self.now_ns, None, None)
        elif row.state not in HANDSHAKE:
            self._new.append(end)

    def _introduce(self, *, first: bool) -> None:
        """Tell of those that have come: by the server's end where both are here."""
        new, self._new = self._new, []
        for end in sorted(new, key=lambda end: end.side != "server"):
            if not end.connection.told:
                self._tell(end, self.now_ns, first=first)
            elif end.state is not S.ESTABLISHED:
                spent = (self.now_ns - end.since_ns or None) if first else None
                text = meaning(end.row)
                self._emit(Kind.STATE, end, self.now_ns, None, end.state, spent, at_least=first, text=text)

    def _recognise(self, end: End, row: DiagSocket) -> None:
        """The tables show what a tracepoint had told of."""
        self._ends.pop(end.row.cookie, None)
        if end.state is None:
            end.row = row
        else:
            self._ends[row.cookie] = end
            self._update(end, row)

    def _update(self, end: End, row: DiagSocket) -> None:
        end.row = row
        if row.inode and row.inode != end.inode:
            end.inode = row.inode
            self._choose(end)
        if end.state is not None and ORDER[row.state] > ORDER[end.state]:
            self._enter(end, row.state, self.now_ns, "sock_diag")
        elif row.state not in HANDSHAKE:
            self._tell(end, self.now_ns)
        if row.retransmits:
            self._look_for_silence(end, row)
        else:
            end.unanswered = False

    def _awaited(self, end: End) -> bool:
        """Whether it is one that only tracepoints have told of, and not long ago."""
        return end.row.cookie < 0 and self.now_ns - end.since_ns < _PATIENCE_NS

    def _depart(self, gone: Sequence[End], resets: int | None, *, whole: bool) -> None:
        rivals = sum(end.state in ABORTABLE for end in gone) if whole else None
        for end in gone:
            row = end.row
            if row.state is S.FIN_WAIT_2 and not row.inode:
                end.expired = self.now_ns + _SLACK_NS >= self._before_ns + row.timer_ms * 1_000_000
            if end.state is S.CLOSE_WAIT:
                self._leave_close_wait(end, self.now_ns)
            end.resets, end.rivals = resets, rivals
            end.leave(self.now_ns, "sock_diag")
            del self._ends[row.cookie]
            self._pending.append(end)
            self._let_go.append(end)

    def _resolve(self, end: End) -> None:
        """Judge what became of an end that went."""
        if self._pairs.get((end.local, end.remote)) is end:
            del self._pairs[end.local, end.remote]
        connection = end.connection
        if connection.over:
            return
        before, spent = end.before[-1]
        if all(other.state is None for other in connection.ends):
            judgement = judge([other.last for other in connection.ends])
            self._end(end, judgement, end.gone_ns, before, spent, at_least=end.at_least)
        elif connection.told:
            text = _EXPIRED if end.expired else "in the tables no more, while the other end still is"
            self._emit(Kind.GONE, end, end.gone_ns, before, None, spent, at_least=end.at_least, text=text)

    # ---- CLOSE_WAIT, and peers that do not answer

    def _look_for_leaks(self) -> None:
        for end in self._close_wait:
            spent = self.now_ns - end.since_ns
            if end.leak or spent < self.leak_after_ns or not end.connection.number:
                continue
            sent = self._sent_ms(end.row)
            if sent is not None and sent * 1_000_000 < self.leak_after_ns:
                continue  # half-closed by its peer and still answering: that is what CLOSE_WAIT is for
            end.leak = True
            self._leaked += 1
            text = meaning(end.row)
            self._emit(Kind.LEAK, end, self.now_ns, None, end.state, spent, at_least=end.at_least, text=text)

    def _look_for_silence(self, end: End, row: DiagSocket) -> None:
        """A SYN sent again is news at once; of data and probes the second, as one may be on its way."""
        enough = 1 if row.state in HANDSHAKE else 2
        if end.unanswered or not end.connection.number:
            return
        if row.retransmits < enough or row.timer not in _UNANSWERED:
            return
        end.unanswered = True
        text = _UNANSWERED[row.timer].format(n=row.retransmits, s=row.timer_ms / 1000)
        spent = self.now_ns - end.since_ns
        self._emit(
            Kind.UNANSWERED, end, self.now_ns, None, end.state, spent, at_least=end.at_least, text=text
        )
