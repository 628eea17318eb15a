"""A watched connection and its ends, as far as the tables have shown them."""

from __future__ import annotations

from typing import Final

from ..kernel.diag_socket import DiagSocket
from ..kernel.sample import SocketAddress
from ..tcp.states import State
from .endings import Last
from .events import Side, Witness

S = State

_LIFE: Final = (
    S.CLOSED, S.LISTEN, S.SYN_SENT, S.SYN_RECEIVED, S.ESTABLISHED, S.CLOSE_WAIT, S.LAST_ACK, S.FIN_WAIT_1,
    S.FIN_WAIT_2, S.CLOSING, S.TIME_WAIT,
)  # fmt: skip
ORDER: Final = {state: place for place, state in enumerate(_LIFE)}
"""Of two rows for one socket, told of in one dump, the one further on in its life is the newer."""


class Connection:
    """A connection by what is seen of it: one end, or both where both are in this network.

    number  0 while it is none of those that are wanted
    told    whether it was said to be there
    over    whether its ending was said, or lies before the watch
    """

    __slots__ = ("ends", "number", "over", "told")

    def __init__(self) -> None:
        self.number = 0
        self.ends: list[End] = []
        self.told = False
        self.over = False


class End:
    """One socket: where a connection ends, in this network.

    row         the last that the tables said of it
    state       None when it is in the tables no more
    since_ns    when it came into that state; at_least: or before
    before      the states that it was in, with how long (ns), in order
    inode       the last that was not 0
    unanswered  the peer was said not to answer
    """

    __slots__ = (
        "at_least", "before", "connection", "expired", "inode", "leak", "local", "passed", "remote", "resets",
        "rivals", "row", "side", "since_ns", "state", "unanswered", "witness",
    )  # fmt: skip

    def __init__(self, connection: Connection, row: DiagSocket, time_ns: int) -> None:
        assert row.remote is not None
        self.connection = connection
        self.local: SocketAddress = row.local
        self.remote: SocketAddress = row.remote
        self.row = row
        self.state: State | None = row.state
        self.since_ns = time_ns
        self.at_least = False
        self.before: list[tuple[State, int]] = []
        self.passed = {row.state}
        self.side: Side | None = None
        self.inode = row.inode
        self.leak = False
        self.unanswered = False
        self.expired = False
        self.resets: int | None = None
        self.rivals: int | None = None
        self.witness: Witness = "sock_diag"

    def enter(self, state: State, time_ns: int, witness: Witness) -> None:
        """It is in `state` now."""
        if self.state is not None:
            self.before.append((self.state, time_ns - self.since_ns))
        self.state, self.since_ns, self.at_least, self.witness = state, time_ns, False, witness
        self.passed.add(state)

    def take_side(self, side: Side, peer: End | None) -> None:
        """It is the client's or the server's end, and so its peer is the other."""
        self.side = side
        if peer is not None:
            peer.side = "client" if side == "server" else "server"

    @property
    def last(self) -> Last:
        """How it went."""
        return Last(self.row.state, frozenset(self.passed), self.expired, self.resets, self.rivals)
