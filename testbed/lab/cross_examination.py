"""The wire and the kernel put side by side: every change of state that either tells of, at both ends.

Two witnesses that agree transition by transition leave little to guess.  Where they may differ, a
row of `EXCEPTIONS` says why; anything else is a disagreement: a bug in this project, or a discovery.

    python -m testbed.lab.cross_examination        prints the exceptions
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from ..findings.table import Side
from ..render.ladder import StateMark
from ..tcp.endpoint import Transition
from ..tcp.notes import SENT_AGAIN
from ..tcp.states import EDGES, Event, State
from ..wire.segment import ACK, RST, SYN
from .account import SIDES, ends_of
from .judgement import Check, Verdict
from .live import LiveConnection


class Difference(NamedTuple):
    """A way in which the witnesses may differ, both being right.

    silent  which of them says nothing
    """

    name: str
    silent: Literal["wire", "kernel"]
    reason: str


EXCEPTIONS: tuple[Difference, ...] = (
    Difference("silent-end", "wire",
        "the kernel ends a connection without a packet: 2 MSL or tcp_fin_timeout are over, retries are used "
        "up, the socket was destroyed"),
    Difference("fin-waits", "wire",
        "close() or shutdown() changes the state at once; the FIN is sent when the data before it was and "
        "the window allows it"),
    Difference("arrival-unproved", "wire",
        "a segment arrived, and its receiver never answered it in a way that proves it to the wire: an RST "
        "was its only answer, or the capture ended"),
    Difference("not-delivered", "kernel",
        "the capture shows a segment that its receiver never took: it was lost behind the place of the "
        "capture"),
    Difference("request-socket", "kernel",
        "Linux keeps a handshake in progress as a request socket, which tells nothing; a handshake that is "
        "never completed is seen by no event (net/ipv4/inet_connection_sock.c)"),
    Difference("not-sampled", "kernel",
        "there are no tracepoints here, and no sample of the tables came upon a state this brief"),
    Difference("small-object", "kernel",
        "Linux keeps FIN_WAIT_2 of an orphan and TIME_WAIT as small objects, which tell nothing, and no "
        "sample of the tables came upon it (net/ipv4/tcp_minisocks.c)"),
)  # fmt: skip
"""Every allowed difference; the last two mean that a witness is missing, not that it differs."""

UNSEEN = frozenset({"not-sampled", "small-object"})
_BY_NAME = {row.name: row for row in EXCEPTIONS}


class Compared(NamedTuple):
    """One change of state, as the wire and as the kernel tell it; None for the one that does not.

    exception  the name of the row of `EXCEPTIONS` that allows a difference; "" where there is none
    """

    side: Side
    state: str
    wire: Transition | None
    kernel: StateMark | None
    exception: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both tell it, or may differ."""
        return (self.wire is not None and self.kernel is not None) or bool(self.exception)

    @property
    def apart_ns(self) -> int | None:
        """How long after the packet the kernel changed its state; None where only one of them tells."""
        if self.wire is None or self.kernel is None:
            return None
        return self.kernel.time_ns - self.wire.time_ns

    def __str__(self) -> str:
        if self.wire is None:
            return f"{self.side} {self.state}: told by the kernel alone"
        if self.kernel is None:
            return f"{self.side} {self.state}: told by the wire alone (frame {self.wire.frame})"
        return f"{self.side} {self.state}: told by both"


def cross_examine(connection: LiveConnection) -> list[Compared]:
    """Every change of state of both ends, the client's first, each end's in order."""
    return [row for side in SIDES for row in _one_end(connection, side)]


