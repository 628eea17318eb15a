"""The kernel's account of a connection: its tracepoints' events and its tables' samples, joined to both ends.

Tracepoints tell every change of state of a full socket.  Two things they do not tell, and these are
completed from the samples, and marked so: a handshake in progress (a request socket), and what comes
after FIN_WAIT_2 or CLOSING, when Linux lets the socket go and keeps a small object for FIN_WAIT_2 or
TIME_WAIT.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from ..findings.table import Side
from ..kernel import SocketSample
from ..kernel.events import Event, ResetReceived, ResetSent, Retransmission, Transition
from ..kernel.sample import SocketAddress
from ..render.ladder import StateMark, WitnessOfState
from ..tcp.connection import Connection
from ..tcp.states import State

SIDES: tuple[Side, ...] = ("client", "server")
HANDED_OVER = frozenset({State.FIN_WAIT_2, State.CLOSING})
"""What a socket was in before Linux kept a small object in its place; the event says CLOSED."""

AFTER_HANDING_OVER = frozenset({State.FIN_WAIT_2, State.TIME_WAIT, State.CLOSED, None})
"""What a sample may show from then on; None: nothing is left."""

DOUBT_NS = 20_000_000
"""A socket of the same addresses that was opened this near is as likely to be the one."""

AMBIGUOUS = (
    "the kernel tells of two sockets as the {side}, opened at the same time: another network of this machine "
    "uses the same addresses"
)

Ends = tuple[SocketAddress, SocketAddress]


@dataclass(slots=True)
class Account:
    """What the kernel told of one connection.

    transitions      of each end, in order; empty where there were no tracepoints
    samples          of each end, in order: what the tables showed
    marks            both ends' states, by whichever witness told of each, in order of time
    resets_sent      with the kernel's reason
    problem          why the account may not be whole; "" when it is
    """

    transitions: dict[Side, list[Transition]] = field(default_factory=lambda: {side: [] for side in SIDES})
    samples: dict[Side, list[SocketSample]] = field(default_factory=lambda: {side: [] for side in SIDES})
    marks: list[StateMark] = field(default_factory=list)
    resets_sent: list[ResetSent] = field(default_factory=list)
    resets_received: list[ResetReceived] = field(default_factory=list)
    retransmissions: list[Retransmission] = field(default_factory=list)
    problem: str = ""

    @property
    def whole(self) -> bool:
        """Whether every change of state of both ends' sockets is in it."""
        return not self.problem

    def take(self, event: ResetSent | ResetReceived | Retransmission) -> None:
        """Add what is no change of state."""
        if isinstance(event, ResetSent):
            self.resets_sent.append(event)
        elif isinstance(event, ResetReceived):
            self.resets_received.append(event)
        else:
            self.retransmissions.append(event)

    def handed_over(self, event: Transition) -> bool:
        """Whether it only ends the socket, and the connection goes on in a small object."""
        return event.state is State.CLOSED and event.before in HANDED_OVER and not self._reset(event.socket)

    def _reset(self, socket: int) -> bool:
        """Whether an RST, sent or received, ended that socket."""
        return any(event.socket == socket and event.ends_socket for event in self.resets_sent) or any(
            event.socket == socket for event in self.resets_received
        )

    def states(self, side: Side) -> list[str]:
        """One end's states in order."""
        return [mark.state for mark in self.marks if mark.side == side]

    @property
    def reset_reason(self) -> str | None:
        """Why the first RST was sent, in the kernel's word; None where none was sent or it does not say."""
        return next((reset.reason for reset in self.resets_sent), None)


class _Everywhere:
    def __contains__(self, network: object) -> bool:
        return True


EVERYWHERE = _Everywhere()
"""Networks that are not known: no caller is a stranger."""


class Chain(NamedTuple):
    """One socket's life as the events tell it, from CLOSED or LISTEN on."""

    socket: int
    events: list[Transition]

    @property
    def begun_ns(self) -> int:
        """When it began."""
        return self.events[0].time_ns

    def is_strange(self, networks: Container[int]) -> bool:
        """Whether somebody in another network called."""
        return any(event.network is not None and event.network not in networks for event in self.events)


def accounts(
    connections: Sequence[Connection],
    events: Iterable[Event],
    samples: Sequence[SocketSample],
    *,
    problem: str = "",
    networks: Container[int] = EVERYWHERE,
) -> list[Account]:
    """The account of each of `connections`, in their order.

    Events carry addresses and no network: another network of this machine may use the same ones.  Which
    of several sockets is meant is told by their callers' networks, where these are known, and by the
    time at which they were opened.

    problem   why the events are not all that happened, or are none; "" when they are
    networks  the networks of the experiment
    """
    chains, resets = _sorted_out(events)
    samples_at: dict[Ends, list[SocketSample]] = {}
    for sample in samples:
        if sample.remote is not None:
            samples_at.setdefault((sample.local, sample.remote), []).append(sample)
    lives = _lives(connections)
    made = []
    for connection in connections:
        account = Account(problem=problem)
        since, until = lives[connection.id]
        client, server = ends_of(connection)
        pairs: dict[Side, Ends] = {"client": (client, server), "server": (server, client)}
        for side, pair in pairs.items():
            near = [
                chain
                for chain in chains.get(pair, ())
                if since <= chain.begun_ns < until and not chain.is_strange(networks)
            ]
            end = connection.client if side == "client" else connection.server
            # without a segment of its own an end never had a socket: what looks like one is a stranger's
            chosen = _nearest(near, connection.start_ns) if end.packets else None
            if chosen is not None:
                account.transitions[side] = chosen.events
                others = (abs(one.begun_ns - connection.start_ns) for one in near if one is not chosen)
                if min(others, default=DOUBT_NS) < DOUBT_NS:
                    account.problem = account.problem or AMBIGUOUS.format(side=side)
            account.problem = account.problem or _gap(side, account.transitions[side])
        ours = {chain.socket for chain in _chains_of(account)}
        others_sockets = {chain.socket for pair in pairs.values() for chain in chains.get(pair, ())} - ours
        for reset in (reset for pair in pairs.values() for reset in resets.get(pair, ())):
            if since <= reset.time_ns < until and (
                reset.socket in ours or reset.socket not in others_sockets
            ):
                account.take(reset)
        for side, pair in pairs.items():
            own = [sample for sample in samples_at.get(pair, ()) if since <= sample.time_ns < until]
            account.samples[side] = own
            account.marks += _marks(side, account, own)
        account.marks.sort(key=lambda mark: mark.time_ns)
        made.append(account)
    return made


