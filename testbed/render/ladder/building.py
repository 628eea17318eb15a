"""A ladder made of a connection and of what is told of it besides: all of it merged in time.

Whose word a state is: a segment moves an end to the state that the wire implies (witness
``wire``).  When the kernel names that same state before the next segment, it is the kernel's word
(``kernel``).  When the kernel names another one, that is a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...errors import UsageError
from ...tcp.connection import Connection, Exchange, Opening
from ...tcp.endpoint import Endpoint
from ...tcp.notes import names
from ...tcp.states import EDGES
from ...tcp.transcript import line_of
from ...wire.decode import IcmpError
from ...wire.icmp import words_of
from .missing import missing_fin
from .model import Arrow, Gap, GhostArrow, Ladder, Omitted, Row, StateRow, StepRow, Witness
from .selection import chosen
from .told import Fault, Found, Ghost, Mark, Side, StateMark, Step

GAP_NS = 1_000_000_000
"""A longer time without anything is a row of its own."""

TOGETHER_NS = 1_000_000
"""The kernel's word this close before a segment belongs to it (a state changes, then the segment that
says so is captured), and a state shorter than this into which no segment fell is not drawn."""

STALE_NS = 20_000_000
"""A sample of the socket tables takes up to 10 ms: one that tells the state which the end left less
than this ago was overtaken by the segment."""

STEPS = {(str(edge.state), str(edge.next)) for edge in EDGES}
"""From which state to which RFC 9293 knows a way."""


def from_connection(
    connection: Connection,
    *,
    title: str = "",
    start_ns: int | None = None,
    steps: Sequence[Step] = (),
    kernel: Sequence[StateMark] = (),
    ghosts: Sequence[Ghost] | None = None,
    findings: Sequence[Found] = (),
    faults: Sequence[Fault] = (),
    icmp: Sequence[IcmpError] = (),
    limit: int | None = None,
) -> Ladder:
    """The ladder of a connection that was tracked with ``keep=True``; else `UsageError`.

    start_ns   the time drawn as 0, default the connection's first segment
    ghosts     default: the FIN that a finding ``missing-fin`` misses
    findings   those that name a frame are marked at its arrow
    faults     what a link did to segments, drawn at their arrows or, where none was captured, as one
    icmp       errors about its segments, each drawn on its way back to the segment's sender
    limit      the most segments shown, default all: SYN, FIN, RST and what findings point at
               first, then the beginning and the end
    """
    if connection.exchanges is None:
        raise UsageError("a ladder needs the segments: track the connection with keep=True")
    if ghosts is None:
        ghost = missing_fin(connection) if any(found.code == "missing-fin" for found in findings) else None
        ghosts = () if ghost is None else (ghost,)
    client, server = connection.addresses
    rows = _Rows(connection, connection.exchanges, kernel, ghosts, findings, faults, limit)
    return Ladder(
        client=str(client),
        server=str(server),
        title=title,
        rows=tuple(_with_gaps(rows.build(steps, icmp))),
        start_ns=connection.start_ns if start_ns is None else start_ns,
    )


class _Rows:
    """Everything that happened, merged in time into rows."""

    def __init__(
        self,
        connection: Connection,
        exchanges: Sequence[Exchange],
        kernel: Sequence[StateMark],
        ghosts: Sequence[Ghost],
        findings: Sequence[Found],
        faults: Sequence[Fault],
        limit: int | None,
    ) -> None:
        self.client_flow = connection.client_flow
        self.exchanges = exchanges
        self.faults = {fault.frame: fault for fault in faults if fault.frame is not None}
        self.unseen = [fault for fault in faults if fault.frame is None]
        self.kernel = sorted(kernel, key=lambda mark: mark.time_ns)
        self.ghosts = list(ghosts)
        self.marks: dict[int, list[Mark]] = {}
        for found in findings:
            if found.frame is not None:
                self.marks.setdefault(found.frame, []).append(Mark(found.code, str(found.severity)))
        pointed_at = {*self.marks, *self.faults, *(ghost.after_frame for ghost in ghosts)}
        self.shown = chosen(exchanges, pointed_at, limit)
        self.times = _monotonic(exchanges)
        self.wire: dict[Side, list[str]] = {
            "client": _states(connection, connection.client, exchanges),
            "server": _states(connection, connection.server, exchanges),
        }
        self.rows: list[Row] = []
        self.state: dict[Side, tuple[str, Witness]] = {"client": ("", "wire"), "server": ("", "wire")}
        self.left: dict[Side, tuple[str, int]] = {}  # the state before, and when it was left
        self.early: dict[Side, str] = {}
        self.hidden: list[int] = []  # the times of the segments left out just now
        self.next = 0  # the next exchange

    def build(self, steps: Sequence[Step], icmp: Sequence[IcmpError]) -> list[Row]:
        """All rows but the gaps."""
        # A call causes a segment, a segment a state: in this order where the clock shows no difference.
        events: list[tuple[int, int, int]] = [
            *((step.time_ns, 0, index) for index, step in enumerate(steps)),
            *((time_ns, 1, index) for index, time_ns in enumerate(self.times)),
            *((mark.time_ns, 2, index) for index, mark in enumerate(self.kernel)),
            *((fault.time_ns, 3, index) for index, fault in enumerate(self.unseen)),
            *((error.time_ns, 4, index) for index, error in enumerate(icmp)),
        ]
        for _, source, index in sorted(events):
            if source == 0:
                self._add(StepRow(*steps[index][:3]))
            elif source == 1:
                self._segment(index)
            elif source == 2:
                self._mark(index)
            elif source == 3:
                fault = self.unseen[index]
                self._add(self._arrow(fault.time_ns, fault.from_client, fault.notation, fault))
            else:
                error = icmp[index]
                back = self._arrow(
                    error.time_ns, error.quoted_flow != self.client_flow, words_of(error), None
                )
                self._add(replace(back, frame=error.frame, icmp=True))
        self._flush()
        for ghost in self.ghosts:
            self.rows.append(GhostArrow(ghost.from_client, ghost.notation, ghost.why))
        return self.rows

    def _add(self, row: Row) -> None:
        self._flush()
        self.rows.append(row)

    def _flush(self) -> None:
        if self.hidden:
            self.rows.append(Omitted(len(self.hidden), self.hidden[-1] - self.hidden[0]))
            self.hidden = []

    def _segment(self, index: int) -> None:
        exchange, time_ns = self.exchanges[index], self.times[index]
        self.next = index + 1
        for side, states in self.wire.items():
            state = states[index]
            early = self.early.pop(side, None)
            if index and state == states[index - 1] and early is None:
                continue
            if state != self.state[side][0]:
                self._enter(side, state, "kernel" if early == state else "wire", time_ns)
        if index not in self.shown:
            self.hidden.append(time_ns)
            return
        frame = exchange.segment.frame
        arrow = self._arrow(time_ns, exchange.from_client, str(line_of(exchange)), self.faults.get(frame))
        self._add(
            replace(
                arrow,
                notes=tuple(names(exchange.notes)),
                frame=frame,
                marks=tuple(self.marks.get(frame, ())),
            )
        )
        for ghost in [ghost for ghost in self.ghosts if ghost.after_frame == frame]:
            self.ghosts.remove(ghost)
            self._add(GhostArrow(ghost.from_client, ghost.notation, ghost.why))

    def _arrow(self, time_ns: int, from_client: bool, notation: str, fault: Fault | None) -> Arrow:
        """A segment between both ends' present states."""
        return Arrow(
            time_ns=time_ns,
            from_client=from_client,
            notation=notation,
            client_state=self.state["client"][0],
            server_state=self.state["server"][0],
            client_witness=self.state["client"][1],
            server_witness=self.state["server"][1],
            fault=fault.what if fault else "",
            lost=fault.lost if fault else False,
        )

    def _enter(self, side: Side, state: str, witness: Witness, time_ns: int) -> None:
        self.left[side] = (self.state[side][0], time_ns)
        self.state[side] = (state, witness)

    def _mark(self, index: int) -> None:
        """The kernel's word: it confirms, comes just before its segment, is overtaken, or is news."""
        mark = self.kernel[index]
        side, state = mark.side, mark.state
        soon = mark.time_ns + TOGETHER_NS
        upcoming = self.times[self.next] if self.next < len(self.times) else None
        if state == self.state[side][0]:
            self.state[side] = (state, "kernel")
            self._confirm(side, state)
        elif upcoming is not None and upcoming <= soon and self.wire[side][self.next] == state:
            self.early[side] = state
        elif not (
            self._passing(index, soon if upcoming is None else min(soon, upcoming)) or self._overtaken(mark)
        ):
            self._enter(side, state, "kernel", mark.time_ns)
            self._add(StateRow(mark.time_ns, side, state, "kernel"))

    def _overtaken(self, mark: StateMark) -> bool:
        """Whether the segment that brought this end where it is was captured before the kernel's word came.

        A sample may be of before it.  And a segment may take an end through two states at once, as FIN and
        ACK do from FIN_WAIT_1 to TIME_WAIT: the kernel names the one between them.
        """
        before, since_ns = self.left.get(mark.side, ("", 0))
        age = mark.time_ns - since_ns
        if mark.state == before:
            return mark.witness != "tracepoint" and age < STALE_NS
        edges = {(before, mark.state), (mark.state, self.state[mark.side][0])}
        return age < TOGETHER_NS and edges <= STEPS

    def _passing(self, index: int, until: int) -> bool:
        """Whether the kernel tells this end's next state before `until`."""
        for later in self.kernel[index + 1 :]:
            if later.time_ns > until:
                return False
            if later.side == self.kernel[index].side:
                return True
        return False

    def _confirm(self, side: Side, state: str) -> None:
        """The last arrow shows the state already: now on the kernel's word."""
        for at in range(len(self.rows) - 1, -1, -1):
            row = self.rows[at]
            if isinstance(row, Arrow):
                if side == "client" and row.client_state == state:
                    self.rows[at] = replace(row, client_witness="kernel")
                elif side == "server" and row.server_state == state:
                    self.rows[at] = replace(row, server_witness="kernel")
                return