def _one_end(connection: LiveConnection, side: Side) -> Iterator[Compared]:
    wire = (connection.client if side == "client" else connection.server).transitions
    kernel = [mark for mark in connection.account.marks if mark.side == side]
    matcher = SequenceMatcher(None, [str(t.state) for t in wire], [m.state for m in kernel], autojunk=False)
    for tag, wire_from, wire_to, kernel_from, kernel_to in matcher.get_opcodes():
        if tag == "equal":
            for told, mark in zip(wire[wire_from:wire_to], kernel[kernel_from:kernel_to], strict=True):
                yield Compared(side, mark.state, told, mark)
            continue
        told_so = wire[wire_from:wire_to]
        contrary = tag == "replace" and not _reconciled(
            told_so,
            [mark.state for mark in kernel[kernel_from:kernel_to]],
            every_change=bool(connection.account.transitions[side]),
        )
        for at in range(kernel_from, kernel_to):
            why = "" if contrary else _kernel_alone(connection, side, kernel, at)
            yield Compared(side, kernel[at].state, None, kernel[at], why)
        for told in told_so:
            why = "" if contrary else _wire_alone(connection, side, told)
            yield Compared(side, str(told.state), told, None, why)


def _reconciled(wire: list[Transition], kernel: list[str], *, every_change: bool) -> bool:
    """Whether both can be right where each says something else.

    Of a kernel that tells every change only an RST that was not taken can be missing.  Samples pass over
    states, and the wire over those that no answer proves: there the two are pieces of one path, if any path
    of the state diagram has them all.
    """
    if every_change:
        return all(told.event is Event.RECEIVE_RST for told in wire)
    return _on_one_path(None, [told.state for told in wire], [State(state) for state in kernel])


def _on_one_path(at: State | None, one: list[State], other: list[State]) -> bool:
    """Whether a path from `at` goes through all states of both lists, each list in its order."""
    if not one and not other:
        return True
    return any(
        (at is None or first[0] in _LATER[at]) and _on_one_path(first[0], first[1:], second)
        for first, second in ((one, other), (other, one))
        if first
    )


def _later(state: State) -> frozenset[State]:
    """Every state that can come after `state` in one connection's life; none comes after CLOSED."""
    found: set[State] = set()
    edge_of = [state]
    while edge_of:
        before = edge_of.pop()
        after = {
            edge.next
            for edge in EDGES
            if edge.state is before is not State.CLOSED and edge.next is not State.LISTEN
        }
        edge_of += after - found
        found |= after
    return frozenset(found)


_LATER = {state: _later(state) for state in State}


def _kernel_alone(connection: LiveConnection, side: Side, marks: list[StateMark], at: int) -> str:
    """Why the wire may be silent about this state; "" where it may not."""
    end = connection.client if side == "client" else connection.server
    state = marks[at].state
    if state == State.CLOSED and at == len(marks) - 1:
        account = connection.account
        own = ends_of(connection)[0 if side == "client" else 1]
        resets = [sent.local for sent in account.resets_sent] + [got.local for got in account.resets_received]
        return "" if own in resets else "silent-end"
    if state in (State.FIN_WAIT_1, State.LAST_ACK) and end.fin_seq is None:
        return "fin-waits"
    if state in _BY_AN_ARRIVAL and end.last_frame:
        # proved by an answer that never came
        answered = any(t.state == state for t in end.transitions)
        return "" if answered else "arrival-unproved"
    return ""


_BY_AN_ARRIVAL = frozenset(
    {
        State.SYN_RECEIVED,
        State.ESTABLISHED,
        State.CLOSE_WAIT,
        State.CLOSING,
        State.FIN_WAIT_2,
        State.TIME_WAIT,
    }
)


def _wire_alone(connection: LiveConnection, side: Side, told: Transition) -> str:
    """Why the kernel may be silent about this state; "" where it may not."""
    account = connection.account
    handshake = told.state in (State.SYN_RECEIVED, State.CLOSED) and not account.transitions[side]
    if handshake and side == "server" and connection.account.whole:
        return "request-socket"
    if told.event in _TAKEN_ON_TRUST and told.confirmed_by == told.frame:
        return "not-delivered"
    if told.state in (State.TIME_WAIT, State.FIN_WAIT_2) and account.whole:
        return "small-object"
    return "" if account.transitions[side] else "not-sampled"


