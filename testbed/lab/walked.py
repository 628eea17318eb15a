"""Which edges of RFC 9293's state machine an experiment walked, and who saw it.

A kernel's tables show states and no edges.  Two states that followed each other in them are an edge
where the kernel's tracepoints or the wire have the same two side by side; what led to CLOSED is told by
the RSTs and by the wire.  An edge that the tables show while the link held a segment was standing still:
`frozen` is the table's word without the luck of a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from ..findings.table import Side
from ..kernel import SocketSample
from ..kernel.events import Transition
from ..net.link_events import Fate, LinkEvent
from ..tcp.endpoint import Endpoint
from ..tcp.states import DIRECT, EDGES, Edge, Event, State
from ..wire.segment import SYN
from .account import SIDES
from .experiment import Experiment
from .live import LiveConnection

WitnessOfEdge = Literal["tracepoint", "sock_diag", "frozen", "psutil", "wire"]
WITNESSES: tuple[WitnessOfEdge, ...] = get_args(WitnessOfEdge)

TIME_WAIT_NS = 59_000_000_000
"""A TIME_WAIT that was gone earlier than this was ended by something else than its timer (60 s)."""

E = Event
SYN_TIMER_NS = 900_000_000
"""A SYN_SENT that ended this soon after its last SYN was closed: a timer waits for 1 s (RFC 6298)."""

FOR_EVER = 1 << 63


class Walk(NamedTuple):
    """An edge (`Edge.state`, `Edge.event`) that somebody saw walked."""

    state: State
    event: Event
    witness: WitnessOfEdge


_ONLY: dict[tuple[State, State], Edge] = {
    (edge.state, edge.next): edge for edge in EDGES if edge.next is not State.CLOSED
}
"""Between two states there is one edge, but for those that lead to CLOSED."""


def walks(experiment: Experiment) -> tuple[Walk, ...]:
    """Every edge that was seen walked, once for each witness."""
    found = set(_of_listener(experiment))
    for connection in experiment.connections:
        held = _held(experiment.link, connection)
        for side in SIDES:
            end = _End(connection, side)
            found |= {*_on_wire(end), *_in_events(end), *_in_tables(end, held)}
    return tuple(sorted(found))


# ---------------------------------------------------------------- a connection's two ends


class _End:
    """One end of a connection, with what each witness has of its path.

    states   by the kernel's account, with the one that the first was come to from, where that is known
    chain    the events of its socket; none where there were no tracepoints, or no socket
    segments each edge that the segments show, and the state it leads to
    """

    def __init__(self, connection: LiveConnection, side: Side) -> None:
        self.connection = connection
        self.account = connection.account
        self.side = side
        self.wire: Endpoint = connection.client if side == "client" else connection.server
        self.chain = self.account.transitions[side]
        states = self.account.states(side)
        self.origin = _origin(self.chain[:1], states)
        self.states = [*self.origin, *states]
        self.segments = list(_edges_of(self.wire))

    @property
    def both_at_once(self) -> bool:
        """Whether one segment acknowledged its FIN and brought the peer's."""
        steps = {step.event: step.frame for step in self.wire.transitions}
        acked, took = steps.get(Event.RECEIVE_ACK_OF_FIN), steps.get(Event.RECEIVE_FIN)
        entered = {step.state for step in self.wire.transitions}
        return acked is not None and acked == took and State.CLOSING not in entered

    def ended_in(self, state: str) -> Transition | None:
        """The event that ended its socket, if it did so in that state."""
        last = self.chain[-1] if self.chain else None
        return last if last and last.state is State.CLOSED and last.before == state else None

    def why(self, before: State, after: State, at_ns: int, told: Transition | None = None) -> Event | None:
        """Which event led from one state to the other; None where there is no such edge or nobody knows.

        at_ns  when
        told   the kernel's own word for it
        """
        if after is not State.CLOSED:
            edge = _ONLY.get((before, after))
            return edge.event if edge else None
        last = self.wire.transitions[-1].event if self.wire.transitions else None
        if told is not None:
            ended = [reset for reset in self.account.resets_sent if reset.ends_socket]
            for resets, event in ((self.account.resets_received, E.RECEIVE_RST), (ended, E.SEND_RST)):
                if any(reset.socket == told.socket and reset.local == told.local for reset in resets):
                    # one that opened actively is not back in LISTEN (section 3.10.7.4)
                    return None if (before, event) == (State.SYN_RECEIVED, E.RECEIVE_RST) else event
        elif last in (E.RECEIVE_RST, E.SEND_RST) and (before, last) != (State.SYN_SENT, E.SEND_RST):
            return last  # in SYN_SENT it only answers a wrong or late ACK
        if before is State.SYN_SENT:
            return E.CLOSE_UNUSED if at_ns - self._last_syn() < SYN_TIMER_NS else None
        if before is State.LAST_ACK:
            return last if last is E.RECEIVE_ACK_OF_FIN else None
        return E.TIMEOUT_2MSL if before is State.TIME_WAIT else None

    def _last_syn(self) -> int:
        """When it sent its last SYN; 0 where none was captured."""
        own = (e.segment for e in self.connection.exchanges or () if e.from_client == self.wire.is_client)
        return max((segment.time_ns for segment in own if segment.flags & SYN), default=0)


