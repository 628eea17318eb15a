from testbed.findings import Clue, Evidence, Holder, describe, judge

from ..tcp.conversation import HANDSHAKE, track
from .test_rules import FOUR_WAY


def words(text: str) -> str:
    c = track(text)
    evidence = Evidence(end_ns=c.last_time_ns)
    return describe(c, evidence, judge(c, evidence))


def test_an_orderly_connection() -> None:
    text = words(FOUR_WAY)
    for part in (
        "10.0.0.1:40000 (client) to 10.0.0.2:2333 (server)",
        "three-way handshake in frames 1 to 3",
        "The client sent 10 bytes, the server 10 bytes.",
        "The client closed first (FIN in frame 6, acknowledged by frame 7)",
        "four segments",
        "client in TIME_WAIT and the server in CLOSED",
    ):
        assert part in text


def test_three_segments() -> None:
    assert "three segments" in words(HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2")


def test_a_reset_connection() -> None:
    assert "An RST of the server (frame 4) ended it." in words(HANDSHAKE + "< R. 1:1(0) ack 1")


def test_an_open_connection_without_data() -> None:
    text = words(HANDSHAKE)
    assert "No data was carried." in text and "nothing closed it" in text


def test_the_lines_that_hold_an_open_connection() -> None:
    c = track(HANDSHAKE)
    clues = (Clue("pool.py:12", "opened in connect"),)
    holders = (
        Holder("client", 4711, 7, "python", "ESTABLISHED", "sock_diag", clues),
        Holder("server", 4712, 8, "python", "ESTABLISHED", "sock_diag"),
    )
    text = describe(c, Evidence(end_ns=c.last_time_ns, holders=holders), ())
    assert text.endswith(". Who holds the client's end: opened in connect (pool.py:12).")
