import pytest

from testbed.kernel.diag_socket import AF_INET, DiagSocket, Shut, Timer
from testbed.kernel.readings import READINGS, readings
from testbed.tcp.states import State

QUIET = DiagSocket(
    AF_INET,
    ("127.0.0.1", 2333),
    ("127.0.0.1", 4000),
    State.ESTABLISHED,
    Timer.NONE,
    timer_ms=0,
    retransmits=0,
    rqueue=0,
    wqueue=0,
    uid=0,
    inode=5,
    interface=0,
    cookie=1,
    shut=Shut.NOTHING,
)
SMALL = QUIET._replace(inode=0, shut=None)
S, T = State, Timer


@pytest.mark.parametrize(
    ("socket", "codes"),
    [
        (QUIET, []),
        (QUIET._replace(rqueue=9), []),
        (QUIET._replace(inode=0), ["not-accepted"]),
        (QUIET._replace(state=S.CLOSE_WAIT, rqueue=1), ["eof-unread"]),
        (QUIET._replace(state=S.CLOSE_WAIT, rqueue=0), ["not-closed"]),
        (QUIET._replace(state=S.CLOSE_WAIT, rqueue=2), ["data-unread"]),
        (QUIET._replace(state=S.CLOSE_WAIT, inode=0, rqueue=1), ["not-accepted"]),
        (QUIET._replace(state=S.CLOSE_WAIT, timer=T.KEEPALIVE), ["not-closed", "keepalive"]),
        (SMALL._replace(state=S.FIN_WAIT_2, timer=T.TIME_WAIT), ["orphan-countdown"]),
        (QUIET._replace(state=S.FIN_WAIT_2, inode=0, timer=T.KEEPALIVE), ["orphan-countdown"]),
        (QUIET._replace(state=S.FIN_WAIT_2), ["half-close"]),
        (QUIET._replace(state=S.FIN_WAIT_2, timer=T.KEEPALIVE), ["half-close", "keepalive"]),
        (SMALL._replace(state=S.TIME_WAIT, timer=T.TIME_WAIT), ["time-wait"]),
        (SMALL._replace(state=S.SYN_RECEIVED, timer=T.RETRANSMISSION), ["handshake"]),
        (QUIET._replace(timer=T.RETRANSMISSION), ["retransmission"]),
        (QUIET._replace(state=S.LAST_ACK, inode=0, timer=T.RETRANSMISSION), ["orphan", "retransmission"]),
        (QUIET._replace(timer=T.WINDOW_PROBE), ["window-closed"]),
        (QUIET._replace(state=S.LISTEN, rqueue=128, wqueue=128), []),
        (QUIET._replace(state=S.LISTEN, rqueue=2, wqueue=1), ["backlog-full"]),
        (QUIET._replace(state=S.CLOSED), ["descriptor-open"]),
    ],
)
def test_readings(socket: DiagSocket, codes: list[str]) -> None:
    assert [reading.code for reading in readings(socket)] == codes


def test_a_reading_has_the_rows_numbers() -> None:
    unread = readings(QUIET._replace(state=S.CLOSE_WAIT, rqueue=11))
    assert unread[0].text.startswith("10 bytes are unread")
    armed = readings(QUIET._replace(timer=T.KEEPALIVE, timer_ms=1940, retransmits=2))
    assert armed[0].text == "keepalive is armed: it fires in 1.9 s, 2 probes are unanswered"


def test_each_reading_has_a_code_of_its_own() -> None:
    assert len({row.code for row in READINGS}) == len(READINGS)