def _sorted_out(
    events: Iterable[Event],
) -> tuple[dict[Ends, list[Chain]], dict[Ends, list[ResetSent | ResetReceived | Retransmission]]]:
    """Transitions as the lives of sockets, and the rest, each by its own end and the other."""
    chains: dict[Ends, list[Chain]] = {}
    others: dict[Ends, list[ResetSent | ResetReceived | Retransmission]] = {}
    living: dict[int, Chain] = {}
    for event in events:
        if event.remote is None:
            continue  # a listener
        ends = event.local, event.remote
        if not isinstance(event, Transition):
            others.setdefault(ends, []).append(event)
            continue
        chain = living.get(event.socket)
        if chain is None or event.before in (State.CLOSED, State.LISTEN):
            chain = living[event.socket] = Chain(event.socket, [])
            chains.setdefault(ends, []).append(chain)
        chain.events.append(event)
        if event.state is State.CLOSED:
            del living[event.socket]
    return chains, others


def _lives(connections: Sequence[Connection]) -> dict[int, tuple[int, int]]:
    """Between which times each connection's addresses are its own: half way to the ones before and after."""
    same: dict[Ends, list[Connection]] = {}
    for connection in connections:
        same.setdefault(ends_of(connection), []).append(connection)
    lives = {}
    for row in same.values():
        row.sort(key=lambda connection: connection.start_ns)
        middles = [(a.last_time_ns + max(b.start_ns, a.last_time_ns)) // 2 for a, b in pairwise(row)]
        for connection, since, until in zip(row, (0, *middles), (*middles, 1 << 63), strict=True):
            lives[connection.id] = since, until
    return lives


def _nearest(chains: Sequence[Chain], time_ns: int) -> Chain | None:
    return min(chains, key=lambda chain: abs(chain.begun_ns - time_ns), default=None)


def _gap(side: Side, events: Sequence[Transition]) -> str:
    """What is missing from one socket's life; "" when each change begins where the one before ended."""
    for before, after in pairwise(events):
        if before.state is not after.before:
            return f"the kernel's account of the {side} lacks a change from {before.state} to {after.before}"
    return ""


def _chains_of(account: Account) -> Iterator[Chain]:
    for events in account.transitions.values():
        if events:
            yield Chain(events[0].socket, events)


def ends_of(connection: Connection) -> Ends:
    """Both addresses as the kernel's tables have them."""
    client, server = connection.addresses
    return client.as_socket, server.as_socket


def _marks(side: Side, account: Account, samples: Sequence[SocketSample]) -> list[StateMark]:
    """One end's states: the events where there are any, the samples before and after them."""
    marks: list[StateMark] = []
    chain = account.transitions[side]

    def add(time_ns: int, state: State, witness: WitnessOfState) -> None:
        if not marks or marks[-1].state != state:
            marks.append(StateMark(time_ns, side, str(state), witness))

    for sample in samples:
        if chain and sample.time_ns >= chain[0].time_ns:
            break
        add(sample.time_ns, sample.state or State.CLOSED, sample.witness)
    for event in chain:
        if not account.handed_over(event):
            add(event.time_ns, event.state, "tracepoint")
    if chain and account.handed_over(chain[-1]):
        for time_ns, state, witness in sorted(_after(chain[-1], account, samples)):
            add(time_ns, state, witness)
    return marks


def _after(
    handed: Transition, account: Account, samples: Sequence[SocketSample]
) -> Iterator[tuple[int, State, WitnessOfState]]:
    """What is told of the small object that a socket was handed over to."""
    for sample in samples:
        # TIME_WAIT's object is in the tables a moment before its socket tells of its end (tcp_time_wait);
        # any other state is of a look that was overtaken: it began before and was over after
        after = sample.time_ns > handed.time_ns and sample.state in AFTER_HANDING_OVER
        if after or sample.state is State.TIME_WAIT:
            yield max(sample.time_ns, handed.time_ns), sample.state or State.CLOSED, sample.witness
    for reset in account.resets_sent:
        # with it the object goes (net/ipv4/tcp_minisocks.c, TCP_TW_RST), or has gone before
        if reset.local == handed.local and reset.time_ns > handed.time_ns:
            yield reset.time_ns, State.CLOSED, "tracepoint"
