"""Lines and tables as they are read."""

from __future__ import annotations

import pytest
from rich.text import Text

from testbed.kernel.diag_socket import Timer
from testbed.kernel.owners import Owner
from testbed.render.escape import cells
from testbed.tcp.states import State
from testbed.watch import view
from testbed.watch.events import Event, Kind
from testbed.watch.watcher import Watcher

from .rows import ELSEWHERE, LISTENER, SECOND, SERVER, client, row, server

S, K = State, Kind
HOLDER = Owner(4711, 7, "python app.py")
WORST = ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 65535)


def watched(*rows: object) -> Watcher:
    watcher = Watcher(leak_after_ns=SECOND)
    watcher.look([LISTENER, *rows], SECOND)  # type: ignore[list-item]
    watcher.look([LISTENER, *rows], 3 * SECOND)  # type: ignore[list-item]
    return watcher


def table(watcher: Watcher, width: int, *, ascii_only: bool = False) -> list[str]:
    ends, _ = view.shown(watcher.ends, 50, everything=True)
    made = view.table(
        ends, lambda inode: HOLDER if inode else None, watcher.now_ns, width, ascii_only=ascii_only
    )
    return [text.plain for text in made]


MIXED = (
    server(S.ESTABLISHED, timer=Timer.KEEPALIVE, timer_ms=7_199_000),
    server(S.CLOSE_WAIT, cookie=3, remote=ELSEWHERE, rqueue=1),
    row(S.ESTABLISHED, cookie=4, local=WORST, remote=WORST, rqueue=6_291_456, wqueue=4_194_304,
        timer=Timer.RETRANSMISSION, timer_ms=119_000, retransmits=15),
    client(S.TIME_WAIT, cookie=5),
)  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 79, 80, 99, 100, 119, 200])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_table_is_never_wider_than_the_terminal(width: int, ascii_only: bool) -> None:
    for line in table(watched(*MIXED), width, ascii_only=ascii_only):
        assert cells(line) <= width
        assert not ascii_only or line.isascii()


@pytest.mark.parametrize("width", [79, 119])
def test_columns_stand_one_below_the_other(width: int) -> None:
    heading, *lines = table(
        watched(server(S.ESTABLISHED), server(S.CLOSE_WAIT, cookie=3, remote=ELSEWHERE)), width
    )
    at = heading.index("state")
    assert [line[at:].split()[0] for line in lines] == ["CLOSE_WAIT", "ESTABLISHED"]
    end = heading.index("in/out") + len("in/out")
    assert [line[:end].split()[-1] for line in lines] == ["0/0", "0/0"]
    assert all("4711" in line[heading.index("holder") :] for line in lines)


def test_what_wants_looking_at_comes_first_and_time_wait_last() -> None:
    watcher = watched(client(S.TIME_WAIT, cookie=5), server(S.ESTABLISHED))
    watcher.look(
        [LISTENER, server(S.ESTABLISHED), server(S.CLOSE_WAIT, cookie=3, remote=ELSEWHERE)], 4 * SECOND
    )
    ends, more = view.shown(watcher.ends, 1)
    assert [end.state for end in ends] == [S.CLOSE_WAIT]
    assert more == 1


def test_all_at_one_address_are_told_by_their_ports() -> None:
    _, *lines = table(watched(server(S.ESTABLISHED), client(S.ESTABLISHED)), 79)
    assert sorted(line.split()[1:3] for line in lines) == [[":2333", ":40000"], [":40000", ":2333"]]
    _, line = table(watched(server(S.ESTABLISHED, remote=ELSEWHERE)), 79)
    assert line.split()[1:3] == [":2333", "203.0.113.7:50000"]


def event(**fields: object) -> Event:
    states = S.ESTABLISHED, S.CLOSE_WAIT
    plain = Event(0, K.STATE, 3, SERVER, ELSEWHERE, "server", *states, 1_500_000_000, False, "sock_diag")
    return plain._replace(**fields)  # type: ignore[arg-type]


