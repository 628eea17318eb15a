"""Which clock tracing is set to, and what makes its stamps the time of day."""

from __future__ import annotations

import time

import pytest

from testbed.kernel.trace_clock import CLOCKS, choose, offset


@pytest.mark.parametrize(
    ("offered", "name", "number"),
    [
        ("[local] global counter uptime perf mono mono_raw boot tai x86-tsc\n", "tai", time.CLOCK_TAI),
        ("local global [tai] mono\n", "tai", time.CLOCK_TAI),
        ("[local] global counter uptime perf mono mono_raw boot\n", "boot", time.CLOCK_BOOTTIME),
        ("[local] mono\n", "mono", time.CLOCK_MONOTONIC),
        ("[mono]", "mono", time.CLOCK_MONOTONIC),
    ],
)
def test_the_best_clock_that_is_offered_is_taken(offered: str, name: str, number: int) -> None:
    assert choose(offered) == (name, number)


@pytest.mark.parametrize("offered", ["", "[local] global counter uptime perf mono_raw x86-tsc\n"])
def test_clocks_that_no_program_can_read_are_of_no_use(offered: str) -> None:
    with pytest.raises(LookupError, match="none of the tracing clocks"):
        choose(offered)


@pytest.mark.parametrize(("name", "number"), CLOCKS)
def test_the_offset_makes_the_clocks_time_the_time_of_day(name: str, number: int) -> None:
    found = offset(number)
    before = time.clock_gettime_ns(number)
    today = time.time_ns()
    after = time.clock_gettime_ns(number)
    assert before + found.add_ns - found.error_ns <= today <= after + found.add_ns + found.error_ns


def test_tai_is_off_by_whole_seconds() -> None:
    """clock_gettime(2), CLOCK_TAI: "derived from wall-clock time but counting leap seconds"."""
    found = offset(time.CLOCK_TAI)
    assert found.add_ns % 1_000_000_000 == 0
    assert found.error_ns == 0
