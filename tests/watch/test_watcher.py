"""Looks at tables made by hand; what is expected follows from what Linux does with its sockets."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.kernel.diag_socket import DiagSocket, Timer
from testbed.kernel.readings import READINGS
from testbed.tcp.states import State
from testbed.watch.events import Ending, Event, Kind
from testbed.watch.ledger import OF_TIMERS
from testbed.watch.watcher import Watcher

from .rows import CLIENT, ELSEWHERE, LISTENER, SECOND, SERVER, client, row, server

S, K = State, Kind


class Looking:
    """A watcher that is shown tables a second apart."""

    def __init__(self, **options: object) -> None:
        self.watcher = Watcher(**options)  # type: ignore[arg-type]
        self.second = 0

    def __call__(self, *rows: DiagSocket, resets: int | None = None, whole: bool = True) -> list[Event]:
        self.second += 1
        return self.watcher.look([LISTENER, *rows], self.second * SECOND, resets, whole=whole)

    def endings(self) -> dict[Ending, int]:
        endings = self.watcher.account(complete=True).endings
        return {ending: number for ending, number in endings.items() if number}


@pytest.fixture
def look() -> Looking:
    return Looking()


def kinds(events: list[Event]) -> list[Kind]:
    return [event.kind for event in events]


def test_what_is_there_at_first_is_found_and_no_listener_is_a_connection(look: Looking) -> None:
    (event,) = look(server(S.ESTABLISHED))
    assert (event.kind, event.state, event.side, event.at_least) == (K.FOUND, S.ESTABLISHED, "server", True)
    assert look.watcher.listeners == [LISTENER]
    assert look.endings() == {Ending.OPEN: 1}


def test_what_comes_later_is_opened_once_though_both_ends_are_here(look: Looking) -> None:
    look()
    (event,) = look(server(S.ESTABLISHED), client(S.ESTABLISHED))
    assert (event.kind, event.connection, event.at_least) == (K.OPENED, 1, False)
    ends = list(look.watcher.ends)
    assert [(end.side, end.connection.number) for end in ends] == [("server", 1), ("client", 1)]


def test_nothing_happens_while_nothing_changes(look: Looking) -> None:
    rows = server(S.ESTABLISHED), client(S.ESTABLISHED)
    look(*rows)
    assert look(*rows) == []
    assert look(server(S.ESTABLISHED, rqueue=7, timer=Timer.KEEPALIVE, timer_ms=5000), rows[1]) == []


def test_a_state_says_how_long_the_one_before_lasted(look: Looking) -> None:
    look()
    look(server(S.ESTABLISHED))
    look(server(S.ESTABLISHED))
    (event,) = look(server(S.CLOSE_WAIT, rqueue=1))
    assert (event.kind, event.before, event.state) == (K.STATE, S.ESTABLISHED, S.CLOSE_WAIT)
    assert event.spent_ns == 2 * SECOND and not event.at_least
    assert "has not read the end" in event.text


def test_time_wait_is_a_close_in_order(look: Looking) -> None:
    look(server(S.ESTABLISHED))
    (event,) = look(server(S.TIME_WAIT))
    assert (event.kind, event.state) == (K.CLOSED, S.TIME_WAIT)
    assert look() == []  # a minute later
    assert look.endings() == {Ending.ORDERLY: 1}


def test_the_time_wait_of_one_end_tells_how_the_other_went(look: Looking) -> None:
    look(server(S.ESTABLISHED), client(S.ESTABLISHED))
    assert kinds(look(client(S.TIME_WAIT), resets=3)) == [K.CLOSED]
    assert look(client(S.TIME_WAIT)) == []
    assert look.endings() == {Ending.ORDERLY: 1}


def test_both_gone_and_no_time_wait_is_a_reset(look: Looking) -> None:
    look(server(S.ESTABLISHED), client(S.ESTABLISHED))
    assert look(resets=2) == []  # one more look, as a dump is no snapshot
    (event,) = look()
    assert (event.kind, event.certain, event.reset_by) == (K.RESET, True, None)
    assert look.endings() == {Ending.RESET: 1}


@pytest.mark.parametrize(
    ("resets", "whole", "kind", "witness", "certain"),
    [
        (0, True, K.CLOSED, "counter", True),
        (0, False, K.CLOSED, "counter", True),
        (1, True, K.RESET, "counter", False),
        (1, False, K.ENDED, "sock_diag", False),
        (None, True, K.ENDED, "sock_diag", False),
    ],
)
@pytest.mark.parametrize("state", [S.ESTABLISHED, S.CLOSE_WAIT])
def test_an_end_whose_peer_is_elsewhere_goes_as_the_kernels_counter_says(
    look: Looking, state: State, resets: int | None, whole: bool, kind: Kind, witness: str, certain: bool
) -> None:
    look(server(state, remote=ELSEWHERE))
    look(resets=resets, whole=whole)
    (event,) = look(resets=7)
    assert (event.kind, event.witness, event.certain) == (kind, witness, certain)


def test_of_two_that_go_and_one_abort_nobody_knows_which(look: Looking) -> None:
    other = ("203.0.113.8", 50000)
    look(server(S.ESTABLISHED, remote=ELSEWHERE), server(S.ESTABLISHED, cookie=3, remote=other))
    look(resets=1)
    assert kinds(look()) == [K.ENDED, K.ENDED]
    assert look.endings() == {Ending.UNSEEN: 2}


def test_last_ack_seen_is_a_close_in_order_whatever_is_counted(look: Looking) -> None:
    look(server(S.LAST_ACK, remote=ELSEWHERE, inode=0))
    look(resets=1)
    assert kinds(look()) == [K.CLOSED]


def test_an_orphan_whose_countdown_runs_out_is_given_up(look: Looking) -> None:
    look(row(S.FIN_WAIT_2, small=True, remote=ELSEWHERE, timer_ms=900))
    look(resets=0)
    assert kinds(look()) == [K.EXPIRED]


def test_an_orphan_that_goes_before_its_time_was_probably_reset(look: Looking) -> None:
    look(row(S.FIN_WAIT_2, small=True, remote=ELSEWHERE, timer_ms=50_000))
    look(resets=0)
    (event,) = look()
    assert (event.kind, event.certain) == (K.RESET, False)


def test_an_orphan_given_up_leaves_its_peer_behind(look: Looking) -> None:
    orphan = client(S.FIN_WAIT_2, small=True, inode=0, timer_ms=900)
    look(server(S.CLOSE_WAIT), orphan)
    look(server(S.CLOSE_WAIT))
    (event,) = look(server(S.CLOSE_WAIT))
    assert (event.kind, event.side, event.state) == (K.GONE, "client", None)
    look(resets=1)
    assert kinds(look()) == [K.EXPIRED]
    assert look.endings() == {Ending.EXPIRED: 1}


def test_a_syn_that_nobody_answers(look: Looking) -> None:
    look()
    syn: dict[str, Any] = {
        "local": CLIENT,
        "remote": ELSEWHERE,
        "timer": Timer.RETRANSMISSION,
        "timer_ms": 900,
    }
    assert look(row(S.SYN_SENT, **syn)) == []
    (event,) = look(row(S.SYN_SENT, **syn | {"retransmits": 1}))
    assert (event.kind, event.side) == (K.UNANSWERED, "client")
    assert look(row(S.SYN_SENT, **syn | {"retransmits": 2})) == []  # said once
    look()
    assert kinds(look()) == [K.FAILED]


def test_unanswered_probes_are_told_and_told_again_after_an_answer(look: Looking) -> None:
    probing = {"timer": Timer.KEEPALIVE, "timer_ms": 900}
    look(server(S.ESTABLISHED, **probing))
    assert look(server(S.ESTABLISHED, **probing, retransmits=1)) == []  # it may be on its way
    assert kinds(look(server(S.ESTABLISHED, **probing, retransmits=2))) == [K.UNANSWERED]
    assert look(server(S.ESTABLISHED, **probing)) == []
    assert kinds(look(server(S.ESTABLISHED, **probing, retransmits=2))) == [K.UNANSWERED]


def test_the_cookie_is_the_same_from_request_to_time_wait() -> None:
    look = Looking()
    look()
    request = row(S.SYN_RECEIVED, small=True, timer=Timer.RETRANSMISSION, timer_ms=900)
    assert look(request) == []
    assert kinds(look(server(S.ESTABLISHED))) == [K.OPENED]
    assert kinds(look(server(S.FIN_WAIT_2))) == [K.STATE]
    assert kinds(look(server(S.TIME_WAIT))) == [K.CLOSED]
    assert look.watcher.connections == 1


def test_an_address_pair_used_again_is_another_connection(look: Looking) -> None:
    look(server(S.ESTABLISHED))
    look(server(S.TIME_WAIT))
    (event,) = look(server(S.ESTABLISHED, cookie=7))
    assert (event.kind, event.connection) == (K.OPENED, 2)


def test_told_of_twice_in_one_dump_it_is_where_it_got_to(look: Looking) -> None:
    look(server(S.ESTABLISHED))
    assert kinds(look(server(S.FIN_WAIT_2), server(S.TIME_WAIT))) == [K.CLOSED]
    assert look(server(S.CLOSED), server(S.TIME_WAIT)) == []


def test_what_came_and_went_between_two_looks_is_known_by_its_time_wait(look: Looking) -> None:
    look()
    (event,) = look(client(S.TIME_WAIT))
    assert event.kind is K.CLOSED and "between two looks" in event.text
    assert look.endings() == {Ending.ORDERLY: 1}


def test_a_time_wait_from_before_the_watch_is_none_of_ours(look: Looking) -> None:
    assert look(client(S.TIME_WAIT)) == []
    assert look() == []
    assert look.watcher.connections == 0


def test_at_the_end_of_the_watch_what_has_just_gone_is_judged() -> None:
    look = Looking()
    look(server(S.ESTABLISHED, remote=ELSEWHERE))
    assert look(resets=0) == []
    assert kinds(look.watcher.finish()) == [K.CLOSED]


# ---- leaks


def test_a_leak_is_told_once_with_its_age() -> None:
    look = Looking(leak_after_ns=3 * SECOND)
    look(server(S.ESTABLISHED))
    look(server(S.CLOSE_WAIT))
    for _ in range(2):
        assert look(server(S.CLOSE_WAIT)) == []
    (event,) = look(server(S.CLOSE_WAIT))
    assert (event.kind, event.spent_ns, event.at_least) == (K.LEAK, 3 * SECOND, False)
    assert look(server(S.CLOSE_WAIT)) == []
    account = look.watcher.account(complete=True)
    assert account.leaked == len(account.leaks) == 1
    assert account.longest is not None and account.longest.spent_ns == 4 * SECOND
    look(server(S.LAST_ACK))
    account = look.watcher.account(complete=True)
    assert (account.leaked, account.leaks) == (1, ())
    assert account.longest is not None and account.longest.ended and account.longest.spent_ns == 5 * SECOND


def test_who_still_answers_in_close_wait_leaks_nothing() -> None:
    sent: int | None = 500
    look = Looking(leak_after_ns=2 * SECOND, sent_ms=lambda row: sent)
    look(server(S.CLOSE_WAIT))
    assert all(look(server(S.CLOSE_WAIT)) == [] for _ in range(5))
    sent = 2000
    assert kinds(look(server(S.CLOSE_WAIT))) == [K.LEAK]


def test_a_leak_older_than_the_watch_is_as_old_as_the_peers_last_word() -> None:
    look = Looking(leak_after_ns=10 * SECOND, heard_ms=lambda row: 3_600_000)
    found, leak = look(server(S.CLOSE_WAIT))
    assert (found.kind, leak.kind) == (K.FOUND, K.LEAK)
    assert leak.spent_ns == 3600 * SECOND and leak.at_least


@pytest.mark.parametrize("state", [S.ESTABLISHED, S.FIN_WAIT_1, S.LAST_ACK])
def test_the_peers_last_word_says_nothing_of_states_that_its_word_did_not_cause(state: State) -> None:
    look = Looking(heard_ms=lambda row: 3_600_000)
    look(server(state))
    assert next(iter(look.watcher.ends)).since_ns == SECOND


# ---- what is wanted


def test_only_what_is_chosen_is_told_and_counted() -> None:
    look = Looking(chosen=lambda row: row.local[1] == 80)
    assert look(server(S.ESTABLISHED)) == []
    (event,) = look(server(S.ESTABLISHED), row(S.ESTABLISHED, cookie=8, local=("127.0.0.1", 80)))
    assert event.local == ("127.0.0.1", 80)
    look()
    look()
    assert look.endings() == {Ending.UNSEEN: 1}


def test_a_connection_is_wanted_once_its_holder_is_known() -> None:
    look = Looking(chosen=lambda row: row.inode == 77)
    look()
    assert look(server(S.ESTABLISHED, inode=0)) == []  # not accepted yet
    (event,) = look(server(S.ESTABLISHED, inode=77))
    assert (event.kind, event.inode) == (K.OPENED, 77)


def test_the_holder_is_remembered_when_the_program_has_let_go(look: Looking) -> None:
    look(server(S.ESTABLISHED))
    (event,) = look(row(S.FIN_WAIT_2, small=True, timer_ms=50_000))
    assert event.inode == 5
    assert event.socket is not None and event.socket.inode == 0


def test_the_book_does_not_grow_with_what_is_over() -> None:
    look = Looking()
    look()
    for number in range(200):
        look(client(S.TIME_WAIT, cookie=number + 10, local=("127.0.0.1", 30_000 + number)))
    look()
    look()
    assert not list(look.watcher.ends)
    assert not look.watcher._ends and not look.watcher._pairs and not look.watcher._pending
    assert look.watcher.connections == 200


def test_a_server_address_is_known_by_a_listener_on_all_addresses() -> None:
    watcher = Watcher()
    wild = LISTENER._replace(local=("0.0.0.0", SERVER[1]))
    (event,) = watcher.look([wild, server(S.ESTABLISHED, remote=ELSEWHERE)], SECOND)
    assert event.side == "server"


def test_every_reading_of_a_timer_is_one_that_there_is() -> None:
    assert {reading.code for reading in READINGS} >= OF_TIMERS
