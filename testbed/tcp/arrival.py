"""What RFC 9293 says that a segment does to the end that takes it, and what an end waits for.

The answers are rows of `states.EDGES`, so that whoever shows them can cite the section.
"""

from __future__ import annotations

from ..wire.segment import ACK, FIN, RST, SYN
from .states import EDGES, Edge, Event, State

_EDGE = {(edge.state, edge.event): edge for edge in EDGES}

BY_SEGMENT = frozenset(
    {
        Event.RECEIVE_SYN,
        Event.RECEIVE_SYN_ACK,
        Event.RECEIVE_ACK_OF_SYN,
        Event.RECEIVE_FIN,
        Event.RECEIVE_ACK_OF_FIN,
    }
)
"""The events that a peer which plays along brings about (an RST ends any state)."""

BY_PROGRAM = frozenset({Event.SEND_SYN, Event.SEND_FIN, Event.CLOSE_UNUSED})
"""Those that the program does: connect(), close(), shutdown()."""


def arrival(state: State, flags: int, *, acks_syn: bool, acks_fin: bool) -> tuple[Edge, ...]:
    """The edges that an end in `state` walks when an acceptable segment comes in, in order; often none.

    acks_syn  whether its ACK covers this end's own SYN
    acks_fin  whether it covers this end's own FIN

    The order is that of section 3.10.7: RST, SYN, ACK, and the FIN last.  So a FIN that carries the ACK
    of one's own FIN walks two edges.
    """
    walked: list[Edge] = []
    for event in _events(flags, acks_syn, acks_fin):
        edge = _EDGE.get((walked[-1].next if walked else state, event))
        if edge is not None:
            walked.append(edge)
            if event in (Event.RECEIVE_RST, Event.RECEIVE_SYN_ACK):
                break
    return tuple(walked)


def _events(flags: int, acks_syn: bool, acks_fin: bool) -> list[Event]:
    if flags & RST:
        return [Event.RECEIVE_RST]
    acked = bool(flags & ACK)
    rows = (
        (Event.RECEIVE_SYN_ACK, bool(flags & SYN) and acked and acks_syn),
        (Event.RECEIVE_SYN, bool(flags & SYN) and not acked),
        (Event.RECEIVE_ACK_OF_SYN, acked and acks_syn),
        (Event.RECEIVE_ACK_OF_FIN, acked and acks_fin),
        (Event.RECEIVE_FIN, bool(flags & FIN)),
    )
    return [event for event, comes in rows if comes]


def awaited(state: State) -> tuple[Edge, ...]:
    """The edges out of `state` that the peer's next segments or time may have it walk; no RST among them."""
    return tuple(
        edge
        for edge in EDGES
        if edge.state is state and (edge.event in BY_SEGMENT or edge.event is Event.TIMEOUT_2MSL)
    )


def by_program(state: State) -> tuple[Edge, ...]:
    """The edges out of `state` that its own program may have it walk."""
    return tuple(edge for edge in EDGES if edge.state is state and edge.event in BY_PROGRAM)
