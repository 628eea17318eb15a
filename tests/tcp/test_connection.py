from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.tcp.connection import Connection, Ending, Opening
from testbed.tcp.endpoint import Endpoint
from testbed.tcp.states import EDGES, STEP, Event, State
from testbed.tcp.zeek import conn_state, history

from .conversation import HANDSHAKE, segments, track, track_all


class Scenario(NamedTuple):
    """A conversation and what it is, by RFC 9293 sections 3.5 and 3.6."""

    text: str
    opening: str
    ending: str
    states: tuple[str, str]
    client_path: str
    server_path: str
    first_fin: str | None = None
    reset_by: str | None = None
    close_segments: int | None = None
    zeek: str = ""
    history: str = ""


OPEN_C, OPEN_S = "SYN_SENT ESTABLISHED", "SYN_RECEIVED ESTABLISHED"

SCENARIOS = {
    "handshake": Scenario(
        HANDSHAKE,
        "handshake",
        "open",
        ("ESTABLISHED", "ESTABLISHED"),
        OPEN_C,
        OPEN_S,
        zeek="S1",
        history="ShA",
    ),
    "syn unanswered": Scenario(
        "> S 0:0(0)\n+1\n> S 0:0(0)\n+1\n> S 0:0(0)",
        "syn-only",
        "open",
        ("SYN_SENT", "CLOSED"),
        "SYN_SENT",
        "",
        zeek="S0",
        history="S",
    ),
    "refused": Scenario(
        "> S 0:0(0)\n< R. 0:0(0) ack 1",
        "refused",
        "reset",
        ("CLOSED", "CLOSED"),
        "SYN_SENT CLOSED",
        "",
        reset_by="server",
        zeek="REJ",
        history="Sr",
    ),
    "handshake never completed": Scenario(
        "> S 0:0(0)\n< S. 0:0(0) ack 1\n+1\n< S. 0:0(0) ack 1",
        "half-open",
        "open",
        ("SYN_SENT", "SYN_RECEIVED"),
        "SYN_SENT",
        "SYN_RECEIVED",
        zeek="S1",
        history="Sh",
    ),
    "old duplicate SYN": Scenario(  # RFC 9293 figure 8
        "> S 0:0(0)\n< S. 0:0(0) ack 1\n> R 1:1(0)",
        "half-open",
        "reset",
        ("CLOSED", "CLOSED"),
        "SYN_SENT CLOSED",
        "SYN_RECEIVED LISTEN",
        reset_by="client",
        zeek="RSTO",
        history="ShR",
    ),
    "simultaneous open": Scenario(  # RFC 9293 figure 7
        "> S 0:0(0)\n< S 0:0(0)\n> S. 0:0(0) ack 1\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n< . 1:1(0) ack 1",
        "simultaneous",
        "open",
        ("ESTABLISHED", "ESTABLISHED"),
        "SYN_SENT SYN_RECEIVED ESTABLISHED",
        "SYN_SENT SYN_RECEIVED ESTABLISHED",
        zeek="S1",
        history="SsHhAa",
    ),
    "four-way close": Scenario(  # RFC 9293 figure 12
        HANDSHAKE + "> F. 1:1(0) ack 1\n< . 1:1(0) ack 2\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2",
        "handshake",
        "orderly",
        ("TIME_WAIT", "CLOSED"),
        OPEN_C + " FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT",
        OPEN_S + " CLOSE_WAIT LAST_ACK CLOSED",
        "client",
        close_segments=4,
        zeek="SF",
        history="ShAFaf",
    ),
    "three-segment close": Scenario(
        HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2",
        "handshake",
        "orderly",
        ("TIME_WAIT", "CLOSED"),
        OPEN_C + " FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT",
        OPEN_S + " CLOSE_WAIT LAST_ACK CLOSED",
        "client",
        close_segments=3,
        zeek="SF",
        history="ShAFf",
    ),
    "server closes first": Scenario(
        HANDSHAKE + "< F. 1:1(0) ack 1\n> . 1:1(0) ack 2\n> F. 1:1(0) ack 2\n< . 2:2(0) ack 2",
        "handshake",
        "orderly",
        ("CLOSED", "TIME_WAIT"),
        OPEN_C + " CLOSE_WAIT LAST_ACK CLOSED",
        OPEN_S + " FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT",
        "server",
        close_segments=4,
        zeek="SF",
        history="ShAfFa",
    ),
    "simultaneous close": Scenario(  # RFC 9293 figure 13
        HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 1\n> . 2:2(0) ack 2\n< . 2:2(0) ack 2",
        "handshake",
        "orderly",
        ("TIME_WAIT", "TIME_WAIT"),
        OPEN_C + " FIN_WAIT_1 CLOSING TIME_WAIT",
        OPEN_S + " FIN_WAIT_1 CLOSING TIME_WAIT",
        "client",
        close_segments=4,
        zeek="SF",
        history="ShAFfa",
    ),
    "lost FIN": Scenario(
        HANDSHAKE + "> F. 1:1(0) ack 1\n+0.2\n> F. 1:1(0) ack 1\n< . 1:1(0) ack 2",
        "handshake",
        "half-closed",
        ("FIN_WAIT_2", "CLOSE_WAIT"),
        OPEN_C + " FIN_WAIT_1 FIN_WAIT_2",
        OPEN_S + " CLOSE_WAIT",
        "client",
        zeek="S2",
        history="ShAFa",
    ),
    "lost last ACK": Scenario(
        HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n+0.3\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2\n",
        "handshake",
        "orderly",
        ("TIME_WAIT", "CLOSED"),
        OPEN_C + " FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT",
        OPEN_S + " CLOSE_WAIT LAST_ACK CLOSED",
        "client",
        close_segments=3,
        zeek="SF",
        history="ShAFf",
    ),
    "FIN never acknowledged": Scenario(
        HANDSHAKE + "> F. 1:1(0) ack 1\n+0.2\n> F. 1:1(0) ack 1",
        "handshake",
        "half-closed",
        ("FIN_WAIT_1", "ESTABLISHED"),
        OPEN_C + " FIN_WAIT_1",
        OPEN_S,
        "client",
        zeek="S2",
        history="ShAF",
    ),
    "half-close": Scenario(
        HANDSHAKE
        + "> F. 1:1(0) ack 1\n< . 1:1(0) ack 2\n+0.1\n< P. 1:101(100) ack 2\n> . 2:2(0) ack 101\n"
        + "< F. 101:101(0) ack 2\n> . 2:2(0) ack 102",
        "handshake",
        "orderly",
        ("TIME_WAIT", "CLOSED"),
        OPEN_C + " FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT",
        OPEN_S + " CLOSE_WAIT LAST_ACK CLOSED",
        "client",
        close_segments=4,
        zeek="SF",
        history="ShAFadf",
    ),
    "reset in the middle": Scenario(
        HANDSHAKE + "> P. 1:11(10) ack 1\n< R. 1:1(0) ack 11",
        "handshake",
        "reset",
        ("CLOSED", "CLOSED"),
        OPEN_C + " CLOSED",
        OPEN_S + " CLOSED",
        reset_by="server",
        zeek="RSTR",
        history="ShADr",
    ),
    "reset after both FINs": Scenario(
        HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> R 2:2(0)",
        "handshake",
        "orderly",
        ("CLOSED", "CLOSED"),
        OPEN_C + " FIN_WAIT_1 FIN_WAIT_2 CLOSED",
        OPEN_S + " CLOSE_WAIT LAST_ACK CLOSED",
        "client",
        "client",
        close_segments=3,
        zeek="SF",
        history="ShAFfR",
    ),
    "blind reset that is not taken": Scenario(  # RFC 5961 section 3: in the window, not exact
        HANDSHAKE + "> R 101:101(0)\n< . 1:1(0) ack 1\n> P. 1:11(10) ack 1\n< . 1:1(0) ack 11",
        "handshake",
        "open",
        ("ESTABLISHED", "ESTABLISHED"),
        OPEN_C,
        OPEN_S,
        zeek="S1",
        history="ShARaD",
    ),
    "mid-stream": Scenario(
        "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11\n< F. 1:1(0) ack 11",
        "mid-stream",
        "half-closed",
        ("ESTABLISHED", "FIN_WAIT_1"),
        "",
        "FIN_WAIT_1",
        "server",
        zeek="SHR",
        history="Daf",
    ),
    "an RST alone": Scenario(
        "> R 1:1(0)",
        "mid-stream",
        "reset",
        ("CLOSED", "CLOSED"),
        "CLOSED",
        "CLOSED",
        reset_by="client",
        zeek="OTH",
        history="R",
    ),
}


