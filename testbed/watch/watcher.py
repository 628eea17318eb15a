"""From successive looks at the kernel's tables to events: connections told apart and followed.

A socket is known by its cookie, which the kernel keeps from the handshake's request socket through
the socket itself to the small object of TIME_WAIT; so an address pair used again is another one.
Both ends of a connection are joined where both are in this network (loopback, a container's).

The watcher reads no clock and asks nobody: rows, times and counts are handed to it.  What goes
between two looks is judged one look later, when the other end has been seen too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ..kernel.diag_socket import DiagSocket, Timer
from ..kernel.readings import readings
from ..kernel.sample import SocketAddress
from ..tcp.states import State
from .connections import ORDER, Connection, End
from .endings import ABORTABLE, Judgement, judge
from .events import Account, CloseWait, Ending, Event, Kind, Side

S = State

HANDSHAKE: Final = frozenset({S.SYN_SENT, S.SYN_RECEIVED})
_PEERS_DOING: Final = frozenset({S.CLOSE_WAIT, S.FIN_WAIT_2, S.CLOSING})
"""States that a segment of the peer's leads to: they began before it was last heard."""
_KINDS: Final = {
    Ending.ORDERLY: Kind.CLOSED,
    Ending.RESET: Kind.RESET,
    Ending.EXPIRED: Kind.EXPIRED,
    Ending.FAILED: Kind.FAILED,
    Ending.UNSEEN: Kind.ENDED,
}
_LEAKS_TOLD: Final = 20
"""Of how many leaks that last the account says which they are."""
_SLACK_NS: Final = 200_000_000
"""How much earlier than its timer said an orphan may go: the timer is shown in whole ticks."""
_BOTH_FINS: Final = "both sides have sent their FIN"

Chosen = Callable[[DiagSocket], bool]
Silence = Callable[[DiagSocket], int | None]


