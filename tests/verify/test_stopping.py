"""The grace is exact, as a supervisor's is."""

from __future__ import annotations

import time

import pytest

from testbed.net.private import PrivateNetwork
from testbed.verify.checks.arriving import stop_queued
from testbed.verify.checks.stopping import Departure, waited_for
from testbed.verify.outcome import Verdict
from testbed.verify.stage import Stage
from testbed.verify.survey import Survey
from testbed.verify.target import Target
from tests.tcp.conversation import START_NS

from . import servers
from .test_seen import seen
from .verifying import python, verified

A_LIMIT = " (3 s after its client's last packet: a limit of the stop's, or of its own, see idle-timeout)"


@pytest.mark.parametrize(
    ("took", "in_time"), [(0.1, True), (2.0, True), (2.000001, False), (2.1, False), (None, False)]
)
def test_who_leaves_a_microsecond_late_is_late(took: float | None, in_time: bool) -> None:
    assert Departure(took, 2.0, (), "exit status 0").in_time is in_time


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            0.0,
            A_LIMIT,
        ),
        (
            1.5,
            A_LIMIT,
        ),
        (2.5, ""),
    ],
)
def test_a_fin_long_after_the_signal_is_no_answer_to_it(told: float, words: str) -> None:
    """What the server said of itself before (408) does not end its client's silence."""
    closed = seen("+3\n< P. 1:9(8) ack 1\n< F. 9:9(0) ack 1")
    assert waited_for(closed, START_NS + round(told * 1e9), 9.0) == words
    assert waited_for(seen(""), START_NS, 9.0) == ""
    if words:
        ended = waited_for(closed, START_NS + round(told * 1e9), 3.02 - told)
        assert ended == " (only as its process ended)"


@pytest.mark.timeout(120)
def test_an_end_past_the_grace_fails_and_says_by_how_much(live: None) -> None:
    found = verified(python(servers.leaves_after(1.4), grace=1.0), "stop-fresh", "stop-idle")
    for result in found.results.values():
        assert result.verdict is Verdict.FAIL, result.what
        assert 1.4 <= result.telling.measured["exit_seconds"] < 2.0
        assert "past the grace of 1 s; still running then: " in result.what
        assert "FIN (frame" in result.what


@pytest.mark.timeout(120)
def test_one_that_is_still_there_when_that_is_known_is_named(live: None) -> None:
    found = verified(python(servers.leaves_after(1000), grace=0.5), "stop-fresh")
    result = found.results["stop-fresh"]
    assert result.verdict is Verdict.FAIL
    assert result.telling.measured["exit_seconds"] is None
    assert "not gone 500 ms after SIGTERM; still running then: " in result.what and "(python" in result.what


@pytest.mark.timeout(120)
def test_one_that_stays_is_told_beside_what_became_of_the_late(live: None) -> None:
    found = verified(python(servers.leaves_after(1000), grace=1.0), "stop-new-connection")
    (result,) = found.results.values()
    assert result.verdict is Verdict.FAIL
    late, stays = result.telling.parts
    assert late.what.startswith("tried ") and "not gone" not in late.what
    assert stays.what.startswith("not gone 1 s after SIGTERM; still running then: ")


async def test_the_server_is_let_go_before_it_does_anything(
    monkeypatch: pytest.MonkeyPatch, network: PrivateNetwork
) -> None:
    """However late this process gets its turn again: here a tenth of a second after it has sent SIGCONT."""
    thaw = Target.thaw

    def thaw_and_wait(target: Target) -> None:
        thaw(target)
        time.sleep(0.1)

    monkeypatch.setattr(Target, "thaw", thaw_and_wait)
    subject = python(servers.SHORT_IDLE)
    async with Stage(subject, Survey(("127.0.0.1", subject.port), 0.1, 1)) as stage:
        await stage.start()
        await stop_queued(stage)
        (new,) = stage.peers
        (let_go,) = [step.time_ns for step in stage.steps(new) if "SIGCONT" in step.text]
        end = new.seen.server_end
    assert end is not None and let_go < end.time_ns


@pytest.mark.timeout(120)
def test_an_end_within_the_grace_passes(live: None) -> None:
    found = verified(python(servers.leaves_after(0.3), grace=5.0), "stop-fresh", "stop-idle")
    assert not found.verdicts, found.said
    for result in found.results.values():
        assert 0.3 <= result.telling.measured["exit_seconds"] <= 5.0