def _states(connection: Connection, end: Endpoint, exchanges: Sequence[Exchange]) -> list[str]:
    """The end's state after each exchange, in hindsight (see `testbed.tcp.connection`)."""
    state = "ESTABLISHED" if connection.opening is Opening.MID_STREAM else ""
    transitions = list(end.transitions)
    at = 0
    states = []
    for exchange in exchanges:
        while at < len(transitions) and transitions[at].frame <= exchange.segment.frame:
            state = str(transitions[at].state)
            at += 1
        states.append(state)
    return states


def _monotonic(exchanges: Sequence[Exchange]) -> list[int]:
    """Each exchange's time, none before the one that was captured before it."""
    times: list[int] = []
    for exchange in exchanges:
        times.append(max(exchange.segment.time_ns, times[-1] if times else exchange.segment.time_ns))
    return times


def _with_gaps(rows: Sequence[Row]) -> Iterator[Row]:
    """`rows` with a `Gap` wherever more than `GAP_NS` passed between two of them."""
    before: int | None = None
    for row in rows:
        if isinstance(row, Omitted):
            before = None  # it tells its own duration
        elif isinstance(row, (Arrow, StepRow, StateRow)):
            if before is not None and row.time_ns - before > GAP_NS:
                yield Gap(row.time_ns - before)
            before = row.time_ns
        yield row
