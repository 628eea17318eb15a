"""Stepping shows every state, standing still; what RFC 9293 says of each segment is what the kernel does."""

from __future__ import annotations

import pytest

from testbed.errors import ExperimentError, UsageError
from testbed.net.link_events import Fate
from testbed.net.private import PrivateNetwork
from testbed.scenarios import catalogue, find
from testbed.scenarios.scenario import Scenario
from testbed.stepper.keys import parse_script
from testbed.stepper.play import View, interactive, scripted, standing, to_json
from testbed.stepper.screen import Screen
from testbed.stepper.session import Session, stepping, why_not
from testbed.stepper.words import outcome

STANDING = {
    # RFC 9293, figures 6 and 12, and figure 13
    "four-way-close": (
        ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"],
        ["LISTEN", "SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"],
    ),
    "simultaneous-close": (
        ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT"],
        ["LISTEN", "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT"],
    ),
}


@pytest.fixture(autouse=True)
def possible(live: None, network: PrivateNetwork) -> None:
    """Every test here is live."""


@pytest.mark.parametrize("name", STANDING)
async def test_every_state_on_the_path_stands_still(name: str) -> None:
    async with stepping(find(name)) as session:
        await scripted(session, parse_script("a"))
        last = session.look()
        assert session.over
        assert not session.problem
        assert session.failed == []
        seen = standing(session, last, "client"), standing(session, last, "server")
        assert seen == STANDING[name]
        for done in session.done:
            for end in (done.before.client, done.before.server):
                assert done.before.time_ns - end.since_ns >= 0


@pytest.mark.parametrize("name", STANDING)
async def test_the_kernel_does_what_the_rfc_says(name: str) -> None:
    async with stepping(find(name)) as session:
        await scripted(session, parse_script("a"))
        for done in session.done:
            assert done.after.end(done.held.receiver).state is done.held.expected, outcome(done)
        told = [edge.section for done in session.done for edge in done.held.edges]
        assert len(told) >= 6, "each of both ends' states but the first was brought about by a segment"


async def test_nothing_moves_while_nobody_delivers() -> None:
    async with stepping(find("four-way-close")) as session:
        assert await session.until_held(20)
        first = await session.quiet(0.5)
        assert (first.client.state, first.server.state) == ("SYN_SENT", "LISTEN")
        assert [one.event.line for one in session.held(first)] == ["> S 0:0(0)"]
        assert session.done == []


async def test_a_lost_segment_is_lost_and_its_copy_can_be_delivered() -> None:
    async with stepping(find("handshake")) as session:
        await scripted(session, parse_script("d enter"))
        lost, again = session.done
        assert (lost.fate, again.fate) == (Fate.DROPPED, Fate.RELEASED)
        assert lost.held.event.line == again.held.event.line == "> S 0:0(0)"
        assert lost.after.server.state == "LISTEN"
        assert again.after.server.state == "SYN_RECEIVED"
        assert again.held.event.seen > lost.held.event.seen, "the kernel's own retransmission"
        rows = [row for row in session.ladder().rows if getattr(row, "lost", False)]
        assert len(rows) == 1


async def test_a_doubled_segment_is_delivered_twice() -> None:
    async with stepping(find("handshake")) as session:
        await scripted(session, parse_script("enter enter D"))
        assert len(session.done[-1].held.event.sent) == 2
        assert session.done[-1].after.server.state == "ESTABLISHED"


async def test_the_marked_one_goes_first() -> None:
    async with stepping(find("simultaneous-close")) as session:
        await scripted(session, parse_script("enter enter enter enter enter"))
        held = session.held(await session.quiet())
        assert [one.event.line for one in held] == ["> F. 8:8(0) ack 1", "< F. 1:1(0) ack 8"]
        await scripted(session, parse_script("2 enter"))
        assert session.done[-1].held.event.line == "< F. 1:1(0) ack 8"
        assert session.done[-1].after.client.state == "CLOSING"
        assert session.done[-1].after.server.state == "FIN_WAIT_1"


