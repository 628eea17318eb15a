from testbed.tcp.states import EDGES, STEP, SYNCHRONIZED, Event, State

FIGURE_5 = {
    ("CLOSED", "LISTEN"), ("CLOSED", "SYN_SENT"), ("LISTEN", "SYN_RECEIVED"), ("LISTEN", "SYN_SENT"),
    ("LISTEN", "CLOSED"), ("SYN_SENT", "CLOSED"), ("SYN_SENT", "SYN_RECEIVED"), ("SYN_SENT", "ESTABLISHED"),
    ("SYN_RECEIVED", "ESTABLISHED"), ("SYN_RECEIVED", "FIN_WAIT_1"), ("SYN_RECEIVED", "LISTEN"),
    ("ESTABLISHED", "FIN_WAIT_1"), ("ESTABLISHED", "CLOSE_WAIT"), ("FIN_WAIT_1", "FIN_WAIT_2"),
    ("FIN_WAIT_1", "CLOSING"), ("FIN_WAIT_2", "TIME_WAIT"), ("CLOSE_WAIT", "LAST_ACK"),
    ("CLOSING", "TIME_WAIT"), ("LAST_ACK", "CLOSED"), ("TIME_WAIT", "CLOSED"),
}  # fmt: skip
"""Read off RFC 9293 figure 5; FIN_WAIT_1 to TIME_WAIT is two of these at once."""


def test_the_edges_of_figure_5() -> None:
    assert {(edge.state, edge.next) for edge in EDGES if edge.in_figure_5} == FIGURE_5


def test_an_event_leads_to_one_state() -> None:
    assert len(STEP) == len(EDGES)


def test_a_reset_ends_every_state_with_a_connection() -> None:
    for state in set(State) - {State.CLOSED, State.LISTEN}:
        expected = State.LISTEN if state is State.SYN_RECEIVED else State.CLOSED
        assert STEP[state, Event.RECEIVE_RST] is expected
        assert STEP[state, Event.SEND_RST] is State.CLOSED


def test_every_edge_cites_its_section() -> None:
    assert all(edge.section.startswith("3.10.") for edge in EDGES)


def test_synchronized_states() -> None:
    # RFC 9293 section 3.5.2, groups 3 and before: LISTEN, SYN-SENT, SYN-RECEIVED are not synchronized
    assert {s for s in State if s not in SYNCHRONIZED} == {
        State.CLOSED,
        State.LISTEN,
        State.SYN_SENT,
        State.SYN_RECEIVED,
    }