class Watcher:
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
        self.leak_after_ns = leak_after_ns
        self.listeners: list[DiagSocket] = []
        self.looks = 0
        self.connections = 0
        self._chosen = chosen
        self._heard_ms = heard_ms
        self._sent_ms = sent_ms
        self._ends: dict[int, End] = {}
        self._pairs: dict[tuple[SocketAddress, SocketAddress], End] = {}
        self._close_wait: dict[int, End] = {}
        self._pending: list[End] = []
        self._listening: set[SocketAddress] = set()
        self._endings: Counter[Ending] = Counter()
        self._resets_by: Counter[Side | None] = Counter()
        self._leaked = 0
        self._longest: CloseWait | None = None
        self.now_ns = self._began_ns = self._before_ns = 0
        self._events: list[Event] = []

    # ---- looking

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
        unresolved, self._pending = self._pending, []
        for cookie, row in now.items():
            end = self._ends.get(cookie)
            if end is None:
                self._arrive(row, first=first)
            elif end.row is not row:
                self._update(end, row)
        if len(now) != len(self._ends):
            gone = [end for cookie, end in self._ends.items() if cookie not in now]
            self._depart(gone, resets, whole=whole)
        for end in unresolved:
            self._resolve(end)
        self._look_for_leaks()
        return self._taken()

    def finish(self, time_ns: int) -> list[Event]:
        """The watch is over: judge what has gone and was not judged yet."""
        self.now_ns = time_ns
        pending, self._pending = self._pending, []
        for end in pending:
            self._resolve(end)
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

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
        peer = self._pairs.get((row.remote, row.local))
        if peer is not None and (len(peer.connection.ends) > 1 or peer.connection.over):
            peer = None  # of an earlier connection
        connection = Connection() if peer is None else peer.connection
        end = End(connection, row, self.now_ns)
        connection.ends.append(end)
        self._ends[row.cookie] = self._pairs[row.local, row.remote] = end
        self._find_side(end, peer)
        end.at_least = first
        if first and row.state in _PEERS_DOING and not row.small:
            end.since_ns -= (self._heard_ms(row) or 0) * 1_000_000
        if row.state is S.CLOSE_WAIT:
            self._close_wait[row.cookie] = end
        if first and row.state is S.TIME_WAIT:
            connection.over = True  # before the watch began
            return
        self._choose(connection, row)
        if row.state is S.TIME_WAIT:
            text = _BOTH_FINS if connection.told else f"{_BOTH_FINS}; it came and went between two looks"
            self._end(end, Judgement(Ending.ORDERLY, "sock_diag", True, text), None, None)
        elif row.state not in HANDSHAKE:
            self._tell(end, first=first)

    def _update(self, end: End, row: DiagSocket) -> None:
        end.row = row
        if row.inode and row.inode != end.inode:
            end.inode = row.inode
            if not end.connection.number and not end.connection.over:
                self._choose(end.connection, row)
        if row.state is not end.state:
            self._change(end, row)
        elif row.state not in HANDSHAKE:
            self._tell(end)
        if row.retransmits:
            self._look_for_silence(end, row)
        else:
            end.unanswered = False

    def _change(self, end: End, row: DiagSocket) -> None:
        before, at_least, spent = end.state, end.at_least, self.now_ns - end.since_ns
        connection = end.connection
        if before is S.CLOSE_WAIT:
            self._leave_close_wait(end)
        end.enter(row.state, self.now_ns, "sock_diag")
        if row.state is S.CLOSE_WAIT:
            self._close_wait[row.cookie] = end
        if connection.over:
            return
        if row.state is S.TIME_WAIT:
            judgement = Judgement(Ending.ORDERLY, "sock_diag", True, _BOTH_FINS)
            self._end(end, judgement, before, spent, at_least=at_least)
        elif connection.told:
            self._emit(
                Kind.STATE, end, before, row.state, spent, at_least=at_least, text=_meaning(row)
            )  # fmt: skip
        elif row.state not in HANDSHAKE:
            self._tell(end)

    def _depart(self, gone: Sequence[End], resets: int | None, *, whole: bool) -> None:
        rivals = sum(end.state in ABORTABLE for end in gone) if whole else None
        for end in gone:
            row = end.row
            if row.state is S.FIN_WAIT_2 and not row.inode:
                end.expired = self.now_ns + _SLACK_NS >= self._before_ns + row.timer_ms * 1_000_000
            if end.state is S.CLOSE_WAIT:
                self._leave_close_wait(end)
            end.resets, end.rivals, end.state = resets, rivals, None
            del self._ends[row.cookie]
            self._pending.append(end)

    def _resolve(self, end: End) -> None:
        """Judge what became of an end that went."""
        if self._pairs.get((end.local, end.remote)) is end:
            del self._pairs[end.local, end.remote]
        connection = end.connection
        if connection.over:
            return
        before, spent, at_least = end.row.state, self._before_ns - end.since_ns, end.at_least
        if all(other.state is None for other in connection.ends):
            judgement = judge([other.last for other in connection.ends])
            self._end(end, judgement, before, spent, at_least=at_least)
        elif connection.told:
            text = _EXPIRED if end.expired else "in the tables no more, while the other end still is"
            self._emit(Kind.GONE, end, before, None, spent, at_least=at_least, text=text)

    # ---- telling

    def _choose(self, connection: Connection, row: DiagSocket) -> None:
        if not connection.number and self._chosen(row):
            self.connections += 1
            connection.number = self.connections

    def _find_side(self, end: End, peer: End | None) -> None:
        """Client or server, where a SYN, a listener or the other end says so."""
        if self._listens(end.local) or end.row.state is S.SYN_RECEIVED:
            end.take_side("server", peer)
        elif self._listens(end.remote) or end.row.state is S.SYN_SENT:
            end.take_side("client", peer)
        elif peer is not None and peer.side is not None:
            end.side = "client" if peer.side == "server" else "server"

    def _listens(self, address: SocketAddress) -> bool:
        port = address[1]
        return any(place in self._listening for place in (address, ("0.0.0.0", port), ("::", port)))

    def _tell(self, end: End, *, first: bool = False) -> None:
        """Say once that a connection is there."""
        connection = end.connection
        if connection.told or not connection.number:
            return
        connection.told = True
        kind = Kind.FOUND if first else Kind.OPENED
        spent = self.now_ns - end.since_ns if first else None
        self._emit(kind, end, None, end.state, spent, at_least=first, text=_meaning(end.row))

    def _end(
        self,
        end: End,
        judgement: Judgement,
        before: State | None,
        spent: int | None,
        *,
        at_least: bool = False,
        reset_by: Side | None = None,
    ) -> None:
        connection = end.connection
        connection.over = True
        if not connection.number:
            return
        ending, witness, certain, text = judgement
        self._endings[ending] += 1
        if ending is Ending.RESET:
            self._resets_by[reset_by] += 1
        self._emit(_KINDS[ending], end, before, end.state, spent, at_least=at_least, text=text)
        told = self._events[-1]
        self._events[-1] = told._replace(witness=witness, certain=certain, reset_by=reset_by)

    def _emit(
        self,
        kind: Kind,
        end: End,
        before: State | None,
        state: State | None,
        spent: int | None,
        *,
        at_least: bool = False,
        text: str = "",
    ) -> None:
        event = Event(
            self.now_ns,
            kind,
            end.connection.number,
            end.local,
            end.remote,
            end.side,
            before,
            state,
            spent,
            at_least,
            end.witness,
            text=text,
            socket=end.row,
            inode=end.inode,
        )
        self._events.append(event)

    # ---- CLOSE_WAIT, and peers that do not answer

    def _look_for_leaks(self) -> None:
        for end in self._close_wait.values():
            spent = self.now_ns - end.since_ns
            if end.leak or spent < self.leak_after_ns or not end.connection.number:
                continue
            sent = self._sent_ms(end.row)
            if sent is not None and sent * 1_000_000 < self.leak_after_ns:
                continue  # half-closed by its peer and still answering: that is what CLOSE_WAIT is for
            end.leak = True
            self._leaked += 1
            text = _meaning(end.row)
            self._emit(Kind.LEAK, end, None, end.state, spent, at_least=end.at_least, text=text)

    def _leave_close_wait(self, end: End) -> None:
        del self._close_wait[end.row.cookie]
        if not end.connection.number:
            return
        stay = self._stay(end, ended=True)
        if self._longest is None or stay.spent_ns > self._longest.spent_ns:
            self._longest = stay

    def _stay(self, end: End, *, ended: bool) -> CloseWait:
        spent = self.now_ns - end.since_ns
        return CloseWait(end.connection.number, end.local, end.remote, spent, end.at_least, ended, end.inode)

    def _look_for_silence(self, end: End, row: DiagSocket) -> None:
        """A SYN sent again is news at once; of data and probes the second, as one may be on its way."""
        enough = 1 if row.state in HANDSHAKE else 2
        if (
            end.unanswered
            or row.retransmits < enough
            or row.timer not in _UNANSWERED
            or not end.connection.number
        ):
            return
        end.unanswered = True
        text = _UNANSWERED[row.timer].format(n=row.retransmits, s=row.timer_ms / 1000)
        spent = self.now_ns - end.since_ns
        self._emit(Kind.UNANSWERED, end, None, end.state, spent, at_least=end.at_least, text=text)

    # ---- what there is

    @property
    def ends(self) -> Iterator[End]:
        """The ends of the connections that are wanted, in the tables at the last look."""
        return (end for end in self._ends.values() if end.connection.number)

    def account(self, *, complete: bool, notes: Sequence[str] = ()) -> Account:
        """All that was seen so far."""
        lasting = sorted(
            (end for end in self._close_wait.values() if end.connection.number), key=lambda end: end.since_ns
        )
        leaks = [self._stay(end, ended=False) for end in lasting if end.leak]
        stays = [*(self._stay(end, ended=False) for end in lasting[:1]), *filter(None, [self._longest])]
        endings = {ending: self._endings[ending] for ending in Ending}
        endings[Ending.OPEN] = self.connections - self._endings.total()
        return Account(
            seconds=(self.now_ns - self._began_ns) / 1e9,
            looks=self.looks,
            connections=self.connections,
            endings=endings,
            resets_by=dict(self._resets_by),
            leaked=self._leaked,
            leaks=tuple(leaks[:_LEAKS_TOLD]),
            longest=max(stays, key=lambda stay: stay.spent_ns, default=None),
            complete=complete,
            notes=tuple(notes),
        )


_EXPIRED: Final = (
    "the kernel's countdown for the peer's FIN ran out: it let go without a packet, and the other end is"
    " still there"
)
_UNANSWERED: Final = {
    Timer.RETRANSMISSION: "sent {n} times again and not acknowledged, the next in {s:.1f} s",
    Timer.KEEPALIVE: "{n} keepalive probes are unanswered, the next in {s:.1f} s",
    Timer.WINDOW_PROBE: "the peer's window is closed and {n} probes are unanswered, the next in {s:.1f} s",
}
_OF_TIMERS: Final = frozenset({"keepalive", "retransmission", "window-closed"})


def _meaning(row: DiagSocket) -> str:
    """What a state means with these queues and this holder; of its timers the table tells."""
    return "; ".join(reading.text for reading in readings(row) if reading.code not in _OF_TIMERS)
