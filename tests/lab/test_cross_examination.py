"""Wire against kernel: agreement, each allowed difference, and disagreements that are told."""

from __future__ import annotations

import pytest

from testbed.kernel.events import ResetReceived
from testbed.lab import Verdict
from testbed.lab.account import Account
from testbed.lab.cross_examination import EXCEPTIONS, check_agreement, cross_examine
from testbed.lab.live import LiveConnection
from testbed.render.ladder import StateMark
from testbed.tcp.tracker import TrackerOf
from tests.conversations import segments_of

OPEN = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
"""
CLOSE = """
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
"""
CLIENT = "SYN_SENT ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT"
SERVER = "SYN_RECEIVED ESTABLISHED CLOSE_WAIT LAST_ACK CLOSED"


def live(text: str, client: str, server: str, *, problem: str = "", events: bool = True) -> LiveConnection:
    """A connection of a transcript, with the states that the kernel told of both ends."""
    (connection,) = TrackerOf(LiveConnection, keep=True).feed_all(segments_of(text)).connections
    connection.account = Account(problem=problem)
    connection.holders = ()
    for side, path in (("client", client), ("server", server)):
        for number, state in enumerate(path.split()):
            witness = "tracepoint" if events else "sock_diag"
            connection.account.marks.append(StateMark(number, side, state, witness))  # type: ignore[arg-type]
            if events:
                connection.account.transitions[side].append(...)  # type: ignore[index, arg-type]
    return connection


def exceptions(connection: LiveConnection) -> set[str]:
    return {row.exception for row in cross_examine(connection) if row.exception}


def test_two_witnesses_who_agree() -> None:
    connection = live(OPEN + CLOSE, CLIENT, SERVER)
    rows = cross_examine(connection)
    assert [row.state for row in rows] == f"{CLIENT} {SERVER}".split()
    assert all(row.agrees and row.apart_ns is not None and not row.exception for row in rows)
    check = check_agreement([connection])
    assert check.verdict is Verdict.PASS
    assert check.statement.endswith(": 10")


def test_two_paths_that_contradict_each_other_are_a_disagreement() -> None:
    connection = live(OPEN + CLOSE, CLIENT.replace("FIN_WAIT_2", "CLOSING"), SERVER)
    check = check_agreement([connection])
    assert check.verdict is Verdict.FAIL
    assert check.detail.splitlines() == [
        "client CLOSING: told by the kernel alone",
        "client FIN_WAIT_2: told by the wire alone (frame 5)",
    ]


def test_a_state_that_only_the_wire_tells_is_a_disagreement() -> None:
    connection = live(OPEN + CLOSE, CLIENT, "SYN_RECEIVED ESTABLISHED CLOSE_WAIT")
    check = check_agreement([connection])
    assert check.verdict is Verdict.FAIL
    assert "server LAST_ACK: told by the wire alone (frame 6)" in check.detail


@pytest.mark.parametrize(
    ("text", "client", "server", "expected"),
    [
        (OPEN + CLOSE, f"{CLIENT} CLOSED", SERVER, "silent-end"),  # 2 MSL are over
        (OPEN, "SYN_SENT ESTABLISHED FIN_WAIT_1", "SYN_RECEIVED ESTABLISHED", "fin-waits"),
        # the server's kernel took the FIN, and its RST acknowledges nothing
        (
            OPEN + "> F. 1:1(0) ack 1\n< R 1:1(0)",
            "SYN_SENT ESTABLISHED FIN_WAIT_1 CLOSED",
            "SYN_RECEIVED ESTABLISHED CLOSE_WAIT CLOSED",
            "arrival-unproved",
        ),
        # an RST that was lost behind the capture
        (
            OPEN + "< R. 1:1(0) ack 1",
            "SYN_SENT ESTABLISHED",
            "SYN_RECEIVED ESTABLISHED CLOSED",
            "not-delivered",
        ),
        ("> S 0:0(0)\n< S. 0:0(0) ack 1", "SYN_SENT", "", "request-socket"),
        (OPEN + CLOSE, CLIENT.removesuffix(" TIME_WAIT"), SERVER, "small-object"),
    ],
)
def test_each_allowed_difference(text: str, client: str, server: str, expected: str) -> None:
    connection = live(text, client, server)
    assert exceptions(connection) == {expected}
    unseen = expected == "small-object"
    assert check_agreement([connection]).verdict is (Verdict.INCONCLUSIVE if unseen else Verdict.PASS)


def test_every_exception_is_shown_to_be_needed() -> None:
    shown = {"silent-end", "fin-waits", "arrival-unproved", "not-delivered", "request-socket", "small-object"}
    assert {row.name for row in EXCEPTIONS} == shown | {"not-sampled"}


def test_an_end_by_an_rst_that_the_wire_does_not_show_is_no_silent_end() -> None:
    connection = live(OPEN, "SYN_SENT ESTABLISHED CLOSED", "SYN_RECEIVED ESTABLISHED")
    connection.account.resets_received.append(ResetReceived(0, ("127.0.0.1", 51028), ("127.0.0.1", 2333), 1))
    assert check_agreement([connection]).verdict is Verdict.FAIL


def test_without_tracepoints_nothing_is_claimed() -> None:
    connection = live(
        OPEN + CLOSE, "ESTABLISHED TIME_WAIT", "ESTABLISHED", problem="no tracefs", events=False
    )
    check = check_agreement([connection], remedy="run as root")
    assert (check.verdict, check.detail) == (Verdict.SKIPPED, "no tracefs; run as root")


def test_without_tracepoints_a_contradiction_is_one_all_the_same() -> None:
    connection = live(OPEN, "ESTABLISHED LAST_ACK CLOSED FIN_WAIT_2", "", problem="no tracefs", events=False)
    assert check_agreement([connection]).verdict is Verdict.FAIL


def test_samples_and_segments_may_be_pieces_of_one_path() -> None:
    """The samples came after the handshake; the FIN was taken, and only an RST came back for it."""
    text = OPEN + "< F. 1:1(0) ack 1\n< R. 2:2(0) ack 1"
    samples = "CLOSE_WAIT CLOSED", "FIN_WAIT_1 CLOSED"
    connection = live(text, *samples, problem="no tracefs", events=False)
    # not delivered: nothing of the server's proves that the handshake's last ACK came
    assert exceptions(connection) == {"not-sampled", "arrival-unproved", "not-delivered"}
    assert check_agreement([connection]).verdict is Verdict.SKIPPED
    # from ESTABLISHED no path has both LAST_ACK and FIN_WAIT_1; and CLOSING comes before TIME_WAIT, not after
    for client in ("LAST_ACK FIN_WAIT_1 CLOSED", "TIME_WAIT CLOSING CLOSED"):
        contrary = live(text, client, samples[1], problem="no tracefs", events=False)
        assert check_agreement([contrary]).verdict is Verdict.FAIL


@pytest.mark.parametrize("client", [CLIENT, CLIENT.replace(" FIN_WAIT_2", ""), "SYN_SENT"])
def test_events_that_were_lost_make_it_inconclusive(client: str) -> None:
    connection = live(OPEN + CLOSE, client, SERVER, problem="some events were overwritten")
    assert check_agreement([connection]).verdict is Verdict.INCONCLUSIVE