def _origin(chain: Sequence[Transition], states: Sequence[str]) -> list[str]:
    """Where the first of `states` was come to from; nothing where that is not known."""
    if chain and states and chain[0].state == states[0]:
        return [str(chain[0].before)]
    origin = {State.SYN_SENT: State.CLOSED, State.SYN_RECEIVED: State.LISTEN}
    return [str(origin[State(states[0])])] if states and states[0] in origin else []


def _edges_of(end: Endpoint) -> Iterator[tuple[State, Event, State]]:
    """The edges that the segments show; one that begins in the middle has no first one."""
    first = {E.RECEIVE_SYN: State.LISTEN, E.SEND_SYN: State.CLOSED}
    before = first.get(end.transitions[0].event) if end.transitions else None
    for step in end.transitions:
        if before is not None:
            yield before, step.event, step.state
        before = step.state


def _on_wire(end: _End) -> Iterator[Walk]:
    """What the segments show, unless the kernel knows better: one that was lost behind the place of the
    capture seems to have arrived."""
    by_kernel = {*pairwise(end.states)}
    for before, event, after in end.segments:
        told = end.ended_in(before)
        if after is State.CLOSED and told is not None:
            believed = end.why(before, after, told.time_ns, told) is event
        else:
            believed = after is State.TIME_WAIT or (before, after) in by_kernel
        if believed or not end.chain:
            yield Walk(before, event, "wire")
    if end.both_at_once:
        yield Walk(DIRECT.state, DIRECT.event, "wire")


def _in_events(end: _End) -> Iterator[Walk]:
    """What the tracepoints tell."""
    for step in end.chain:
        if not end.account.handed_over(step):
            why = end.why(step.before, step.state, step.time_ns, step)
            if why is not None:
                yield Walk(step.before, why, "tracepoint")


def _in_tables(end: _End, held: Sequence[tuple[int, int]]) -> Iterator[Walk]:
    """What the tables show of it, where somebody is certain that no state came between."""
    certain: set[tuple[str, str]] = {(before, after) for before, _, after in end.segments}
    certain |= {*pairwise(end.states)} if end.account.whole else set()
    refused = not end.chain and bool(end.segments) and end.segments[-1][2] is State.LISTEN
    gone = State.LISTEN if refused else State.CLOSED  # an RST ended the request socket
    samples = _changes(end.account.samples[end.side])
    witness: WitnessOfEdge = samples[0].witness if samples else "sock_diag"
    path = [(0, State(state)) for state in end.origin]
    path += [(sample.time_ns, sample.state or gone) for sample in samples]
    for (since, before), (at, after) in pairwise(path):
        if (before, after) == (DIRECT.state, DIRECT.next) and end.both_at_once:
            walked: Event | None = DIRECT.event
        elif (before, after) in certain:
            walked = end.why(before, after, at, end.ended_in(before))
        else:
            continue
        if walked is None or (walked is Event.TIMEOUT_2MSL and at - since < TIME_WAIT_NS):
            continue
        yield Walk(before, walked, witness)
        if any(start <= at < stop for start, stop in held):
            yield Walk(before, walked, "frozen")
    # what an event begins and the tables alone can end: FIN_WAIT_2 or CLOSING, then TIME_WAIT
    for mark, following in pairwise([mark for mark in end.account.marks if mark.side == end.side]):
        if following.witness != "tracepoint" and following.state == State.TIME_WAIT:
            walked = end.why(State(mark.state), State.TIME_WAIT, following.time_ns)
            if walked is not None:
                yield Walk(State(mark.state), walked, following.witness)


def _changes(samples: Iterable[SocketSample]) -> list[SocketSample]:
    """One sample for each change of state."""
    found: list[SocketSample] = []
    for sample in samples:
        if not found or found[-1].state is not sample.state:
            found.append(sample)
    return found


def _held(events: Sequence[LinkEvent], connection: LiveConnection) -> list[tuple[int, int]]:
    """From when to when the link held a segment of the connection."""
    ends = {event.id: event.time_ns for event in events if event.id and event.fate is not Fate.HELD}
    return [
        (event.time_ns, ends.get(event.id, FOR_EVER))
        for event in events
        if event.fate is Fate.HELD and event.flow == connection.client_flow
    ]


# ---------------------------------------------------------------- the listener


def _of_listener(experiment: Experiment) -> Iterator[Walk]:
    """LISTEN and CLOSED, which no segment shows."""
    for event in experiment.events:
        if isinstance(event, Transition) and event.remote is None and event.local == experiment.server:
            strange = event.network is not None and event.network not in experiment.networks
            walked = _LISTENERS.get((event.before, event.state))
            if walked and not strange:
                yield Walk(event.before, walked, "tracepoint")
    for sample in experiment.samples:
        if sample.remote is None and sample.local == experiment.server:
            if sample.state is State.LISTEN:
                yield Walk(State.CLOSED, Event.PASSIVE_OPEN, sample.witness)
            elif sample.state is None:
                yield Walk(State.LISTEN, Event.CLOSE_UNUSED, sample.witness)


_LISTENERS = {
    (State.CLOSED, State.LISTEN): Event.PASSIVE_OPEN,
    (State.LISTEN, State.CLOSED): Event.CLOSE_UNUSED,
}
