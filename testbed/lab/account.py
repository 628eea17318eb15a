"""The kernel's account of a connection: its tracepoints' events and its tables' samples, joined to both ends.

Tracepoints tell every change of state of a full socket.  Two things they do not tell, and these are
completed from the samples, and marked so: a handshake in progress (a request socket), and what comes
after FIN_WAIT_2 or CLOSING, when Linux lets the socket go and keeps a small object for FIN_WAIT_2 or
TIME_WAIT.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..findings.table import Side
from ..kernel import SocketSample
from ..kernel.events import Event, ResetReceived, ResetSent, Retransmission, Transition
from ..kernel.sample import SocketAddress
from ..render.ladder import StateMark
from ..tcp.connection import Connection
from ..tcp.states import State

SIDES: tuple[Side, ...] = ("client", "server")
HANDED_OVER = frozenset({State.FIN_WAIT_2, State.CLOSING})
"""What a socket was in before Linux kept a small object in its place; the event says CLOSED."""

Ends = tuple[SocketAddress, SocketAddress]


@dataclass(slots=True)
class Account:
    """What the kernel told of one connection.

    transitions      of each end, in order; empty where there were no tracepoints
    marks            both ends' states, by whichever witness told of each, in order of time
    resets_sent      with the kernel's reason
    problem          why the account may not be whole; "" when it is
    """

    transitions: dict[Side, list[Transition]] = field(default_factory=lambda: {side: [] for side in SIDES})
    marks: list[StateMark] = field(default_factory=list)
    resets_sent: list[ResetSent] = field(default_factory=list)
    resets_received: list[ResetReceived] = field(default_factory=list)
    retransmissions: list[Retransmission] = field(default_factory=list)
    problem: str = ""

    @property
    def whole(self) -> bool:
        """Whether every change of state of both ends' sockets is in it."""
        return not self.problem

    def states(self, side: Side) -> list[str]:
        """One end's states in order."""
        return [mark.state for mark in self.marks if mark.side == side]

    @property
    def reset_reason(self) -> str | None:
        """Why the first RST was sent, in the kernel's word; None where none was sent or it does not say."""
        return next((reset.reason for reset in self.resets_sent), None)


def accounts(
    connections: Sequence[Connection],
    events: Iterable[Event],
    samples: Sequence[SocketSample],
    *,
    problem: str = "",
) -> list[Account]:
    """The account of each of `connections`, in their order.

    problem  why the events are not all that happened, or are none; "" when they are
    """
    made = [Account(problem=problem) for _ in connections]
    ends = [ends_of(connection) for connection in connections]
    same: dict[Ends, list[int]] = {}
    for index, pair in enumerate(ends):
        same.setdefault(pair, []).append(index)

    def whose(local: SocketAddress, remote: SocketAddress | None, time_ns: int) -> tuple[int, Side] | None:
        if remote is None:
            return None
        for pair, side in zip(((local, remote), (remote, local)), SIDES, strict=True):
            if candidates := same.get(pair):
                return min(candidates, key=lambda i: abs(connections[i].start_ns - time_ns)), side
        return None

    living: dict[int, tuple[int, Side] | None] = {}
    for event in events:
        if isinstance(event, Transition):
            if event.before in (State.CLOSED, State.LISTEN) or event.socket not in living:
                living[event.socket] = whose(event.local, event.remote, event.time_ns)
            owner = living[event.socket]
            if owner is not None:
                _take(made[owner[0]], owner[1], event)
            if event.state is State.CLOSED:
                del living[event.socket]
            continue
        owner = whose(event.local, event.remote, event.time_ns)
        if owner is None:
            continue
        account = made[owner[0]]
        if isinstance(event, ResetSent):
            account.resets_sent.append(event)
        elif isinstance(event, ResetReceived):
            account.resets_received.append(event)
        else:
            account.retransmissions.append(event)
    by_pair: dict[Ends, list[SocketSample]] = {}
    for sample in samples:
        if sample.remote is not None:
            by_pair.setdefault((sample.local, sample.remote), []).append(sample)
    for index, account in enumerate(made):
        client, server = ends[index]
        until = min(
            (connections[i].start_ns for i in same[ends[index]] if i > index), default=None
        )  # its addresses used again
        for side, pair in zip(SIDES, ((client, server), (server, client)), strict=True):
            own = [
                sample
                for sample in by_pair.get(pair, ())
                if (index == same[ends[index]][0] or sample.time_ns >= connections[index].start_ns)
                and (until is None or sample.time_ns < until)
            ]
            account.marks += _marks(side, account.transitions[side], own, _ended_by_reset(account))
        account.marks.sort(key=lambda mark: mark.time_ns)
    return made


def ends_of(connection: Connection) -> Ends:
    """Both addresses as the kernel's tables have them."""
    client, server = connection.addresses
    return (client.host, int(client.port)), (server.host, int(server.port))


def _take(account: Account, side: Side, event: Transition) -> None:
    """Add one transition to its end's chain; one that does not follow makes the account doubtful."""
    chain = account.transitions[side]
    if chain and (chain[-1].socket != event.socket or chain[-1].state is not event.before):
        account.problem = account.problem or (
            f"the kernel tells of more than one socket as the {side}: the same addresses are in use in "
            "another network of this machine, or a change is missing"
        )
        return
    chain.append(event)


def _ended_by_reset(account: Account) -> frozenset[int]:
    """The sockets, by the kernel's address, that an RST ended, sent or received."""
    resets: list[ResetSent | ResetReceived] = [*account.resets_sent, *account.resets_received]
    return frozenset(reset.socket for reset in resets)


def _marks(
    side: Side, chain: Sequence[Transition], samples: Sequence[SocketSample], resets: frozenset[int]
) -> list[StateMark]:
    """One end's states: the events where there are any, the samples before and after them."""
    marks: list[StateMark] = []

    def add(time_ns: int, state: State, witness: str) -> None:
        if not marks or marks[-1].state != state:
            marks.append(StateMark(time_ns, side, str(state), witness))  # type: ignore[arg-type]

    begun = chain[0].time_ns if chain else None
    for sample in samples:
        if begun is not None and sample.time_ns >= begun:
            break
        add(sample.time_ns, sample.state or State.CLOSED, sample.witness)
    if begun is None:
        return marks
    goes_on = True
    for event in chain:
        goes_on = event.state is not State.CLOSED or (
            event.before in HANDED_OVER and event.socket not in resets
        )
        if event.state is not State.CLOSED or not goes_on:
            add(event.time_ns, event.state, "tracepoint")
    if goes_on:
        ended = chain[-1].time_ns if chain[-1].state is State.CLOSED else None
        for sample in samples:
            if ended is not None and sample.time_ns > ended:
                add(sample.time_ns, sample.state or State.CLOSED, sample.witness)
    return marks