def test_a_line_has_all_that_is_to_be_known() -> None:
    said = view.line(event(text="the peer's FIN waits", holder=HOLDER)).plain
    assert said.endswith(
        "#3 server 127.0.0.1:2333 ↔ 203.0.113.7:50000  ESTABLISHED 1.5 s → CLOSE_WAIT: the peer's FIN waits;"
        " process 4711 (python app.py), descriptor 7"
    )
    reset = view.line(event(kind=K.RESET, state=None, reset_by="client", at_least=True)).plain
    assert reset.endswith("reset by the client ESTABLISHED >1.5 s → gone")
    assert "probably reset" in view.line(event(kind=K.RESET, state=None, certain=False)).plain


def test_a_hostile_command_steers_no_terminal() -> None:
    said = view.line(event(holder=Owner(1, 2, "evil\x1b]0;title\x07\u202e")), ascii_only=True).plain
    assert said.isascii() and said.isprintable()


def test_a_long_line_is_set_in_and_nothing_is_lost() -> None:
    text = view.line(event(text="word " * 40 + "end"))
    lines = [piece.plain for piece in view.wrapped(text, 79)]
    assert all(cells(line) <= 79 for line in lines)
    assert all(line.startswith(" " * 14) for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(text.plain.split())


def test_an_indented_line_is_broken_between_words() -> None:
    text = Text("  connections that lived for less than 0.1 s may have been missed because of something else")
    lines = [piece.plain for piece in view.wrapped(text, 60, 4)]
    assert " ".join(" ".join(lines).split()) == text.plain.strip()
    assert lines[0].startswith("  connections")


def test_states_that_went_by_between_two_looks_are_one_line() -> None:
    passing = [event(state=state) for state in (S.FIN_WAIT_1, S.FIN_WAIT_2)]
    other = event(connection=4, state=S.CLOSE_WAIT)
    assert view.condensed([*passing, other]) == [passing[1], other]
    closed = event(kind=K.CLOSED, state=None)
    assert view.condensed([*passing, closed]) == [closed]


def test_of_many_that_are_there_only_the_odd_ones_are_told() -> None:
    fine = [event(kind=K.FOUND, connection=n, state=S.ESTABLISHED) for n in range(50)]
    odd = event(kind=K.FOUND, connection=99, state=S.CLOSE_WAIT)
    assert view.condensed([*fine, odd]) == [odd]
    assert view.condensed([*fine[:3], odd]) == [*fine[:3], odd]


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (0, "0.0s"),
        (9_940_000_000, "9.9s"),
        (59 * SECOND, "59s"),
        (725 * SECOND, "12m05"),
        (11_220 * SECOND, "3h07"),
        (90_000 * SECOND, "1d"),
    ],
)
def test_short_lengths_of_time(ns: int, said: str) -> None:
    assert view.short(ns) == said


def test_the_account() -> None:
    watcher = watched(server(S.CLOSE_WAIT), server(S.ESTABLISHED, cookie=3, remote=ELSEWHERE))
    account = watcher.account(complete=False, notes=["may have been missed"])
    account = account._replace(leaks=tuple(leak._replace(holder=HOLDER) for leak in account.leaks))
    said = "\n".join(text.plain for text in view.account(account))
    assert "2 connections" in said and "2 still open" in said
    assert "leaked: 1 connection, 1 still" in said
    assert "process 4711 (python app.py), descriptor 7" in said
    assert "more than 2.0 s and still" in said
    assert said.endswith("may have been missed")


def test_a_full_backlog_is_seen() -> None:
    full = LISTENER._replace(rqueue=129, wqueue=128, inode=9)
    (line,) = view.listeners([full], lambda inode: HOLDER, 79)
    assert line.plain == "LISTEN 127.0.0.1:2333  129 of 128 wait for accept()  4711 python app.py"
    assert "red" in str(line.style)
