"""What two looks at the tables have in common, and which row counts where a connection has two."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed.kernel.diag_socket import DiagSocket, Shut
from testbed.kernel.look import DiagLook, Look, PsutilLook
from testbed.kernel.rows import Rows
from testbed.kernel.sample import SocketSample
from testbed.kernel.sock_diag_codec import decode, encode_socket
from testbed.tcp.states import State

from .test_readings import QUIET

OVER = QUIET._replace(state=State.CLOSED)
SMALL = QUIET._replace(state=State.TIME_WAIT, inode=0, cookie=2, shut=None)
LISTENING = QUIET._replace(state=State.LISTEN, remote=None, cookie=3, shut=Shut.NOTHING)


def by_diag(*told: DiagSocket) -> DiagLook:
    return DiagLook(Rows(decode(b"".join(encode_socket(socket, 7) for socket in told), 7).rows), 1)


def by_psutil(*told: DiagSocket) -> PsutilLook:
    rows = [SocketSample(1, s.local, s.remote, s.state, s.inode or None, 3, "it", "psutil") for s in told]
    return PsutilLook(rows, 1)


both = pytest.mark.parametrize("look", [by_diag, by_psutil])


@both
def test_the_row_that_is_not_closed_counts(look: Callable[..., Look]) -> None:
    for rows, counts in (((OVER, SMALL), 1), ((SMALL, OVER), 0)):
        seen = look(*rows, LISTENING)
        standing = seen.standing()
        assert [number for _, number in standing.now.values()] == [counts, 2]
        assert standing.hidden == [1 - counts]


@both
def test_what_a_change_is(look: Callable[..., Look]) -> None:
    before = look(QUIET, LISTENING)
    assert look(QUIET, LISTENING).same_as(before)
    assert look(QUIET._replace(timer_ms=5, rqueue=9), LISTENING).same_as(before)
    assert look(QUIET._replace(retransmits=1), LISTENING).same_as(before)
    assert not look(QUIET._replace(state=State.CLOSE_WAIT), LISTENING).same_as(before)
    assert not look(QUIET._replace(inode=6), LISTENING).same_as(before)
    assert not look(QUIET).same_as(before)
    assert not look(QUIET._replace(remote=("127.0.0.1", 4001)), LISTENING).same_as(before)


def test_samples_have_the_time_of_their_look() -> None:
    seen = by_diag(QUIET, LISTENING)
    first, second = seen
    assert (first.time_ns, first.state, first.diag) == (1, State.ESTABLISHED, QUIET)
    assert (seen[1], seen[:1]) == (second, [first])
    told = by_psutil(QUIET, LISTENING)
    assert (told[0].witness, len(told[0:2]), len(told)) == ("psutil", 2, 2)
