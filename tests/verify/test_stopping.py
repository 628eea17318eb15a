"""The grace is exact, as a supervisor's is."""

from __future__ import annotations

import pytest

from testbed.verify.checks.stopping import Departure
from testbed.verify.outcome import Verdict

from . import servers
from .verifying import python, verified


@pytest.mark.parametrize(
    ("took", "in_time"), [(0.1, True), (2.0, True), (2.000001, False), (2.1, False), (None, False)]
)
def test_who_leaves_a_microsecond_late_is_late(took: float | None, in_time: bool) -> None:
    assert Departure(took, 2.0, (), "exit status 0").in_time is in_time


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
def test_an_end_within_the_grace_passes(live: None) -> None:
    found = verified(python(servers.leaves_after(0.3), grace=5.0), "stop-fresh", "stop-idle")
    assert not found.verdicts, found.said
    for result in found.results.values():
        assert 0.3 <= result.telling.measured["exit_seconds"] <= 5.0
