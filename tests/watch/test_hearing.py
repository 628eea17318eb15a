"""What tracepoints tell, entered between looks."""

from __future__ import annotations

import itertools

from testbed.kernel.events import Event as Heard
from testbed.kernel.events import ResetReceived, ResetSent, Transition
from testbed.kernel.sample import SocketAddress
from testbed.tcp.states import State
from testbed.watch.events import Ending, Event, Kind
from testbed.watch.watcher import Watcher

from .rows import CLIENT, LISTENER, SECOND, SERVER, client, server

S, K = State, Kind
A, B = 0xAAAA, 0xBBBB
"""Addresses of sockets: the server's, the client's."""
HOME, AWAY = 1001, 1002
"""Networks."""


SHORT = (S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED)


def moved(
    at: int, *states: State, here: SocketAddress = SERVER, there: SocketAddress = CLIENT, socket: int = A
) -> list[Heard]:
    """One socket's changes, 1,000 ns apart."""
    return [
        Transition(at + 1000 * n, here, there, before, after, socket, 1)
        for n, (before, after) in enumerate(itertools.pairwise(states))
    ]


def at_client(at: int, *states: State) -> list[Heard]:
    return moved(at, *states, here=CLIENT, there=SERVER, socket=B)


def watching(*rows: object) -> Watcher:
    watcher = Watcher()
    watcher.look([LISTENER, *rows], SECOND)  # type: ignore[list-item]
    return watcher


def told(events: list[Event]) -> list[tuple[Kind, str | None, State | None]]:
    return [(event.kind, event.side, event.state) for event in events]


def test_a_connection_that_no_look_can_see_is_told_whole() -> None:
    watcher = watching()
    at = 2 * SECOND
    both = [
        *at_client(at, S.CLOSED, S.SYN_SENT, S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2, S.CLOSED),
        *moved(at + 500, S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED),
    ]
    watcher.heard(sorted(both, key=lambda event: event.time_ns), home=HOME, alone=True)
    events = watcher.look([LISTENER, client(S.TIME_WAIT)], 3 * SECOND)
    assert told(events) == [
        (K.OPENED, "server", S.ESTABLISHED),
        (K.STATE, "server", S.ESTABLISHED),
        (K.STATE, "client", S.FIN_WAIT_1),
        (K.STATE, "server", S.CLOSE_WAIT),
        (K.STATE, "client", S.FIN_WAIT_2),
        (K.STATE, "server", S.LAST_ACK),
        (K.CLOSED, "server", None),
    ]
    assert all(event.witness == "tracepoint" for event in events)
    closed = events[-1]
    assert [state for state, _ in closed.history] == [S.SYN_RECEIVED, S.ESTABLISHED, S.CLOSE_WAIT, S.LAST_ACK]
    assert watcher.look([LISTENER, client(S.TIME_WAIT)], 4 * SECOND) == []
    assert watcher.connections == 1


def test_what_a_tracepoint_told_first_has_the_holder_that_the_tables_show() -> None:
    watcher = watching()
    watcher.heard(moved(SECOND + 1, *SHORT[:3]), home=HOME, alone=True)
    (event,) = watcher.look([LISTENER, server(S.ESTABLISHED)], 2 * SECOND)
    assert (event.kind, event.witness, event.inode) == (K.OPENED, "tracepoint", 5)


def test_a_change_has_the_kernels_own_time() -> None:
    watcher = watching(server(S.ESTABLISHED))
    watcher.heard(moved(1_500_000_123, S.ESTABLISHED, S.CLOSE_WAIT), home=HOME, alone=True)
    (event,) = watcher.look([LISTENER, server(S.CLOSE_WAIT)], 2 * SECOND)
    assert (event.time_ns, event.witness, event.spent_ns) == (1_500_000_123, "tracepoint", 500_000_123)


def test_a_row_read_before_the_event_does_not_turn_the_state_back() -> None:
    watcher = watching(server(S.ESTABLISHED))
    watcher.heard(moved(SECOND + 1, S.ESTABLISHED, S.CLOSE_WAIT), home=HOME, alone=True)
    (event,) = watcher.look([LISTENER, server(S.ESTABLISHED)], 2 * SECOND)
    assert event.state is S.CLOSE_WAIT
    assert watcher.look([LISTENER, server(S.CLOSE_WAIT)], 3 * SECOND) == []


def test_a_row_read_before_the_end_is_no_new_connection() -> None:
    watcher = watching(server(S.LAST_ACK))
    watcher.heard(moved(SECOND + 1, S.LAST_ACK, S.CLOSED), home=HOME, alone=True)
    (event,) = watcher.look([LISTENER, server(S.LAST_ACK)], 2 * SECOND)
    assert event.kind is K.CLOSED
    assert watcher.look([LISTENER], 3 * SECOND) == []
    assert watcher.connections == 1


