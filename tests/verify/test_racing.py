"""What a race of requests with an idle timeout shows, judged from packets and the scheduler's figures."""

from __future__ import annotations

import pytest

from testbed.verify.checks.racing import Try, Waits, raced, waited
from testbed.verify.outcome import Outcome, Verdict
from testbed.verify.seen import Mark

ANSWERED = Try(Mark(1, 1_000), answered=True)
TOO_LATE = Try(Mark(9, 9_000), end=Mark(5, 5_000))
NEVER_SENT = Try(None, end=Mark(5, 5_000))
STUCK = Try(Mark(7, 7_000))
SAID_GOODBYE = Try(Mark(9, 9_000), end=Mark(10, 10**9), goodbye=True)


def lost(gap: float, *, at: float = 1.0, read: bool = False) -> Try:
    """A request that is taken after so many seconds, and closed upon `gap` seconds later."""
    return Try(Mark(20, round(at * 1e9)), end=Mark(21, round((at + gap) * 1e9)), read=read)


def judged(*tries: Try, waits: float = 0.0, apart: float | None = None) -> Outcome:
    """The race of a server that waited so many seconds for a processor from its beginning to its end."""
    looks = [Waits(0, {"1": 5.0}), Waits(10**10, {"1": 5.0 + waits})]
    return raced(tries, looks, fired=[3.0], apart=apart)


@pytest.mark.parametrize("too_late", [TOO_LATE, NEVER_SENT, SAID_GOODBYE])
@pytest.mark.parametrize("apart", [None, 0.1])
def test_only_requests_on_both_sides_of_the_close_pass(too_late: Try, apart: float | None) -> None:
    assert judged(ANSWERED, too_late, apart=apart).verdict is Verdict.PASS
    for tries in ([ANSWERED], [too_late], [ANSWERED, ANSWERED], []):
        outcome = judged(*tries, apart=apart)
        assert outcome.verdict is Verdict.INCONCLUSIVE, tries
    assert ": none came after the close." in judged(ANSWERED, apart=apart).what
    assert ": none was answered." in judged(too_late, apart=apart).what


def test_one_that_is_lost_is_on_no_side() -> None:
    """The closest of races proves nothing of who asks a little sooner, or a little later."""
    assert judged(ANSWERED, lost(0.001)).verdict is Verdict.INCONCLUSIVE
    assert judged(lost(0.001), TOO_LATE).verdict is Verdict.INCONCLUSIVE
    assert judged(ANSWERED, lost(0.001), TOO_LATE).verdict is Verdict.PASS


def test_one_that_is_neither_answered_nor_closed_fails() -> None:
    assert judged(ANSWERED, STUCK, TOO_LATE).verdict is Verdict.FAIL


def test_one_that_was_read_in_the_end_is_told() -> None:
    """No more: a server that lingers reads after its FIN, and throws away what it reads."""
    outcome = judged(ANSWERED, lost(0.001, read=True), lost(0.001), TOO_LATE)
    assert outcome.verdict is Verdict.PASS
    assert outcome.what.endswith(", 2 taken and closed upon (1 without RST: read in the end)")


def test_a_timeout_that_varies_is_told_with_both_ends() -> None:
    outcome = raced([ANSWERED], [], fired=[3.0, 3.51])
    assert outcome.what.startswith("1 requests around the timeout of 3 s to 3.5 s: ")


def test_a_wide_gap_is_no_race() -> None:
    outcome = judged(ANSWERED, lost(0.011), TOO_LATE)
    assert outcome.verdict is Verdict.WARN
    assert outcome.what.endswith("1 taken and closed upon, up to 11 ms after it came (frames 20, 21)")
    assert outcome.frames == (20, 21)


@pytest.mark.parametrize("others", [(ANSWERED, TOO_LATE), (TOO_LATE,)])
def test_where_requests_are_far_apart_a_close_right_behind_one_was_set_off_by_it(others: tuple[Try]) -> None:
    outcome = judged(*others, lost(0.0003), apart=0.104)
    assert outcome.verdict is Verdict.WARN
    assert "its own arrival had the server look at its timeouts" in outcome.what
    assert outcome.frames == (20, 21)


def test_far_apart_says_how_far_and_that_the_timeout_varies() -> None:
    what = judged(ANSWERED, TOO_LATE, apart=0.104).what
    assert what.startswith(
        "2 requests around the timeout of 3 s, which is not always the same: one every 104 ms:"
    )
    assert "not always the same" not in judged(ANSWERED, TOO_LATE).what


@pytest.mark.parametrize("apart", [None, 0.104])
def test_a_wide_gap_that_is_forgiven_is_told_and_no_pass(apart: float | None) -> None:
    outcome = judged(ANSWERED, lost(0.076), TOO_LATE, waits=0.075, apart=apart)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "up to 76 ms after it came (frames 20, 21); for 75 ms of that the server waited" in outcome.what
    assert judged(ANSWERED, lost(0.076), TOO_LATE, waits=0.065, apart=apart).verdict is Verdict.WARN


def test_what_was_forgiven_is_never_more_than_the_gap() -> None:
    measured = judged(ANSWERED, lost(0.004), TOO_LATE, waits=3.0).measured
    assert (measured["widest_gap_seconds"], measured["processor_wait_seconds"]) == (0.004, 0.004)


@pytest.mark.parametrize(
    ("begin", "end", "seconds"),
    [(10, 19, 0.5), (10, 20, 0.5), (15, 25, 1.5), (0, 5, 0.0), (35, 40, 1.0), (0, 99, 2.5)],
)
def test_for_how_long_a_thread_waited_in_some_time(begin: int, end: int, seconds: float) -> None:
    """From the last look before to the first after; one thread waits all the time, another ends early."""
    looks = [
        Waits(10, {"1": 1.0, "2": 7.0}),
        Waits(20, {"1": 1.5, "2": 7.1}),
        Waits(30, {"1": 2.5}),
        Waits(40, {"1": 3.5, "3": 9.0}),
    ]
    assert waited(looks, begin, end) == pytest.approx(seconds)
