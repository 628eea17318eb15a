"""The table of edges: what stands in it, whoever saw what."""

from __future__ import annotations

from testbed.lab.walked import Walk
from testbed.scenarios import RunResult
from testbed.scenarios.coverage import NOT_IN_LINUX, Covered, counts, coverage
from testbed.tcp.states import DIRECT, EDGES, Event, State

S, E = State, Event


def result(name: str, *walked: Walk) -> RunResult:
    return RunResult(name, 1.0, walked=walked)


def row(rows: list[Covered], state: State, event: Event) -> Covered:
    (found,) = (one for one in rows if (one.edge.state, one.edge.event) == (state, event))
    return found


def test_every_edge_is_a_row_once_and_figure_5_comes_first() -> None:
    rows = coverage([])
    assert sorted(r.edge for r in rows) == sorted((*EDGES, DIRECT))
    drawn = [r.edge.in_figure_5 for r in rows]
    assert drawn == sorted(drawn, reverse=True)
    assert sum(drawn) == 21  # as many lines as RFC 9293 section 3.3.2 draws


def test_who_saw_it_where() -> None:
    rows = coverage(
        [
            result("one", Walk(S.LISTEN, E.RECEIVE_SYN, "frozen"), Walk(S.LISTEN, E.RECEIVE_SYN, "wire")),
            result("two", Walk(S.LISTEN, E.RECEIVE_SYN, "tracepoint")),
            result("three", Walk(S.CLOSING, E.RECEIVE_ACK_OF_FIN, "wire")),
        ]
    )
    walked = row(rows, S.LISTEN, E.RECEIVE_SYN)
    assert walked.standing == "walked"
    assert set(walked.kernel) == {"one", "two"}
    assert walked.wire == ("one",)
    assert row(rows, S.CLOSING, E.RECEIVE_ACK_OF_FIN).standing == "wire only"
    assert row(rows, S.CLOSED, E.PASSIVE_OPEN).standing == "not walked"


def test_an_edge_that_linux_has_not_is_named_with_the_reason_and_not_counted() -> None:
    rows = coverage([])
    absent = {(r.edge.state, r.edge.event): r.reason for r in rows if r.standing == "not in Linux"}
    assert absent == NOT_IN_LINUX
    assert (S.LISTEN, E.SEND_SYN) in absent
    counted = counts(rows)
    assert counted.edges == len(rows) - len(absent)
    assert (counted.kernel, counted.wire) == (0, 0)


def test_a_kernel_that_has_it_after_all_is_believed() -> None:
    rows = coverage([result("one", Walk(S.LISTEN, E.SEND_SYN, "tracepoint"))])
    assert row(rows, S.LISTEN, E.SEND_SYN).standing == "walked"


def test_as_json() -> None:
    rows = coverage([result("one", Walk(S.CLOSED, E.SEND_SYN, "sock_diag"))])
    document = row(rows, S.CLOSED, E.SEND_SYN).to_json()
    assert (document["from"], document["event"], document["to"]) == ("CLOSED", "send SYN", "SYN_SENT")
    assert document["kernel"] == {"sock_diag": ["one"]}
    assert document["wire"] == []
    assert row(rows, S.CLOSED, E.PASSIVE_OPEN).to_json()["wire"] is None, "no segment shows it"
