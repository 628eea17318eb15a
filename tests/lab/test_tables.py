"""Two looks at the kernel's tables: what both show alike was so when the capture was cut."""

from __future__ import annotations

from testbed.kernel.diag_socket import AF_INET, DiagSocket, Shut, Timer
from testbed.kernel.sample import SocketSample
from testbed.lab.tables import Tables
from testbed.tcp.states import State

CLIENT, SERVER = ("127.0.0.1", 4000), ("127.0.0.1", 80)

EOF = DiagSocket(
    AF_INET,
    SERVER,
    CLIENT,
    State.CLOSE_WAIT,
    Timer.KEEPALIVE,
    timer_ms=1500,
    retransmits=0,
    rqueue=1,
    wqueue=0,
    uid=0,
    inode=5,
    interface=0,
    cookie=1,
    shut=Shut.RECEIVE,
)
FORGOTTEN = SocketSample(1, CLIENT, SERVER, None, None, None, None, "sock_diag")


def sample(row: DiagSocket) -> SocketSample:
    return SocketSample(
        1, row.local, row.remote, row.state, None, None, None, "sock_diag", row.inode, diag=row
    )


def codes(tables: Tables) -> list[tuple[str, str]]:
    return [(r.side, r.code) for r in tables.readings(CLIENT, SERVER)]


def test_what_both_looks_show() -> None:
    tables = Tables([sample(EOF)], [sample(EOF._replace(timer_ms=1400))])
    assert codes(tables) == [("server", "eof-unread"), ("server", "keepalive-armed")]
    told = next(tables.readings(CLIENT, SERVER))
    assert (told.state, told.witness) == ("CLOSE_WAIT", "sock_diag")


def test_what_changed_under_the_cut_is_not_said() -> None:
    read = EOF._replace(rqueue=0)
    assert codes(Tables([sample(EOF)], [sample(read)])) == [("server", "keepalive-armed")]
    assert codes(Tables([sample(EOF)], [sample(EOF._replace(state=State.LAST_ACK))])) == []
    assert codes(Tables([sample(EOF)], [sample(EOF._replace(cookie=2))])) == []
    assert codes(Tables([sample(EOF)], [])) == []
    assert codes(Tables([], [sample(EOF)])) == []


def test_a_peer_is_gone_that_was_there() -> None:
    looks = [sample(EOF)], [sample(EOF)]
    assert ("server", "peer-gone") in codes(
        Tables(*looks, [FORGOTTEN._replace(state=State.FIN_WAIT_2), FORGOTTEN])
    )
    assert ("server", "peer-gone") not in codes(Tables(*looks)), "it was never here: another host's, perhaps"
    back = [FORGOTTEN, FORGOTTEN._replace(state=State.ESTABLISHED)]
    assert ("server", "peer-gone") not in codes(Tables(*looks, back))


def test_psutil_shows_nothing_to_read() -> None:
    row = sample(EOF)._replace(witness="psutil", diag=None)
    assert codes(Tables([row], [row])) == []


def test_a_descriptor_beside_time_wait() -> None:
    over = EOF._replace(state=State.CLOSED, timer=Timer.NONE, rqueue=0)
    small = EOF._replace(state=State.TIME_WAIT, timer=Timer.TIME_WAIT, inode=0, cookie=3, shut=None)
    both = [sample(over), sample(small)]
    assert codes(Tables(both, both)) == [("server", "descriptor-open"), ("server", "time-wait")]