_TAKEN_ON_TRUST = frozenset({Event.RECEIVE_RST, Event.RECEIVE_ACK_OF_FIN, Event.RECEIVE_ACK_OF_SYN})
"""What the wire takes to have arrived, with no answer that could prove it."""


def check_agreement(connections: list[LiveConnection], *, remedy: str = "") -> Check:
    """Do the wire and the kernel agree on every change of state of `connections`?

    Inconclusive where a state should be and no witness could see it; skipped where there are no
    tracepoints and nothing contradicts.
    """
    statement = "the wire and the kernel agree on every change of state"
    rows = [row for connection in connections for row in cross_examine(connection)]
    wrong = [row for row in rows if not row.agrees]
    problem = next((c.account.problem for c in connections if c.account.problem), "")
    if problem and any(c.account.transitions[side] for c in connections for side in SIDES):
        return Check("kernel", statement, Verdict.INCONCLUSIVE, problem)  # of half an account nothing follows
    if wrong:
        return Check("kernel", statement, Verdict.FAIL, "\n".join(map(str, wrong)))
    if problem:
        return Check("kernel", statement, Verdict.SKIPPED, "; ".join(filter(None, (problem, remedy))))
    unseen = [row for row in rows if row.exception in UNSEEN]
    if unseen:
        detail = "\n".join(f"{row}: {_BY_NAME[row.exception].reason}" for row in unseen)
        return Check("kernel", statement, Verdict.INCONCLUSIVE, detail)
    by_sample = sum(row.kernel is not None and row.kernel.witness != "tracepoint" for row in rows)
    how = f", {by_sample} of them by its socket tables" if by_sample else ""
    return Check("kernel", f"{statement}: {len(rows)}{how}", Verdict.PASS)


def check_counts(connections: list[LiveConnection], late: Container[int] = frozenset()) -> Check | None:
    """Does the wire show each RST and each retransmission that the kernel says it sent, and no other?

    None where no kernel tells, or only one of the two ends' does.

    late  frames of segments that the link had held: one of them looks as though it were sent again
    """
    if any(c.account.problem or not all(c.account.transitions[side] for side in SIDES) for c in connections):
        return None
    pairs = {
        "RSTs": [
            (sum(bool(e.segment.flags & RST) for e in c.exchanges or ()), len(c.account.resets_sent))
            for c in connections
        ],
        "retransmissions": [
            (_sent_again(c, late) - _crossed(c), len(c.account.retransmissions)) for c in connections
        ],
    }
    wrong = [
        f"{what} of connection {number}: the wire shows {seen}, the kernel tells of {told}"
        for what, counts in pairs.items()
        for number, (seen, told) in enumerate(counts, 1)
        if seen != told
    ]
    total = sum(told for counts in pairs.values() for _, told in counts)
    statement = f"the wire shows what the kernel says of RSTs and retransmissions: {total or 'none'}"
    return Check("kernel", statement, Verdict.FAIL if wrong else Verdict.PASS, "\n".join(wrong))


def _sent_again(connection: LiveConnection, late: Container[int]) -> int:
    """Segments that the wire takes for retransmissions (for those with SYN see `_crossed`)."""
    held = sum(
        e.segment.frame in late and not e.segment.flags & SYN and any(e.notes & note for note in SENT_AGAIN)
        for e in connection.exchanges or ()
    )
    return sum(map(connection.count, SENT_AGAIN)) - held


def _crossed(connection: LiveConnection) -> int:
    """SYN-ACKs of a simultaneous open: each repeats its sender's SYN, and is an answer to the other one."""
    if not connection.simultaneous:
        return 0
    answers = {
        e.from_client for e in connection.exchanges or () if e.segment.flags & (SYN | ACK) == SYN | ACK
    }
    return len(answers)


if __name__ == "__main__":
    for row in EXCEPTIONS:
        print(f"{row.name:17} {row.silent:7} {row.reason}")
