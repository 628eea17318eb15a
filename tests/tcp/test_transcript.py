"""Two conversations mean the same, or they do not: both directions of that claim."""

import pytest

from testbed.tcp.tracker import Tracker
from testbed.tcp.transcript import compare, lines_of, meaning
from testbed.wire.notation import Direction, parse_transcript
from tests.conversations import connection_of

HANDSHAKE = """
> S 0:0(0)
< S. 0:0(0) ack 1
> . 1:1(0) ack 1
"""

SAME = {
    "a pure ACK more": ("> P. 1:8(7) ack 1", "> P. 1:8(7) ack 1\n< . 1:1(0) ack 8"),
    "data in two pieces": ("> P. 1:8(7) ack 1", "> . 1:4(3) ack 1\n> P. 4:8(4) ack 1"),
    "data sent twice": ("> P. 1:8(7) ack 1", "> P. 1:8(7) ack 1\n> P. 1:8(7) ack 1"),
    "a segment sent again so soon that it seems overtaken": (
        "> P. 1:8(7) ack 1\n> P. 8:15(7) ack 1",
        "> P. 1:8(7) ack 1\n> P. 8:15(7) ack 1\n> P. 1:8(7) ack 1",
    ),
    "the FIN on the data": ("> P. 1:8(7) ack 1\n> F. 8:8(0) ack 1", "> FP. 1:8(7) ack 1"),
    "PSH": ("> P. 1:8(7) ack 1", "> . 1:8(7) ack 1"),
    "probes in the other order": (
        "< . 0:0(0) ack 1\n> . 1:1(0) ack 1\n> . 0:0(0) ack 1\n< . 1:1(0) ack 1",
        "> . 0:0(0) ack 1\n< . 1:1(0) ack 1\n< . 0:0(0) ack 1\n> . 1:1(0) ack 1",
    ),
    "a probe repeated": (
        "< . 0:0(0) ack 1\n> . 1:1(0) ack 1",
        "< . 0:0(0) ack 1\n> . 1:1(0) ack 1\n< . 0:0(0) ack 1\n> . 1:1(0) ack 1",
    ),
}

CLIENTS: tuple[Direction, ...] = (">",)
SERVERS: tuple[Direction, ...] = ("<",)
ELASTIC = {
    "more data": ("< P. 1:101(100) ack 1", "< . 1:1449(1448) ack 1\n< P. 1449:2001(552) ack 1"),
    "an end further on": ("< P. 1:101(100) ack 1\n< F. 101:101(0) ack 1", "< FP. 1:51(50) ack 1"),
    "an ACK further on": (
        "< P. 1:101(100) ack 1\n> F. 1:1(0) ack 101",
        "< P. 1:51(50) ack 1\n> F. 1:1(0) ack 51",
    ),
}
"""The same where the server's buffers decide how much it sends, and different otherwise."""

NOT_EVEN_ELASTIC = {
    "no data": ("< P. 1:101(100) ack 1", ""),
    "the other side's data": ("< P. 1:101(100) ack 1", "> P. 1:101(100) ack 1"),
    "how much the other side sends": ("> P. 1:8(7) ack 1", "> P. 1:7(6) ack 1"),
    "RST for FIN": (
        "< P. 1:101(100) ack 1\n< F. 101:101(0) ack 1",
        "< P. 1:101(100) ack 1\n< R. 101:101(0) ack 1",
    ),
}

DIFFERENT = {
    "no FIN": ("> P. 1:8(7) ack 1\n> F. 8:8(0) ack 1", "> P. 1:8(7) ack 1"),
    "RST for FIN": ("> F. 1:1(0) ack 1", "> R. 1:1(0) ack 1"),
    "a byte less": ("> P. 1:8(7) ack 1", "> P. 1:7(6) ack 1"),
    "the other side closes": ("> F. 1:1(0) ack 1", "< F. 1:1(0) ack 1"),
    "what the FIN acknowledges": (
        "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2",
        "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 1",
    ),
    "no probe": ("< . 0:0(0) ack 1\n> . 1:1(0) ack 1", ""),
    "no answer to the probe": ("< . 0:0(0) ack 1\n> . 1:1(0) ack 1", "< . 0:0(0) ack 1"),
    "the order of data": ("> P. 1:2(1) ack 1\n< P. 1:2(1) ack 2", "< P. 1:2(1) ack 1\n> P. 1:2(1) ack 2"),
}


