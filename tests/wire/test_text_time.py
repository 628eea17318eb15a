"""Times: each form, and how a text's go on."""

from __future__ import annotations

import re

import pytest

from testbed.wire.text_time import DAY, STAMP, Clock, Form, Stamp, goes_back, is_delta, stamp

SECOND = 10**9


def read(text: str) -> Stamp | None:
    match = re.match(STAMP, text + " ", re.ASCII)
    return stamp(match) if match else None


def clock(ns: int, spaced: bool = False) -> Stamp:
    return Stamp(Form.CLOCK, ns, spaced)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:00.000000", clock(0)),
        ("14:12:45.104687", clock((14 * 3600 + 12 * 60 + 45) * SECOND + 104_687_000)),
        ("14:12:45.104687123", clock((14 * 3600 + 12 * 60 + 45) * SECOND + 104_687_123)),
        ("14:12:45", clock((14 * 3600 + 12 * 60 + 45) * SECOND)),
        ("-00:00:01.500000", clock(-1_500_000_000)),
        ("1700000000.000005", Stamp(Form.EPOCH, 1_700_000_000 * SECOND + 5000)),
        ("0.000005", Stamp(Form.EPOCH, 5000)),
        ("1700000000.000005007", Stamp(Form.EPOCH, 1_700_000_000 * SECOND + 5007)),
        ("2023-11-14 22:13:20.000005", Stamp(Form.DATE, 1_700_000_000 * SECOND + 5000)),
        ("1970-01-01 00:00:00.0", Stamp(Form.DATE, 0)),
        ("2023-02-30 00:00:00.0", None),
        ("14:72:45.104687", None),
        ("1700000000.5", None),
        ("1700000000", None),
    ],
)
def test_each_form(text: str, expected: Stamp | None) -> None:
    assert read(text) == expected


def test_a_clock_goes_on_over_midnight() -> None:
    late, early = DAY - 1, 1
    told = Clock(None)
    assert [told.at(clock(ns)) for ns in (late, early, late, early)] == [
        late,
        DAY + early,
        DAY + late,
        2 * DAY + early,
    ]


def test_a_clock_that_jumps_back_a_little_stays_in_its_day() -> None:
    told = Clock(None)
    assert [told.at(clock(ns * SECOND)) for ns in (100, 50, 43_249)] == [
        100 * SECOND,
        50 * SECOND,
        43_249 * SECOND,
    ]


def test_dates_and_epochs_stand_for_themselves() -> None:
    told = Clock(None)
    assert [told.at(Stamp(Form.EPOCH, ns)) for ns in (5, 3)] == [5, 3]
    assert told.at(Stamp(Form.DATE, 9)) == 9


def test_without_a_time_it_is_the_one_before() -> None:
    told = Clock(None)
    assert [told.at(None), told.at(clock(7)), told.at(None)] == [0, 7, 7]


def test_gaps_are_added_up_and_elapsed_times_are_not() -> None:
    values = [clock(ns) for ns in (0, 5, 1)]
    gaps, elapsed = Clock(True), Clock(False)
    assert [gaps.at(value) for value in values] == [0, 5, 6]
    assert [elapsed.at(value) for value in values] == [0, 5, 1]


def test_deltas_are_known_by_their_first() -> None:
    assert is_delta(clock(0))
    assert is_delta(clock(5, spaced=True))
    assert not is_delta(clock(5))
    assert not is_delta(Stamp(Form.EPOCH, 0))


def test_gaps_go_back_and_elapsed_times_hardly_ever() -> None:
    assert goes_back(clock(ns) for ns in (0, 11, 3, 40, 2))
    assert not goes_back(clock(ns) for ns in (0, 11, 14, 54, 56))
    assert not goes_back([*(clock(ns) for ns in range(20)), clock(18), *(clock(ns) for ns in range(20, 40))])
    assert not goes_back([clock(0)])