def path(end: Endpoint) -> str:
    return " ".join(t.state for t in end.transitions)


@pytest.mark.parametrize("isns", [(1_000, 9_000), (0xFFFFFFFF, 0xFFFFFFFE), (0x7FFFFFFE, 0)], ids=str)
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, isns: tuple[int, int]) -> None:
    expected = SCENARIOS[name]
    c = track(expected.text, client_isn=isns[0], server_isn=isns[1])
    assert (c.opening, c.ending) == (expected.opening, expected.ending)
    assert (path(c.client), path(c.server)) == (expected.client_path, expected.server_path)
    assert (c.client.state, c.server.state) == expected.states
    assert (c.first_fin and c.first_fin.side) == expected.first_fin
    assert (c.reset_by and c.reset_by.side) == expected.reset_by
    assert c.close_segments == expected.close_segments
    assert (conn_state(c), history(c)) == (expected.zeek, expected.history)


def test_a_transition_names_its_cause_and_its_proof() -> None:
    c = track(SCENARIOS["four-way close"].text)
    taken = next(t for t in c.server.transitions if t.state is State.CLOSE_WAIT)
    assert (taken.frame, taken.confirmed_by, taken.event) == (4, 5, Event.RECEIVE_FIN)
    assert c.state_after(3, c.server) is State.ESTABLISHED
    assert c.state_after(4, c.client) is State.FIN_WAIT_1
    assert c.state_after(4, c.server) is State.CLOSE_WAIT
    assert c.state_after(7, c.client) is State.TIME_WAIT