@pytest.mark.parametrize("name", SAME)
def test_same_meaning(name: str) -> None:
    expected, seen = (HANDSHAKE + part for part in SAME[name])
    compared = compare(parse_transcript(expected), connection_of(seen))
    assert compared.same, "\n".join(compared.diff)


@pytest.mark.parametrize("name", ELASTIC)
def test_amounts_of_an_elastic_side_are_left_open(name: str) -> None:
    expected, seen = (HANDSHAKE + part for part in ELASTIC[name])
    lines, connection = parse_transcript(expected), connection_of(seen)
    compared = compare(lines, connection, elastic=SERVERS)
    assert compared.same, "\n".join(compared.diff)
    assert not compare(lines, connection).same
    assert not compare(lines, connection, elastic=CLIENTS).same


@pytest.mark.parametrize("name", NOT_EVEN_ELASTIC)
def test_elastic_is_not_anything(name: str) -> None:
    expected, seen = (HANDSHAKE + part for part in NOT_EVEN_ELASTIC[name])
    assert not compare(parse_transcript(expected), connection_of(seen), elastic=SERVERS).same


def test_when_a_closed_window_is_probed_does_not_matter() -> None:
    said = HANDSHAKE + "> P. 1:8(7) ack 1\n< . 1:1(0) ack 8 win 0\n"
    probe = "> . 7:7(0) ack 1\n< . 1:1(0) ack 8 win 0\n"
    rest = "< . 1:1(0) ack 8 win 1000\n> P. 8:15(7) ack 1\n"
    expected = parse_transcript(HANDSHAKE + "> P. 1:15(14) ack 1")
    compared = compare(expected, connection_of(said + probe + probe + rest))
    assert compared.same, "\n".join(compared.diff)
    assert not compare(expected, connection_of(said.replace("win 0", "win 9") + probe + rest)).same


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_meaning(name: str) -> None:
    expected, seen = (HANDSHAKE + part for part in DIFFERENT[name])
    compared = compare(parse_transcript(expected), connection_of(seen))
    assert not compared.same
    assert any(line.startswith(("+ ", "- ")) for line in compared.diff)


def test_exact_sees_the_pure_ack() -> None:
    expected, seen = (HANDSHAKE + part for part in SAME["a pure ACK more"])
    assert not compare(parse_transcript(expected), connection_of(seen), exact=True).same
    assert compare(parse_transcript(seen), connection_of(seen), exact=True).same


def test_lines_of_gives_back_what_was_said() -> None:
    text = HANDSHAKE + "> P. 1:8(7) ack 1\n< F. 1:1(0) ack 8\n> R 8:8(0)"
    assert lines_of(connection_of(text)) == parse_transcript(text)


def test_the_diff_tells_time_and_states() -> None:
    compared = compare(parse_transcript(HANDSHAKE), connection_of(HANDSHAKE + "> F. 1:1(0) ack 1"))
    extra = [line for line in compared.diff if line.startswith("+")]
    assert len(extra) == 1
    assert "> F. 1:1(0) ack 1" in extra[0] and "FIN_WAIT_1 / ESTABLISHED" in extra[0]


@pytest.mark.parametrize(
    ("expected", "seen", "told"),
    [
        (
            "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2",
            "> F. 1:1(0) ack 1",
            "expected and not seen: < F. 1:1(0) ack 2",
        ),
        ("", "> R 1:1(0)", "seen and not expected: > R 1:1(0)"),
        (
            "> F. 1:1(0) ack 1",
            "> R. 1:1(0) ack 1",
            "expected and not seen: > F. 1:1(0) ack 1; but > R. 1:1(0) ack 1",
        ),
        ("> F. 1:1(0) ack 1", "> F. 1:1(0) ack 1", ""),
    ],
)
def test_where_they_part_is_one_line(expected: str, seen: str, told: str) -> None:
    compared = compare(parse_transcript(HANDSHAKE + expected), connection_of(HANDSHAKE + seen))
    assert compared.parting == told


def test_meaning_of_nothing() -> None:
    assert meaning([]) == []
    assert Tracker(keep=True).feed_all([]).connections == []