def test_what_is_heard_of_a_birth_after_the_tables_have_shown_it_is_no_other_connection() -> None:
    watcher = watching(server(S.ESTABLISHED))
    watcher.heard(moved(SECOND - 5000, S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED), home=HOME, alone=True)
    assert watcher.look([LISTENER, server(S.ESTABLISHED)], 2 * SECOND) == []
    assert watcher.connections == 1


def test_who_reset_and_why() -> None:
    watcher = watching(server(S.ESTABLISHED), client(S.ESTABLISHED))
    watcher.heard(
        [
            *moved(SECOND + 1, S.ESTABLISHED, S.CLOSED),
            ResetSent(SECOND + 2, SERVER, CLIENT, S.CLOSED, "TCP_ABORT_ON_CLOSE", A, 1),
            ResetReceived(SECOND + 3, CLIENT, SERVER, B),
            *at_client(SECOND + 4, S.ESTABLISHED, S.CLOSED),
        ],
        home=HOME,
        alone=True,
    )
    assert watcher.look([LISTENER], 2 * SECOND) == []
    (event,) = watcher.look([LISTENER], 3 * SECOND)
    assert (event.kind, event.reset_by, event.certain, event.witness) == (
        K.RESET,
        "server",
        True,
        "tracepoint",
    )
    assert "TCP_ABORT_ON_CLOSE" in event.text and "data unread" in event.text
    assert watcher.account(complete=True).resets_by == {"server": 1}


def test_an_rst_received_is_the_others() -> None:
    watcher = watching(server(S.ESTABLISHED, remote=CLIENT))
    watcher.heard(
        [ResetReceived(SECOND + 1, SERVER, CLIENT, A), *moved(SECOND + 2, S.ESTABLISHED, S.CLOSED)],
        home=HOME,
        alone=True,
    )
    watcher.look([LISTENER], 2 * SECOND)
    (event,) = watcher.look([LISTENER], 3 * SECOND)
    assert (event.kind, event.reset_by) == (K.RESET, "client")


def test_a_half_closed_end_that_was_reset() -> None:
    """Linux tells of FIN_WAIT_2 to CLOSED both for this and for TIME_WAIT; the RST tells which."""
    watcher = watching(client(S.FIN_WAIT_2))
    heard = [ResetReceived(SECOND + 1, CLIENT, SERVER, B), *at_client(SECOND + 2, S.FIN_WAIT_2, S.CLOSED)]
    watcher.heard(heard, home=HOME, alone=True)
    watcher.look([LISTENER], 2 * SECOND)
    (event,) = watcher.look([LISTENER], 3 * SECOND)
    assert (event.kind, event.reset_by, event.certain) == (K.RESET, "server", True)


def test_closed_in_the_middle_without_any_rst_is_given_up() -> None:
    watcher = watching(server(S.ESTABLISHED))
    watcher.heard(moved(SECOND + 1, S.ESTABLISHED, S.CLOSED), home=HOME, alone=True)
    watcher.look([LISTENER], 2 * SECOND)
    (event,) = watcher.look([LISTENER], 3 * SECOND)
    assert (event.kind, event.reset_by) == (K.RESET, None)
    assert "given up" in event.text


def test_a_refused_connection() -> None:
    watcher = watching()
    closed = ("127.0.0.1", 9)
    watcher.heard(
        [
            Transition(SECOND + 1, CLIENT, closed, S.CLOSED, S.SYN_SENT, B, 1),
            ResetSent(SECOND + 2, closed, CLIENT, None, "NO_SOCKET", 0, 1),
            ResetReceived(SECOND + 3, CLIENT, closed, B),
            Transition(SECOND + 4, CLIENT, closed, S.SYN_SENT, S.CLOSED, B, 1),
        ],
        home=HOME,
        alone=True,
    )
    watcher.look([LISTENER], 2 * SECOND)
    (event,) = watcher.look([LISTENER], 3 * SECOND)
    assert (event.kind, event.reset_by, event.witness) == (K.FAILED, "server", "tracepoint")
    assert "nobody listens" in event.text


def test_fin_wait_2_to_closed_may_be_an_orphan_and_the_tables_say_so() -> None:
    watcher = watching(client(S.ESTABLISHED))
    watcher.heard(
        at_client(SECOND + 1, S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2, S.CLOSED), home=HOME, alone=True
    )
    orphan = client(S.FIN_WAIT_2, small=True, inode=0, timer_ms=59_000)
    events = watcher.look([LISTENER, orphan], 2 * SECOND)
    assert told(events) == [(K.STATE, "client", S.FIN_WAIT_1), (K.STATE, "client", S.FIN_WAIT_2)]
    (event,) = watcher.look([LISTENER, client(S.TIME_WAIT)], 3 * SECOND)
    assert (event.kind, event.witness) == (K.CLOSED, "sock_diag")