@pytest.mark.parametrize(
    ("then", "frame", "proof"),
    [
        ("> F. 10:10(0) ack 1\n< . 1:1(0) ack 1\n> P. 1:10(9) ack 1\n< . 1:1(0) ack 11", 6, 7),
        ("> P. 1:10(9) ack 1\n> F. 10:10(0) ack 1\n+0.2\n> P. 1:10(9) ack 1\n< . 1:1(0) ack 11", 6, 7),
        (
            (
                "> P. 1:10(9) ack 1\n< . 1:1(0) ack 10\n"
                "> F. 10:10(0) ack 1\n> P. 1:10(9) ack 1\n< . 1:1(0) ack 11"
            ),
            6,
            8,
        ),
    ],
    ids=["the FIN overtakes it", "it is lost and sent again", "it was there already"],
)
def test_a_fin_is_taken_once_the_data_before_it_is_there(then: str, frame: int, proof: int) -> None:
    """RFC 9293 section 3.10.7.4: what comes early is held for later processing."""
    c = track(HANDSHAKE + then)
    taken = next(t for t in c.server.transitions if t.state is State.CLOSE_WAIT)
    assert (taken.frame, taken.confirmed_by) == (frame, proof)
    assert c.state_after(frame - 1, c.server) is State.ESTABLISHED


def test_an_ack_of_ones_own_fin_before_the_gap_is_filled() -> None:
    c = track(
        HANDSHAKE
        + "> F. 10:10(0) ack 1\n< F. 1:1(0) ack 1\n> . 11:11(0) ack 2\n> P. 1:10(9) ack 2\n< . 2:2(0) ack 11"
    )
    assert path(c.server) == OPEN_S + " FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT"


def test_bytes_count_once() -> None:
    c = track(HANDSHAKE + "> P. 1:11(10) ack 1\n+0.3\n> P. 1:11(10) ack 1\n> P. 11:16(5) ack 1")
    assert (c.client.payload_bytes, c.client.payload_packets, c.server.payload_bytes) == (15, 3, 0)