async def test_a_fin_that_comes_early_waits_for_the_data_before_it() -> None:
    async with stepping(find("fin-overtakes-data")) as session:
        await scripted(session, parse_script("enter enter enter"))
        held = session.held(await session.quiet())
        assert [(one.event.line, one.early, one.expected) for one in held] == [
            ("> P. 1:10(9) ack 1", False, "ESTABLISHED"),
            ("> F. 10:10(0) ack 1", True, "ESTABLISHED"),
        ]
        await scripted(session, parse_script("2 enter"))
        assert outcome(session.done[-1]) == "the server stays ESTABLISHED"
        await scripted(session, parse_script("1 enter"))
        assert session.done[-1].held.event.line == "> P. 1:10(9) ack 1"
        assert outcome(session.done[-1]) == "the server is in CLOSE_WAIT, as RFC 9293 3.10.7.4 says"


async def test_let_go_it_comes_to_its_end_by_itself() -> None:
    async with stepping(find("simultaneous-close")) as session:
        await scripted(session, parse_script("enter enter c"))
        assert session.over
        assert not session.problem
        assert session.failed == []


async def test_a_script_that_wants_more_than_there_is_is_told() -> None:
    async with stepping(find("simultaneous-close")) as session:
        with pytest.raises(
            ExperimentError, match="key 2 of the script wants a segment: the scenario is over"
        ):
            await scripted(session, parse_script("a enter"))


async def test_a_scenario_of_one_host_is_told() -> None:
    with pytest.raises(UsageError, match=r"dead-peer cannot be stepped through: .*testbed run dead-peer"):
        async with stepping(find("dead-peer")):
            pass


async def test_the_document_tells_all() -> None:
    async with stepping(find("simultaneous-close")) as session:
        await scripted(session, parse_script("a"))
        document = to_json(session, session.look())
    assert document["schema"] == "testbed.step/1"
    assert document["standing"]["client"] == STANDING["simultaneous-close"][0]
    fin = next(step for step in document["steps"] if step["segment"] == "> F. 8:8(0) ack 1")
    assert fin["expected"] == {"state": "CLOSING", "events": ["receive FIN"], "sections": ["3.10.7.4"]}
    assert fin["before"]["server"]["state"] == "FIN_WAIT_1"
    assert fin["after"]["server"]["state"] == "CLOSING"
    assert fin["after"]["server"]["timer"] == "RETRANSMISSION"
    assert fin["after"]["server"]["wqueue"] == 1, "its own FIN is not acknowledged"


async def press_each(session: Session, keys: list[str]) -> list[View]:
    """Press keys as a person does; every view that was shown."""
    shown: list[View] = []

    async def key(seconds: float) -> str | None:
        await session.until_held(20)  # a person looks before pressing
        return keys.pop(0) if keys else "q"

    await interactive(session, key, shown.append)
    return shown


async def test_by_hand_every_key_is_answered() -> None:
    async with stepping(find("simultaneous-close")) as session:
        shown = await press_each(session, ["?", "x", "enter", "7", *["enter"] * 4, "2", "a"])
    assert any(view.helping for view in shown)
    assert any(view.message == "there is no segment 7" for view in shown)
    assert any(view.marked == 1 for view in shown)
    assert shown[-1].over
    assert shown[-1].message == "the scenario is over; q leaves"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20), (80, 14)])
async def test_a_screen_is_no_larger_than_the_terminal(width: int, height: int) -> None:
    async with stepping(find("four-way-close")) as session:
        shown = await press_each(session, ["enter"] * 4 + ["?"] + ["enter"] * 20)
    for ascii_only in (False, True):
        screen = Screen("a title " * 20, width, height, colour=False, ascii_only=ascii_only)
        for view in shown:
            lines = screen.draw(view).plain.split("\n")
            assert len(lines) <= height
            assert max(map(len, lines)) <= width
            assert any("Enter deliver" in line for line in lines)
            if not view.helping:
                assert any(line.startswith(f"client {view.look.client.state}") for line in lines)
            if ascii_only:
                assert "\n".join(lines).isascii()


@pytest.mark.parametrize("row", catalogue().values(), ids=lambda row: row.name)
async def test_a_scenario_can_be_stepped_or_says_why_not(row: Scenario) -> None:
    if row.connections > 1:
        assert "connections" in why_not(row)
        return
    if why_not(row):
        assert row.name == "dead-peer" or row.section == "software"
        return
    async with stepping(row) as session:
        assert await session.until_held(20), "its first segment"
        await scripted(session, parse_script("enter"))
        assert session.done[0].held.event.line == "> S 0:0(0)"
