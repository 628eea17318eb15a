"""The book that is kept of connections: which there are, what was said of them, how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..kernel.diag_socket import DiagSocket
from ..kernel.readings import readings
from ..kernel.sample import SocketAddress
from ..tcp.states import State
from .connections import Connection, End
from .endings import Judgement
from .events import Account, CloseWait, Ending, Event, Kind, Side, Witness

HANDSHAKE: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})
BOTH_FINS: Final = "both sides have sent their FIN"
_KINDS: Final = {
    Ending.ORDERLY: Kind.CLOSED,
    Ending.RESET: Kind.RESET,
    Ending.EXPIRED: Kind.EXPIRED,
    Ending.FAILED: Kind.FAILED,
    Ending.UNSEEN: Kind.ENDED,
}
_LEAKS_TOLD: Final = 20
"""Of how many leaks that last the account says which they are."""
OF_TIMERS: Final = frozenset({"keepalive-armed", "keepalive-off", "retransmission-timer", "window-closed"})

Chosen = Callable[[DiagSocket], bool]
Silence = Callable[[DiagSocket], int | None]


def meaning(row: DiagSocket) -> str:
    """What a state means with these queues and this holder; of its timers the table tells."""
    return "; ".join(reading.text for reading in readings(row) if reading.code not in OF_TIMERS)


class Ledger:
    """Connections by number, their ends by address pair, and the events that are to be told."""

    def __init__(self, chosen: Chosen) -> None:
        self.listeners: list[DiagSocket] = []
        self.connections = 0
        self.looks = 0
        self.now_ns = 0
        self._began_ns = 0
        self._chosen = chosen
        self._ends: dict[int, End] = {}
        self._pairs: dict[tuple[SocketAddress, SocketAddress], End] = {}
        self._close_wait: dict[End, None] = {}
        self._pending: list[End] = []
        self._let_go: list[End] = []
        self._listening: set[SocketAddress] = set()
        self._endings: Counter[Ending] = Counter()
        self._resets_by: Counter[Side | None] = Counter()
        self._leaked = 0
        self._longest: CloseWait | None = None
        self._events: list[tuple[Event, End]] = []
        self._openings: list[tuple[Connection, int]] = []

    def _taken(self) -> list[Event]:
        """What is to be told, in order of time; a tracepoint's with what the tables have shown since."""
        for connection, time_ns in self._openings:
            end = min(connection.ends, key=lambda end: end.side != "server")
            text = meaning(end.row) if end.row.state is State.ESTABLISHED else ""
            self._emit(Kind.OPENED, end, time_ns, None, State.ESTABLISHED, None, text=text)
            told, _ = self._events.pop()
            self._events.append((told._replace(witness="tracepoint"), end))
        events = [event if event.inode else event._replace(inode=end.inode) for event, end in self._events]
        self._events, self._openings = [], []
        return sorted(events, key=lambda event: event.time_ns)

    def let_go(self) -> list[End]:
        """The ends whose sockets have gone since this was asked last: their descriptors should go too."""
        ends, self._let_go = self._let_go, []
        return ends

    # ---- who there is

    def _open(self, row: DiagSocket, time_ns: int, witness: Witness = "sock_diag") -> tuple[End, bool]:
        """A new end, of a new connection or of its peer's; and whether its peer was there."""
        assert row.remote is not None
        peer = self._pairs.get((row.remote, row.local))
        if peer is not None and (len(peer.connection.ends) > 1 or peer.connection.over):
            peer = None  # of an earlier connection
        connection = Connection() if peer is None else peer.connection
        end = End(connection, row, time_ns)
        end.witness = witness
        connection.ends.append(end)
        self._ends[row.cookie] = self._pairs[row.local, row.remote] = end
        self._find_side(end, peer)
        if row.state is State.CLOSE_WAIT:
            self._close_wait[end] = None
        return end, peer is not None

    def _find_side(self, end: End, peer: End | None) -> None:
        """Client or server, where a SYN, a listener or the other end says so."""
        if self._listens(end.local) or end.row.state is State.SYN_RECEIVED:
            end.take_side("server", peer)
        elif self._listens(end.remote) or end.row.state is State.SYN_SENT:
            end.take_side("client", peer)
        elif peer is not None and peer.side is not None:
            end.side = "client" if peer.side == "server" else "server"

    def _listens(self, address: SocketAddress) -> bool:
        port = address[1]
        return any(place in self._listening for place in (address, ("0.0.0.0", port), ("::", port)))

    def _choose(self, end: End) -> None:
        connection = end.connection
        if not connection.number and not connection.over and self._chosen(end.row):
            self.connections += 1
            connection.number = self.connections

    # ---- what happens to them

    def _enter(self, end: End, state: State, time_ns: int, witness: Witness) -> None:
        """An end has come into another state."""
        before, at_least, spent = end.state, end.at_least, time_ns - end.since_ns
        connection = end.connection
        if before is State.CLOSE_WAIT:
            self._leave_close_wait(end, time_ns)
        end.enter(state, time_ns, witness)
        if state is State.CLOSE_WAIT:
            self._close_wait[end] = None
        if state is State.TIME_WAIT:
            self._let_go.append(end)
        if connection.over:
            return
        if state is State.TIME_WAIT:
            judgement = Judgement(Ending.ORDERLY, witness, True, BOTH_FINS)
            self._end(end, judgement, time_ns, before, spent, at_least=at_least)
        elif connection.told:
            text = meaning(end.row) if end.row.state is state else ""
            self._emit(Kind.STATE, end, time_ns, before, state, spent, at_least=at_least, text=text)
        elif state not in HANDSHAKE:
            self._tell(end, time_ns)

    def _leave_close_wait(self, end: End, time_ns: int) -> None:
        del self._close_wait[end]
        if not end.connection.number:
            return
        stay = self._stay(end, time_ns, ended=True)
        if self._longest is None or stay.spent_ns > self._longest.spent_ns:
            self._longest = stay

    def _stay(self, end: End, time_ns: int, *, ended: bool) -> CloseWait:
        spent = time_ns - end.since_ns
        return CloseWait(end.connection.number, end.local, end.remote, spent, end.at_least, ended, end.inode)

    # ---- telling

    def _tell(self, end: End, time_ns: int, *, first: bool = False) -> None:
        """Say once that a connection is there."""
        connection = end.connection
        if connection.told or connection.over or not connection.number:
            return
        connection.told = True
        if end.witness == "tracepoint" and end.state is State.ESTABLISHED:
            self._openings.append((connection, time_ns))
            return
        kind = Kind.FOUND if first else Kind.OPENED
        spent = (time_ns - end.since_ns or None) if first else None
        self._emit(kind, end, time_ns, None, end.state, spent, at_least=first, text=meaning(end.row))

    def _end(
        self,
        end: End,
        judgement: Judgement,
        time_ns: int,
        before: State | None,
        spent: int | None,
        *,
        at_least: bool = False,
    ) -> None:
        """Say that a connection is over, and how."""
        connection = end.connection
        connection.over = True
        if not connection.number:
            return
        ending, witness, certain, text = judgement
        certain = certain or (ending is Ending.RESET and connection.reset_by is not None)
        self._endings[ending] += 1
        if ending is Ending.RESET:
            self._resets_by[connection.reset_by] += 1
        if connection.reason:
            text = f"{text}: {connection.reason}"
        elif ending is Ending.RESET and witness == "tracepoint" and connection.reset_by is None:
            text = f"{text}, and no RST was heard of: given up"
        self._emit(_KINDS[ending], end, time_ns, before, end.state, spent, at_least=at_least, text=text)
        told, _ = self._events.pop()
        told = told._replace(
            witness=end.witness if witness == "sock_diag" else witness,
            certain=certain,
            reset_by=connection.reset_by,
            history=tuple(end.before),
        )
        self._events.append((told, end))

    def _emit(
        self,
        kind: Kind,
        end: End,
        time_ns: int,
        before: State | None,
        state: State | None,
        spent: int | None,
        *,
        at_least: bool = False,
        text: str = "",
    ) -> None:
        event = Event(
            time_ns,
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
        self._events.append((event, end))

    # ---- what there is

    @property
    def ends(self) -> Iterator[End]:
        """The ends of the connections that are wanted, as they are now."""
        return (end for end in self._ends.values() if end.connection.number)

    def account(self, *, complete: bool, notes: Sequence[str] = ()) -> Account:
        """All that was seen so far."""
        lasting = [end for end in self._close_wait if end.connection.number]
        lasting.sort(key=lambda end: end.since_ns)
        leaks = [self._stay(end, self.now_ns, ended=False) for end in lasting if end.leak]
        stays = [self._stay(end, self.now_ns, ended=False) for end in lasting[:1]]
        stays += filter(None, [self._longest])
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
