"""RFC 9293's figures and section 3.10.7, segment by segment."""

from __future__ import annotations

import pytest

from testbed.tcp.arrival import arrival, awaited, by_program
from testbed.tcp.states import STEP, Event, State
from testbed.wire.segment import ACK, FIN, PSH, RST, SYN

S = State


@pytest.mark.parametrize(
    ("state", "flags", "acks_syn", "acks_fin", "states"),
    [
        # figure 6, the handshake
        (S.LISTEN, SYN, False, False, [S.SYN_RECEIVED]),
        (S.SYN_SENT, SYN | ACK, True, False, [S.ESTABLISHED]),
        (S.SYN_RECEIVED, ACK, True, False, [S.ESTABLISHED]),
        # figure 7, simultaneous open
        (S.SYN_SENT, SYN, False, False, [S.SYN_RECEIVED]),
        (S.SYN_RECEIVED, SYN | ACK, True, False, [S.ESTABLISHED]),
        # figure 9: an acknowledgment of something else opens nothing
        (S.SYN_SENT, SYN | ACK, False, False, []),
        (S.SYN_RECEIVED, RST, False, False, [S.LISTEN]),
        # figure 12, the close
        (S.ESTABLISHED, FIN | ACK, True, False, [S.CLOSE_WAIT]),
        (S.FIN_WAIT_1, ACK, True, True, [S.FIN_WAIT_2]),
        (S.FIN_WAIT_2, FIN | ACK, True, True, [S.TIME_WAIT]),
        (S.LAST_ACK, ACK, True, True, [S.CLOSED]),
        # figure 13, simultaneous close
        (S.FIN_WAIT_1, FIN | ACK, True, False, [S.CLOSING]),
        (S.CLOSING, ACK, True, True, [S.TIME_WAIT]),
        # the edge that figure 5 draws for both at once
        (S.FIN_WAIT_1, FIN | ACK, True, True, [S.FIN_WAIT_2, S.TIME_WAIT]),
        # data and its acknowledgment move nothing
        (S.ESTABLISHED, PSH | ACK, True, False, []),
        (S.CLOSE_WAIT, ACK, True, False, []),
        (S.TIME_WAIT, FIN | ACK, True, True, []),
        # the third segment may carry data, or even the FIN
        (S.SYN_RECEIVED, FIN | ACK, True, False, [S.ESTABLISHED, S.CLOSE_WAIT]),
        (S.ESTABLISHED, RST | ACK, True, False, [S.CLOSED]),
    ],
)
def test_what_a_segment_does(
    state: State, flags: int, acks_syn: bool, acks_fin: bool, states: list[State]
) -> None:
    edges = arrival(state, flags, acks_syn=acks_syn, acks_fin=acks_fin)
    assert [edge.next for edge in edges] == states
    assert all(STEP[edge.state, edge.event] is edge.next for edge in edges)


@pytest.mark.parametrize(
    ("state", "next_states"),
    [
        (S.SYN_SENT, {S.SYN_RECEIVED, S.ESTABLISHED}),
        (S.FIN_WAIT_1, {S.FIN_WAIT_2, S.CLOSING}),
        (S.CLOSING, {S.TIME_WAIT}),
        (S.LAST_ACK, {S.CLOSED}),
        (S.TIME_WAIT, {S.CLOSED}),
        (S.CLOSE_WAIT, set()),  # it waits for its own program
        (S.CLOSED, set()),
    ],
)
def test_what_a_state_waits_for(state: State, next_states: set[State]) -> None:
    assert {edge.next for edge in awaited(state)} == next_states


def test_what_the_program_may_do() -> None:
    assert {(e.event, e.next) for e in by_program(S.CLOSE_WAIT)} == {(Event.SEND_FIN, S.LAST_ACK)}
    assert {(e.event, e.next) for e in by_program(S.ESTABLISHED)} == {(Event.SEND_FIN, S.FIN_WAIT_1)}
