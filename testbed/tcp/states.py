"""The TCP state machine of RFC 9293 as a table; everything else in this package consults it.

Figure 5 (section 3.3.2) names eleven states and the edges between them.  An edge is walked
because the application called (OPEN, CLOSE), because a segment came, or because a timer ran
out.  A capture shows only segments, so an edge that a call causes is seen by the segment that
the call makes the endpoint send (CLOSE by the FIN), and an edge that a segment causes is
certain once the endpoint answers it.  `EDGES` gives for each edge both: the event, and what a
capture sees of it.

    python -m testbed.tcp.states              prints the table
    python -m testbed.tcp.states --diagram    Figure 5 in Mermaid, as docs/architecture.md has it
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from typing import NamedTuple


class State(enum.StrEnum):
    """RFC 9293 section 3.3.2; CLOSED is "no state at all": there is no connection."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN_SENT"
    SYN_RECEIVED = "SYN_RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN_WAIT_1"
    FIN_WAIT_2 = "FIN_WAIT_2"
    CLOSE_WAIT = "CLOSE_WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST_ACK"
    TIME_WAIT = "TIME_WAIT"


class Event(enum.StrEnum):
    """What moves an endpoint from one state to the next."""

    PASSIVE_OPEN = "passive OPEN"
    SEND_SYN = "send SYN"
    RECEIVE_SYN = "receive SYN"
    RECEIVE_SYN_ACK = "receive SYN,ACK"
    RECEIVE_ACK_OF_SYN = "receive ACK of SYN"
    SEND_FIN = "send FIN"
    RECEIVE_FIN = "receive FIN"
    RECEIVE_ACK_OF_FIN = "receive ACK of FIN"
    SEND_RST = "send RST"
    RECEIVE_RST = "receive RST"
    CLOSE_UNUSED = "CLOSE before any connection"
    RECEIVE_FIN_ACK_OF_FIN = "receive FIN, ACK of FIN"
    TIMEOUT_2MSL = "2 MSL pass"


class Edge(NamedTuple):
    """One row of the machine.

    in_figure_5  False for edges that only the text of section 3.10 has
    section      where RFC 9293 says so
    seen         what of it a capture shows; "" when nothing
    """

    state: State
    event: Event
    next: State
    in_figure_5: bool
    section: str
    seen: str


S, E = State, Event

EDGES: tuple[Edge, ...] = (
    Edge(S.CLOSED, E.PASSIVE_OPEN, S.LISTEN, True, "3.10.1", ""),
    Edge(S.CLOSED, E.SEND_SYN, S.SYN_SENT, True, "3.10.1", "its SYN"),
    Edge(S.LISTEN, E.RECEIVE_SYN, S.SYN_RECEIVED, True, "3.10.7.2", "its SYN,ACK"),
    Edge(S.LISTEN, E.SEND_SYN, S.SYN_SENT, True, "3.10.2", "its SYN"),
    Edge(S.LISTEN, E.CLOSE_UNUSED, S.CLOSED, True, "3.10.4", ""),
    Edge(S.SYN_SENT, E.CLOSE_UNUSED, S.CLOSED, True, "3.10.4", ""),
    Edge(S.SYN_SENT, E.RECEIVE_SYN, S.SYN_RECEIVED, True, "3.10.7.3", "its SYN,ACK"),
    Edge(S.SYN_SENT, E.RECEIVE_SYN_ACK, S.ESTABLISHED, True, "3.10.7.3", "its ACK"),
    Edge(S.SYN_RECEIVED, E.RECEIVE_ACK_OF_SYN, S.ESTABLISHED, True, "3.10.7.4", "the peer's ACK"),
    Edge(S.SYN_RECEIVED, E.SEND_FIN, S.FIN_WAIT_1, True, "3.10.4", "its FIN"),
    Edge(S.SYN_RECEIVED, E.RECEIVE_RST, S.LISTEN, True, "3.10.7.4", "the peer's RST"),
    Edge(S.SYN_RECEIVED, E.RECEIVE_FIN, S.CLOSE_WAIT, False, "3.10.7.4", "its ACK"),
    Edge(S.ESTABLISHED, E.SEND_FIN, S.FIN_WAIT_1, True, "3.10.4", "its FIN"),
    Edge(S.ESTABLISHED, E.RECEIVE_FIN, S.CLOSE_WAIT, True, "3.10.7.4", "its ACK"),
    Edge(S.FIN_WAIT_1, E.RECEIVE_ACK_OF_FIN, S.FIN_WAIT_2, True, "3.10.7.4", "the peer's ACK"),
    Edge(S.FIN_WAIT_1, E.RECEIVE_FIN, S.CLOSING, True, "3.10.7.4", "its ACK"),
    Edge(S.FIN_WAIT_2, E.RECEIVE_FIN, S.TIME_WAIT, True, "3.10.7.4", "its ACK"),
    Edge(S.CLOSE_WAIT, E.SEND_FIN, S.LAST_ACK, True, "3.10.4", "its FIN"),
    Edge(S.CLOSING, E.RECEIVE_ACK_OF_FIN, S.TIME_WAIT, True, "3.10.7.4", "the peer's ACK"),
    Edge(S.LAST_ACK, E.RECEIVE_ACK_OF_FIN, S.CLOSED, True, "3.10.7.4", "the peer's ACK"),
    Edge(S.TIME_WAIT, E.TIMEOUT_2MSL, S.CLOSED, True, "3.10.8", ""),
    *(
        Edge(state, event, S.CLOSED, False, section, "the RST")
        for event, section in ((E.RECEIVE_RST, "3.10.7.4"), (E.SEND_RST, "3.10.5"))
        for state in State
        if state not in (S.CLOSED, S.LISTEN) and (state, event) != (S.SYN_RECEIVED, E.RECEIVE_RST)
    ),
)
"""Every edge.  FIN_WAIT_1 to TIME_WAIT, which Figure 5 draws as one edge for a segment that
carries both the FIN and the ACK of ours, is two here: the ACK is checked before the FIN
(section 3.10.7.4, fifth and eighth)."""

DIRECT = Edge(S.FIN_WAIT_1, E.RECEIVE_FIN_ACK_OF_FIN, S.TIME_WAIT, True, "3.10.7.4", "its ACK")
"""The one that is no row of its own: both of its events come in one segment."""

STEP: dict[tuple[State, Event], State] = {(edge.state, edge.event): edge.next for edge in EDGES}
"""The machine as a function; an event that is no key leaves the state as it is."""

SYNCHRONIZED = frozenset(State) - {S.CLOSED, S.LISTEN, S.SYN_SENT, S.SYN_RECEIVED}
"""The states in which both sides know each other's sequence numbers (section 3.3.2)."""


def _print_table() -> None:
    for edge in (*EDGES, DIRECT):
        drawn = "Figure 5" if edge.in_figure_5 else "text"
        print(
            f"{edge.state:13} {edge.event:28} {edge.next:13} {drawn:9} RFC 9293 {edge.section:9} {edge.seen}"
        )


def diagram() -> Iterator[str]:
    """Figure 5 as the lines of a Mermaid state diagram; edges with the same ends are one arrow."""
    yield "stateDiagram-v2"
    yield f"    [*] --> {State.CLOSED}"
    events: dict[tuple[State, State], list[str]] = {}
    for edge in (*EDGES, DIRECT):
        if edge.in_figure_5:
            events.setdefault((edge.state, edge.next), []).append(str(edge.event))
    for (before, after), told in events.items():
        yield f"    {before} --> {after}: {' / '.join(told)}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--diagram"]:
        print(*diagram(), sep="\n")
    else:
        _print_table()
