"""The kernel's events and samples joined to a connection: its own, whole, and nobody else's."""

from __future__ import annotations

from itertools import pairwise

import pytest

from testbed.kernel import SocketSample
from testbed.kernel.events import Event, ResetReceived, ResetSent, Transition
from testbed.kernel.sample import SocketAddress
from testbed.lab.account import accounts
from testbed.tcp.states import State
from tests.conversations import START_NS, connections_of

CLIENT, SERVER = ("127.0.0.1", 51028), ("127.0.0.1", 2333)
CLOSE = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
"""
S = State
CLIENT_PATH = (S.CLOSED, S.SYN_SENT, S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2, S.CLOSED)
SERVER_PATH = (S.LISTEN, S.SYN_RECEIVED, S.ESTABLISHED, S.CLOSE_WAIT, S.LAST_ACK, S.CLOSED)


def life(
    local: SocketAddress, remote: SocketAddress, path: tuple[State, ...], *, socket: int, at: int = 0
) -> list[Event]:
    """One socket's events, a millisecond apart."""
    return [
        Transition(START_NS + at + number * 1_000_000, local, remote, before, state, socket, 1)
        for number, (before, state) in enumerate(pairwise(path))
    ]


def both(at: int = 0, sockets: tuple[int, int] = (1, 2)) -> list[Event]:
    client = life(CLIENT, SERVER, CLIENT_PATH, socket=sockets[0], at=at - 50_000)
    server = life(SERVER, CLIENT, SERVER_PATH, socket=sockets[1], at=at + 50_000)
    return sorted([*client, *server], key=lambda event: event.time_ns)


def sample(local: SocketAddress, remote: SocketAddress, state: State | None, at: int) -> SocketSample:
    return SocketSample(START_NS + at, local, remote, state, None, None, None, "sock_diag")


def test_both_ends_are_told_apart_and_what_the_events_leave_open_comes_from_the_samples() -> None:
    connections = connections_of(CLOSE)
    samples = [sample(CLIENT, SERVER, S.TIME_WAIT, 20_000_000)]
    (account,) = accounts(connections, both(), samples)
    assert account.whole
    assert account.states("client") == ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]
    assert account.states("server") == ["SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"]
    witnesses = [mark.witness for mark in account.marks if mark.side == "client"]
    assert witnesses == ["tracepoint"] * 4 + ["sock_diag"]


def test_a_small_object_that_no_sample_saw_is_not_invented() -> None:
    (account,) = accounts(connections_of(CLOSE), both(), [])
    assert account.states("client")[-1] == "FIN_WAIT_2"


def test_a_small_object_is_in_the_tables_before_its_socket_tells_of_its_end() -> None:
    """Linux hashes the one and then ends the other (tcp_time_wait): a sample may fall between."""
    events = both()
    handed = max(event.time_ns for event in events if event.local == CLIENT) - START_NS
    (account,) = accounts(
        connections_of(CLOSE), events, [sample(CLIENT, SERVER, S.TIME_WAIT, handed - 9_000)]
    )
    assert account.states("client")[-2:] == ["FIN_WAIT_2", "TIME_WAIT"]
    assert account.marks == sorted(account.marks, key=lambda mark: mark.time_ns)


def test_an_orphan_in_fin_wait_2_goes_on_in_the_samples_until_it_is_gone() -> None:
    samples = [
        sample(CLIENT, SERVER, S.FIN_WAIT_2, 20_000_000),
        sample(CLIENT, SERVER, None, 90_000_000),
    ]
    (account,) = accounts(connections_of(CLOSE), both(), samples)
    assert account.states("client")[-2:] == ["FIN_WAIT_2", "CLOSED"]


def test_samples_that_a_reading_overtook_change_nothing() -> None:
    """A look takes time: it may bring a state that the events say was left already."""
    samples = [sample(SERVER, CLIENT, S.ESTABLISHED, 4_000_000), sample(SERVER, CLIENT, None, 6_000_000)]
    (account,) = accounts(connections_of(CLOSE), both(), samples)
    assert account.states("server") == ["SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"]


def test_a_look_that_the_handing_over_overtook_does_not_bring_the_socket_back() -> None:
    samples = [
        sample(CLIENT, SERVER, S.FIN_WAIT_1, 20_000_000),
        sample(CLIENT, SERVER, S.FIN_WAIT_2, 21_000_000),
        sample(CLIENT, SERVER, None, 90_000_000),
    ]
    (account,) = accounts(connections_of(CLOSE), both(), samples)
    assert account.states("client")[-3:] == ["FIN_WAIT_1", "FIN_WAIT_2", "CLOSED"]
    assert account.states("client").count("FIN_WAIT_1") == 1


def test_a_request_socket_that_a_sample_saw_comes_before_the_events() -> None:
    samples = [sample(SERVER, CLIENT, S.SYN_RECEIVED, 10_000)]
    (account,) = accounts(connections_of(CLOSE), both(), samples)
    (first, *_) = [mark for mark in account.marks if mark.side == "server"]
    assert (first.state, first.witness) == ("SYN_RECEIVED", "sock_diag")
    assert account.states("server").count("SYN_RECEIVED") == 1


