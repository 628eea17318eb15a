"""Verdicts put together, and durations as a person reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.verify.outcome import Outcome, Verdict, alike, seconds, soon, together, worst

PASS, SKIPPED, INFO, WARN, FAIL = Verdict.PASS, Verdict.SKIPPED, Verdict.INFO, Verdict.WARN, Verdict.FAIL


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0000421, "0.0 ms"),
        (0.0004, "0.4 ms"),
        (0.0094, "9.4 ms"),
        (0.043, "43 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.02, "1.02 s"),
        (5.0, "5 s"),
        (15.04, "15 s"),
        (119.9, "119.9 s"),
        (180, "3 min"),
        (7200, "2 h"),
        (7875, "2 h 11 min"),
        (-0.5, "-500 ms"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "at once"),
        (0.0004, "at once"),
        (0.099, "at once"),
        (0.31, "300 ms"),
        (2.26, "2 s"),
        (2.24, "2 s"),
    ],
)
def test_what_is_the_same_from_run_to_run_reads_the_same(value: float, text: str) -> None:
    assert soon(value) == text


def test_nothing_at_all_is_inconclusive() -> None:
    assert worst([]) is Verdict.INCONCLUSIVE


def test_a_skipped_part_says_nothing_beside_others() -> None:
    assert worst([SKIPPED, PASS]) is PASS
    assert worst([SKIPPED, SKIPPED]) is SKIPPED
    assert together([Outcome(SKIPPED, "not here"), Outcome(PASS, "well")]).what == "well"


def test_inconclusive_is_worse_than_a_warning_and_no_pass() -> None:
    assert worst([PASS, WARN, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert Verdict.INCONCLUSIVE.bad and not WARN.bad


def test_complaints_are_told_without_what_is_well_with_their_own_frames_and_all_figures() -> None:
    parts = [
        Outcome(PASS, "one is well", measured={"one": 1}, frames=(1,)),
        Outcome(FAIL, "two is not", "it hurts", "change it", {"two": 2}, (7, 5)),
        Outcome(FAIL, "nor is three", frames=(6,)),
    ]
    figures = {"more": 3, "one": 1, "two": 2}
    assert together(parts, more=3) == Outcome(
        FAIL, "two is not; nor is three", "it hurts", "change it", figures, (5, 6, 7), parts=tuple(parts)
    )


def test_each_complaint_is_told_the_worst_first() -> None:
    whole = together(
        [
            Outcome(WARN, "cut off", "a little", part="fast"),
            Outcome(PASS, "in full", part="slow"),
            Outcome(FAIL, "no end", "much", part="large"),
            Outcome(Verdict.INCONCLUSIVE, "not seen", part="small"),
        ]
    )
    assert whole.what == "large: no end; inconclusive: small: not seen; warn: fast: cut off"
    assert whole.hurts == "much"


def test_a_part_of_a_part_is_named_in_full() -> None:
    two = together([Outcome(PASS, "in full", part="first"), Outcome(WARN, "cut off", part="second")])
    whole = together([Outcome(PASS, "in full", part="one"), replace(two, part="two")])
    assert whole.what == "two: second: cut off"
    assert [(leaf.part, leaf.verdict) for leaf in whole.leaves] == [
        ("one", PASS),
        ("two, first", PASS),
        ("two, second", WARN),
    ]
    assert together([whole]).leaves == whole.leaves, "one that is alone adds nothing"


def test_where_nothing_is_wrong_all_is_told() -> None:
    assert together([Outcome(PASS, "well"), Outcome(INFO, "so it is")]).what == "so it is; well"


def test_alike_become_one() -> None:
    parts = [
        Outcome(PASS, "refused", frames=(9,)),
        Outcome(PASS, "served"),
        Outcome(PASS, "refused", frames=(3,)),
    ]
    assert [part.what for part in alike(parts)] == ["2 of 3 refused (frames 3, 9)", "1 of 3 served"]
    assert [part.what for part in alike(parts[::2])] == ["refused (frames 3, 9)"]
