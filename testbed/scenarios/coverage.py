"""RFC 9293's state machine as a table of edges, each with the scenarios in which it was seen walked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..lab.walked import WITNESSES, WitnessOfEdge
from ..render.diagram import Standing
from ..tcp.states import DIRECT, EDGES, Edge, Event, State
from .result import RunResult

NOT_IN_LINUX: dict[tuple[State, Event], str] = {
    (State.LISTEN, Event.SEND_SYN): "a listening socket cannot be sent from or connected: send() fails with "
    "EPIPE, connect() with EISCONN (net/ipv4/af_inet.c)",
    (State.SYN_RECEIVED, Event.RECEIVE_FIN): "a FIN carries the ACK that is still missing, and the ACK is "
    "looked at first: ESTABLISHED comes between (section 3.10.7.4, fifth before eighth)",
    (State.SYN_SENT, Event.SEND_RST): "an ABORT here sends nothing (section 3.10.5), and an RST that answers "
    "a wrong ACK leaves the state as it is (section 3.10.7.3)",
    (State.TIME_WAIT, Event.SEND_RST): "nobody holds a socket that could be aborted, and an ABORT would "
    "send nothing (section 3.10.5)",
}
"""Edges that no scenario can walk, and why."""


class Covered(NamedTuple):
    """One edge and who saw it where.

    seen    for each witness the scenarios, in their order; a witness that saw nothing is not in it
    reason  why Linux has no such edge; "" where it has
    """

    edge: Edge
    seen: dict[WitnessOfEdge, tuple[str, ...]]
    reason: str

    @property
    def kernel(self) -> tuple[str, ...]:
        """The scenarios in which the kernel showed it."""
        return tuple(
            dict.fromkeys(name for who, names in self.seen.items() if who != "wire" for name in names)
        )

    @property
    def wire(self) -> tuple[str, ...]:
        """The scenarios in which the capture showed it."""
        return self.seen.get("wire", ())

    @property
    def on_wire(self) -> bool:
        """Whether a segment shows it at all."""
        return bool(self.edge.seen)

    @property
    def standing(self) -> Standing:
        """What is to be said of it in two words."""
        if self.kernel:
            return "walked"
        if self.reason:
            return "not in Linux"
        return "wire only" if self.wire else "not walked"

    def to_json(self) -> dict[str, Any]:
        """A row of ``coverage`` in `run --coverage --json`."""
        return {
            "from": str(self.edge.state),
            "event": str(self.edge.event),
            "to": str(self.edge.next),
            "figure_5": self.edge.in_figure_5,
            "rfc9293": self.edge.section,
            "standing": self.standing,
            "kernel": {who: list(names) for who, names in self.seen.items() if who != "wire"},
            "wire": list(self.wire) if self.on_wire else None,
            "reason": self.reason or None,
        }


def coverage(results: Sequence[RunResult]) -> list[Covered]:
    """Every edge, those of figure 5 first, as the table has them."""
    seen: dict[tuple[State, Event], dict[WitnessOfEdge, list[str]]] = {}
    for result in results:
        for walk in result.walked:
            seen.setdefault((walk.state, walk.event), {}).setdefault(walk.witness, []).append(result.scenario)
    rows = []
    for edge in _in_order():
        key = edge.state, edge.event
        told = seen.get(key, {})
        by_witness = {who: tuple(told[who]) for who in WITNESSES if who in told}
        rows.append(Covered(edge, by_witness, NOT_IN_LINUX.get(key, "")))
    return rows


def _in_order() -> list[Edge]:
    """Figure 5 from CLOSED on, with the edge that it draws and the table does not, then the text's."""
    figure = [edge for edge in EDGES if edge.in_figure_5]
    at = next(number for number, edge in enumerate(figure) if edge.state is State.FIN_WAIT_2)
    return [*figure[:at], DIRECT, *figure[at:], *(edge for edge in EDGES if not edge.in_figure_5)]


class Counts(NamedTuple):
    """How much of a group of edges was walked.

    edges    that Linux has
    kernel   of these, seen by the kernel
    visible  of these, those that a segment shows
    wire     of the visible ones, seen on the wire
    """

    edges: int
    kernel: int
    visible: int
    wire: int


def counts(rows: Iterable[Covered]) -> Counts:
    """How much of `rows` was walked."""
    there = [row for row in rows if not row.reason]
    visible = [row for row in there if row.on_wire]
    return Counts(
        len(there),
        sum(bool(row.kernel) for row in there),
        len(visible),
        sum(bool(row.wire) for row in visible),
    )