def test_another_network_with_the_same_addresses_is_left_out() -> None:
    """Its sockets were opened at another time."""
    stranger = both(at=400_000_000, sockets=(7, 8))
    events = sorted([*both(), *stranger], key=lambda event: event.time_ns)
    (account,) = accounts(connections_of(CLOSE), events, [])
    assert account.whole
    assert {event.socket for event in account.transitions["client"]} == {1}
    assert {event.socket for event in account.transitions["server"]} == {2}


def test_two_networks_with_the_same_addresses_at_the_same_time_are_a_doubt() -> None:
    events = sorted([*both(), *both(at=3_000_000, sockets=(7, 8))], key=lambda event: event.time_ns)
    (account,) = accounts(connections_of(CLOSE), events, [])
    assert "another network" in account.problem


def test_two_networks_at_the_same_time_are_told_apart_by_their_callers() -> None:
    """Of those that called: connect() and close() at the client, close() at the server."""
    called = {(S.CLOSED, S.SYN_SENT), (S.CLOSE_WAIT, S.LAST_ACK)}
    strangers = [
        event._replace(network=99)
        if isinstance(event, Transition) and (event.before, event.state) in called
        else event
        for event in both(at=3_000_000, sockets=(7, 8))
    ]
    events = sorted([*both(), *strangers], key=lambda event: event.time_ns)
    (account,) = accounts(connections_of(CLOSE), events, [], networks={42})
    assert account.whole
    assert {event.socket for event in account.transitions["client"]} == {1}
    assert {event.socket for event in account.transitions["server"]} == {2}


def test_a_change_that_is_missing_is_noticed() -> None:
    events = [e for e in both() if not (isinstance(e, Transition) and e.state is S.CLOSE_WAIT)]
    (account,) = accounts(connections_of(CLOSE), events, [])
    assert (
        account.problem == "the kernel's account of the server lacks a change from ESTABLISHED to CLOSE_WAIT"
    )


def test_the_same_addresses_used_twice_are_two_accounts() -> None:
    again = CLOSE.replace("0:0", "900000:900000").replace("1:1", "900001:900001")
    again = (
        again.replace("2:2", "900002:900002").replace("ack 1", "ack 900001").replace("ack 2", "ack 900002")
    )
    connections = connections_of(f"{CLOSE}\n@ 0.1\n{again}")
    assert [c.port_reused for c in connections] == [False, True]
    later = connections[1].start_ns - START_NS
    events = sorted([*both(), *both(at=later, sockets=(1, 4))], key=lambda event: event.time_ns)
    first, second = accounts(connections, events, [])
    assert first.whole and second.whole
    assert {event.socket for event in first.transitions["server"]} == {2}
    assert {event.socket for event in second.transitions["server"]} == {4}
    assert len(first.transitions["client"]) == len(second.transitions["client"]) == 5


@pytest.mark.parametrize("socket", [1, 0])
def test_a_reset_in_fin_wait_2_is_an_end_and_no_small_object(socket: int) -> None:
    """Only if it was this socket's: an RST of no socket leaves the end to the samples."""
    events = both()
    last = max(event.time_ns for event in events if event.local == CLIENT)
    events.append(ResetReceived(last - 1000, CLIENT, SERVER, socket))
    (account,) = accounts(connections_of(CLOSE), sorted(events, key=lambda event: event.time_ns), [])
    assert account.states("client")[-1] == ("CLOSED" if socket else "FIN_WAIT_2")


def test_the_small_object_that_sends_an_rst_is_gone_with_it() -> None:
    """Data to an orphan in FIN_WAIT_2 (TCP_TIMEWAIT_SOCKET): no sample has to come upon it."""
    events = both()
    handed = max(event.time_ns for event in events if event.local == CLIENT)
    events.append(ResetSent(handed + 1_000, CLIENT, SERVER, None, "TCP_TIMEWAIT_SOCKET", 77, 1))
    (account,) = accounts(connections_of(CLOSE), sorted(events, key=lambda event: event.time_ns), [])
    assert account.states("client")[-2:] == ["FIN_WAIT_2", "CLOSED"]


def test_the_reason_of_a_reset_is_kept_and_another_sockets_is_not() -> None:
    stranger = both(at=400_000_000, sockets=(7, 8))
    resets: list[Event] = [
        ResetSent(START_NS + 3_000_000, SERVER, CLIENT, S.CLOSED, "TCP_ABORT_ON_CLOSE", 2, 1),
        ResetSent(START_NS + 403_000_000, SERVER, CLIENT, S.CLOSED, "TCP_STATE", 8, 1),
    ]
    events = sorted([*both(), *stranger, *resets], key=lambda event: event.time_ns)
    (account,) = accounts(connections_of(CLOSE), events, [])
    assert [reset.reason for reset in account.resets_sent] == ["TCP_ABORT_ON_CLOSE"]
    assert account.reset_reason == "TCP_ABORT_ON_CLOSE"


def test_without_tracepoints_the_samples_are_all_there_is_and_the_account_says_so() -> None:
    samples = [
        sample(CLIENT, SERVER, S.ESTABLISHED, 1_000_000),
        sample(CLIENT, SERVER, S.TIME_WAIT, 20_000_000),
    ]
    (account,) = accounts(connections_of(CLOSE), [], samples, problem="tracefs is reserved to root")
    assert account.states("client") == ["ESTABLISHED", "TIME_WAIT"]
    assert not account.whole