def test_where_there_are_other_networks_strangers_are_not_taken_in() -> None:
    watcher = watching()
    watcher.heard(moved(SECOND + 1, S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED), home=HOME, alone=False)
    assert watcher.look([LISTENER], 2 * SECOND) == []
    assert watcher.connections == 0


def test_where_there_are_other_networks_an_event_must_go_on_from_what_the_tables_show() -> None:
    watcher = watching(server(S.ESTABLISHED))
    watcher.heard(
        moved(SECOND + 1, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED, socket=0xCCCC), home=HOME, alone=False
    )
    assert watcher.look([LISTENER, server(S.ESTABLISHED)], 2 * SECOND) == []
    watcher.heard(moved(2 * SECOND + 1, S.ESTABLISHED, S.CLOSE_WAIT), home=HOME, alone=False)
    watcher.heard(
        moved(2 * SECOND + 9, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED, socket=0xCCCC), home=HOME, alone=False
    )
    (event,) = watcher.look([LISTENER, server(S.CLOSE_WAIT)], 3 * SECOND)
    assert event.state is S.CLOSE_WAIT


def called(events: list[Heard], network: int) -> list[Heard]:
    """The same, as if all had been called for by somebody in `network`."""
    return [e._replace(network=network) if isinstance(e, Transition) else e for e in events]


def test_a_stranger_with_a_caller_in_this_network_is_taken_in() -> None:
    """The handshake is the work of packets, which nobody calls for; the close() at the end tells."""
    watcher = watching()
    life = moved(SECOND + 1, *SHORT)
    life[3:4] = called(life[3:4], HOME)
    watcher.heard(life, home=HOME, alone=False)
    events = watcher.look([LISTENER], 2 * SECOND)
    assert [event.kind for event in events] == [K.OPENED, K.STATE, K.STATE, K.CLOSED]
    assert watcher.doubted == 0


def test_a_stranger_with_a_caller_elsewhere_is_none_of_ours() -> None:
    watcher = watching()
    watcher.heard(called(moved(SECOND + 1, *SHORT), AWAY), home=HOME, alone=False)
    assert watcher.look([LISTENER], 2 * SECOND) == []
    assert watcher.doubted == 0


def test_a_stranger_of_whom_nobody_tells_is_counted_as_doubtful() -> None:
    watcher = watching()
    watcher.heard(moved(SECOND + 1, *SHORT), home=HOME, alone=False)
    assert watcher.look([LISTENER], 2 * SECOND) == []
    assert (watcher.connections, watcher.doubted) == (0, 1)


def test_the_peer_of_one_that_was_taken_in_is_taken_in() -> None:
    watcher = watching()
    opened = called(at_client(SECOND + 1, S.CLOSED, S.SYN_SENT), HOME)
    watcher.heard([*opened, *moved(SECOND + 9, *SHORT)], home=HOME, alone=False)
    events = watcher.look([LISTENER], 2 * SECOND)
    assert (events[-1].kind, events[-1].side, watcher.connections) == (K.CLOSED, "server", 1)


def test_the_same_object_used_again_in_another_network_is_another_life() -> None:
    watcher = watching()
    ours = called(moved(SECOND + 1, *SHORT), HOME)
    theirs = called(moved(SECOND + 100_000, *SHORT, there=("127.0.0.1", 41000)), AWAY)
    watcher.heard([*ours, *theirs], home=HOME, alone=False)
    watcher.look([LISTENER], 2 * SECOND)
    assert watcher.connections == 1


def test_a_callers_word_outweighs_the_state_that_the_tables_show() -> None:
    watcher = watching(server(S.ESTABLISHED))
    watcher.heard(called(moved(SECOND + 1, S.ESTABLISHED, S.FIN_WAIT_1), AWAY), home=HOME, alone=False)
    assert watcher.look([LISTENER, server(S.ESTABLISHED)], 2 * SECOND) == []


def test_before_the_first_look_nothing_is_heard() -> None:
    watcher = Watcher()
    watcher.heard(moved(1, S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED), home=HOME, alone=True)
    assert watcher.look([LISTENER], SECOND) == []


def test_a_connection_told_of_that_never_shows_is_taken_for_gone() -> None:
    watcher = watching()
    watcher.heard(moved(SECOND + 1, S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED), home=HOME, alone=True)
    assert [event.kind for event in watcher.look([LISTENER], 2 * SECOND)] == [K.OPENED]
    for second in range(3, 6):
        watcher.look([LISTENER], second * SECOND)
    assert watcher.account(complete=True).endings[Ending.OPEN] == 0
