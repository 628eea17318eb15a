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
        (QUIET._replace(state=S.CLOSE_WAIT, rqueue=1), ["eof-unread", "keepalive-off"]),
        (QUIET._replace(state=S.CLOSE_WAIT, rqueue=0), ["not-closed", "keepalive-off"]),
        (QUIET._replace(state=S.CLOSE_WAIT, rqueue=2), ["data-unread", "keepalive-off"]),
        (QUIET._replace(state=S.CLOSE_WAIT, inode=0, rqueue=1), ["not-accepted"]),
        (QUIET._replace(state=S.CLOSE_WAIT, timer=T.KEEPALIVE), ["not-closed", "keepalive-armed"]),
        (QUIET._replace(state=S.CLOSE_WAIT, timer=T.RETRANSMISSION), ["not-closed", "retransmission-timer"]),
        (SMALL._replace(state=S.FIN_WAIT_2, timer=T.TIME_WAIT), ["orphan-countdown"]),
        (QUIET._replace(state=S.FIN_WAIT_2, inode=0, timer=T.KEEPALIVE), ["orphan-countdown"]),
        (QUIET._replace(state=S.FIN_WAIT_2), ["half-closed", "keepalive-off"]),
        (QUIET._replace(state=S.FIN_WAIT_2, timer=T.KEEPALIVE), ["half-closed", "keepalive-armed"]),
        (SMALL._replace(state=S.TIME_WAIT, timer=T.TIME_WAIT), ["time-wait"]),
        (SMALL._replace(state=S.SYN_RECEIVED, timer=T.RETRANSMISSION), ["handshake"]),
        (QUIET._replace(timer=T.RETRANSMISSION), ["retransmission-timer"]),
        (
            QUIET._replace(state=S.LAST_ACK, inode=0, timer=T.RETRANSMISSION),
            ["orphan", "retransmission-timer"],
        ),
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


@pytest.mark.parametrize(
    ("socket", "part"),
    [
        (QUIET, "keepalive is not armed"),
        (QUIET._replace(state=S.CLOSE_WAIT, timer=T.KEEPALIVE, timer_ms=7000), "keepalive fires, in 7.0 s"),
        (QUIET._replace(timer=T.RETRANSMISSION, timer_ms=200), "its timer fires, in 0.2 s"),
        (SMALL._replace(state=S.TIME_WAIT, timer=T.TIME_WAIT), None),
        (QUIET._replace(state=S.FIN_WAIT_2, inode=0, timer=T.TIME_WAIT), None),
    ],
)
def test_an_end_whose_peer_is_gone(socket: DiagSocket, part: str | None) -> None:
    told = [reading.text for reading in readings(socket, peer_gone=True) if reading.code == "peer-gone"]
    assert len(told) == (part is not None)
    assert part is None or part in told[0]
    assert "peer-gone" not in [reading.code for reading in readings(socket)]


def test_each_reading_has_a_code_of_its_own() -> None:
    assert len({row.code for row in READINGS}) == len(READINGS)
