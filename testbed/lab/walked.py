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
from .account import SIDES, Account
from .experiment import Experiment
from .live import LiveConnection

WitnessOfEdge = Literal["tracepoint", "sock_diag", "frozen", "psutil", "wire"]
WITNESSES: tuple[WitnessOfEdge, ...] = get_args(WitnessOfEdge)

TIME_WAIT_NS = 59_000_000_000
"""A TIME_WAIT that was gone earlier than this was ended by something else than its timer (60 s)."""

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
    found: dict[Walk, None] = {}
    for connection in experiment.connections:
        for side in SIDES:
            found |= dict.fromkeys(_of_one_end(experiment, connection, side))
    found |= dict.fromkeys(_of_listener(experiment))
    return tuple(sorted(found))


# ---------------------------------------------------------------- a connection's two ends


def _of_one_end(experiment: Experiment, connection: LiveConnection, side: Side) -> Iterator[Walk]:
    end = connection.client if side == "client" else connection.server
    account = connection.account
    before = _first(account.transitions[side][:1], account.states(side))
    by_kernel = {*pairwise([*before, *account.states(side)])} if account.whole else set()
    on_wire = _on_wire(end)
    for state, event, after in on_wire:
        # a segment that was lost behind the place of the capture seems to have arrived
        told = _told_of_end(account, side, state)
        if after is State.CLOSED and told is not None:
            believed = _why(state, after, told.time_ns, connection, end, told) is event
        else:
            believed = after is State.TIME_WAIT or (state, after) in by_kernel
        if believed or not account.transitions[side]:
            yield Walk(state, event, "wire")
    if _both_at_once(end):
        yield Walk(DIRECT.state, DIRECT.event, "wire")
    for step in account.transitions[side]:
        if account.handed_over(step):
            continue
        why = _why(step.before, step.state, step.time_ns, connection, end, step)
        if why is not None:
            yield Walk(step.before, why, "tracepoint")
    certain = by_kernel | {(str(state), str(after)) for state, _, after in on_wire}
    own = _changes(account.samples[side])
    held = _held(experiment.link, connection)
    gone = on_wire[-1][2] if on_wire and not account.transitions[side] else State.CLOSED
    if gone is not State.LISTEN:  # where an RST ends a request socket
        gone = State.CLOSED
    states = [(0, state) for state in before] + [
        (sample.time_ns, str(sample.state or gone)) for sample in own
    ]
    witness: WitnessOfEdge = own[0].witness if own else "sock_diag"
    for (since, earlier), (at, later) in pairwise(states):
        direct = (earlier, later) == (DIRECT.state, DIRECT.next) and _both_at_once(end)
        if not direct and (earlier, later) not in certain:
            continue
        walked = (
            DIRECT.event
            if direct
            else _why(State(earlier), State(later), at, connection, end, _told_of_end(account, side, earlier))
        )
        if walked is Event.TIMEOUT_2MSL and at - since < TIME_WAIT_NS:
            continue
        if walked is not None:
            yield Walk(State(earlier), walked, witness)
            if any(start <= at < stop for start, stop in held):
                yield Walk(State(earlier), walked, "frozen")
    # what a tracepoint began and the tables alone can end: FIN_WAIT_2 or CLOSING, then TIME_WAIT
    for mark, following in pairwise([mark for mark in account.marks if mark.side == side]):
        if following.witness != "tracepoint" and following.state == State.TIME_WAIT:
            walked = _why(State(mark.state), State.TIME_WAIT, following.time_ns, connection, end)
            if walked is not None:
                yield Walk(State(mark.state), walked, following.witness)


def _told_of_end(account: Account, side: Side, before: str) -> Transition | None:
    """The tracepoint that ended one end's socket, if it did so in that state."""
    last = account.transitions[side][-1:]
    return last[0] if last and last[0].state is State.CLOSED and last[0].before == before else None


def _on_wire(end: Endpoint) -> list[tuple[State, Event, State]]:
    """The edges that the segments show; one that begins in the middle has no first one."""
    edges: list[tuple[State, Event, State]] = []
    for number, step in enumerate(end.transitions):
        if number:
            before = end.transitions[number - 1].state
        elif step.event is Event.RECEIVE_SYN:
            before = State.LISTEN
        elif step.event is Event.SEND_SYN:
            before = State.CLOSED
        else:
            continue
        edges.append((before, step.event, step.state))
    return edges


def _both_at_once(end: Endpoint) -> bool:
    """Whether one segment acknowledged the FIN and brought the peer's."""
    steps = {step.event: step.frame for step in end.transitions}
    acked, took = steps.get(Event.RECEIVE_ACK_OF_FIN), steps.get(Event.RECEIVE_FIN)
    entered = {step.state for step in end.transitions}
    return acked is not None and acked == took and State.CLOSING not in entered


def _first(chain: Sequence[Transition], states: Sequence[str]) -> list[str]:
    """Where the first of `states` was come to from; nothing where that is not known."""
    if chain and states and chain[0].state == states[0]:
        return [str(chain[0].before)]
    origin = {State.SYN_SENT: State.CLOSED, State.SYN_RECEIVED: State.LISTEN}
    return [str(origin[State(states[0])])] if states and states[0] in origin else []


def _why(
    before: State,
    after: State,
    at_ns: int,
    connection: LiveConnection,
    end: Endpoint,
    told: Transition | None = None,
) -> Event | None:
    """Which event led from one state to the other; None where there is no such edge or nobody knows.

    at_ns  when
    told   the kernel's own word for it
    """
    if after is not State.CLOSED:
        edge = _ONLY.get((before, after))
        return edge.event if edge else None
    account, last = connection.account, end.transitions[-1] if end.transitions else None
    if told is not None:
        ended = [reset for reset in account.resets_sent if reset.ends_socket]
        for resets, event in ((account.resets_received, Event.RECEIVE_RST), (ended, Event.SEND_RST)):
            if any(reset.socket == told.socket and reset.local == told.local for reset in resets):
                # one that opened actively is not back in LISTEN (section 3.10.7.4)
                return None if (before, event) == (State.SYN_RECEIVED, Event.RECEIVE_RST) else event
    elif last is not None and last.event in (Event.RECEIVE_RST, Event.SEND_RST):
        answer = (before, last.event) == (State.SYN_SENT, Event.SEND_RST)  # to a wrong or late ACK
        if not answer:
            return last.event
    if before is State.SYN_SENT:
        return Event.CLOSE_UNUSED if at_ns - _last_syn(connection, end) < SYN_TIMER_NS else None
    if before is State.LAST_ACK and last is not None and last.event is Event.RECEIVE_ACK_OF_FIN:
        return last.event
    return Event.TIMEOUT_2MSL if before is State.TIME_WAIT else None


def _last_syn(connection: LiveConnection, end: Endpoint) -> int:
    """When an end sent its last SYN; 0 where none was captured."""
    times = (
        e.segment.time_ns
        for e in connection.exchanges or ()
        if e.from_client == end.is_client and e.segment.flags & SYN
    )
    return max(times, default=0)


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