def test_half_close_counts_what_came_after_the_fin() -> None:
    c = track(SCENARIOS["half-close"].text)
    assert (c.server.bytes_after_peer_fin, c.client.bytes_after_peer_fin) == (100, 0)


def test_a_port_is_reused() -> None:
    first = segments(SCENARIOS["three-segment close"].text)
    again = segments(HANDSHAKE, client_isn=70_000, server_isn=80_000, frame=len(first) + 1)
    one, two = track_all([*first, *again])
    assert (one.ending, two.opening, two.port_reused) == (Ending.ORDERLY, Opening.HANDSHAKE, True)


def test_a_syn_again_is_no_new_connection() -> None:
    c = track("> S 0:0(0)\n+1\n> S 0:0(0)\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1")
    assert (c.client.syns_sent, c.opening) == (2, Opening.HANDSHAKE)


def test_a_syn_with_the_same_number_after_a_reset_is_one() -> None:
    rows = segments("> S 0:0(0)\n< R. 0:0(0) ack 1\n+0.5\n> S 0:0(0)\n< R. 0:0(0) ack 1")
    assert [c.opening for c in track_all(rows)] == [Opening.REFUSED, Opening.REFUSED]


def test_roles_without_a_syn_go_by_the_port() -> None:
    c = track("< P. 1:11(10) ack 1\n> . 1:1(0) ack 11")
    assert (c.roles, c.addresses[1].port, history(c)) == ("inferred", "2333", "^dA")


def test_syn_ack_first() -> None:
    c = track("< S. 0:0(0) ack 1\n> . 1:1(0) ack 1")
    assert (c.roles, c.opening, c.client.saw_syn) == ("syn", Opening.HANDSHAKE, False)


# ---- properties: what holds for any conversation, sensible or not

side = st.sampled_from("><")
flags = st.sampled_from(["S", "S.", ".", "P.", "F.", "R", "R.", "FP.", "FS", "-"])
number = st.integers(0, 40)


@st.composite
def nonsense(draw: st.DrawFn) -> str:
    rows = []
    for _ in range(draw(st.integers(1, 25))):
        letters, start, length = draw(flags), draw(number), draw(st.sampled_from([0, 0, 1, 10]))
        ack = f" ack {draw(number)}" if "." in letters else ""
        rows.append(
            f"{draw(side)} {letters} {start}:{start + length}({length}){ack} win "
            f"{draw(st.sampled_from([0, 9]))}"
        )
    return "\n".join(rows)


def _consistent(c: Connection) -> None:
    for end in (c.client, c.server):
        known: State | None = None
        for t in end.transitions:
            if known is not None:
                assert STEP[known, t.event] is t.state
            assert any(edge.event is t.event and edge.next is t.state for edge in EDGES)
            assert t.confirmed_by >= t.frame
            known = t.state
    assert (c.ending is Ending.ORDERLY) == (c.client.fin_seq is not None and c.server.fin_seq is not None)
    assert (c.close_segments is None) == (c.ending is not Ending.ORDERLY)
    assert c.exchanges is not None and len(c.exchanges) == c.client.packets + c.server.packets
    assert conn_state(c) and set(history(c)) <= set("^SHADFRTWGIQshadfrtwgiq")


@given(nonsense(), st.sampled_from([0, 0xFFFFFFF0, 0x7FFFFFFF]))
def test_only_edges_of_the_machine_are_walked(text: str, isn: int) -> None:
    for c in track_all(segments(text, client_isn=isn, server_isn=isn)):
        _consistent(c)


@given(nonsense(), st.integers(0, 0xFFFFFFFF))
def test_absolute_numbers_do_not_matter(text: str, shift: int) -> None:
    def seen(isn: int) -> list[tuple[object, ...]]:
        return [
            (c.opening, c.ending, path(c.client), path(c.server), [e.notes for e in c.exchanges or ()])
            for c in track_all(segments(text, client_isn=isn, server_isn=isn))
        ]

    assert seen(5) == seen(shift)
