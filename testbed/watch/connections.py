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
    reset_by, reason  who sent the first RST and why, where a tracepoint told
    """

    __slots__ = ("ends", "number", "over", "reason", "reset_by", "told")

    def __init__(self) -> None:
        self.number = 0
        self.ends: list[End] = []
        self.told = False
        self.over = False
        self.reset_by: Side | None = None
        self.reason = ""


class End:
    """One socket: where a connection ends, in this network.

    row         the last that the tables said of it
    state       None when it is in the tables no more
    born_ns     when it was first told of
    since_ns    when it came into that state; at_least: or before
    before      the states that it was in, with how long (ns), in order
    inode       the last that was not 0
    unanswered  the peer was said not to answer
    gone_ns     when it went; expired, resets, rivals: as in `Last`
    aborted     a tracepoint told that it was closed in the middle
    object      the kernel's address of the socket, by which tracepoints tell of it; 0: not yet
    """

    __slots__ = (
        "aborted", "at_least", "before", "born_ns", "connection", "expired", "gone_ns", "inode", "leak",
        "local", "object", "passed", "remote", "resets", "rivals", "row", "side", "since_ns", "state",
        "unanswered", "witness",
    )  # fmt: skip

    def __init__(self, connection: Connection, row: DiagSocket, time_ns: int) -> None:
        assert row.remote is not None
        self.connection = connection
        self.local: SocketAddress = row.local
        self.remote: SocketAddress = row.remote
        self.row = row
        self.state: State | None = row.state
        self.since_ns = self.born_ns = time_ns
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
        self.gone_ns = 0
        self.aborted = False
        self.object = 0

    def enter(self, state: State, time_ns: int, witness: Witness) -> None:
        """It is in `state` now."""
        if self.state is not None:
            self.before.append((self.state, time_ns - self.since_ns))
        self.state, self.since_ns, self.at_least, self.witness = state, time_ns, False, witness
        self.passed.add(state)

    def leave(self, time_ns: int, witness: Witness) -> None:
        """It is in the tables no more."""
        if self.state is not None:
            self.before.append((self.state, time_ns - self.since_ns))
        self.state, self.gone_ns, self.witness = None, time_ns, witness

    @property
    def last_state(self) -> State:
        """The last that any witness told."""
        return self.before[-1][0] if self.state is None and self.before else self.row.state

    def take_side(self, side: Side, peer: End | None) -> None:
        """It is the client's or the server's end, and so its peer is the other."""
        self.side = side
        if peer is not None:
            peer.side = "client" if side == "server" else "server"

    @property
    def last(self) -> Last:
        """How it went."""
        return Last(
            self.last_state, frozenset(self.passed), self.aborted, self.expired, self.resets, self.rivals
        )
