"""The clock that tracepoints are stamped with, against the capture's.

Packets are stamped with the time of day (CLOCK_REALTIME).  Tracing has no such clock; it has
CLOCK_TAI, which is the same but for a whole number of seconds (none where nobody told the kernel of
leap seconds), and where that is missing clocks that run since the machine was started.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

_TAI: Final = getattr(time, "CLOCK_TAI", 11)  # 3.9 and later have it; Linux's number
_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", 7)
_SECOND: Final = 1_000_000_000
_LOOKS: Final = 9

CLOCKS: tuple[tuple[str, int], ...] = (
    ("tai", _TAI),
    ("boot", _BOOTTIME),
    ("mono", time.CLOCK_MONOTONIC),
)
"""What `trace_clock` calls them, best first, and clock_gettime's number for the same."""


class Offset(NamedTuple):
    """What to add to a stamp of a tracing clock to have the time of day, in ns.

    error_ns  by how much it may be wrong when it was measured; 0: it is exact
    """

    add_ns: int
    error_ns: int


def choose(offered: str) -> tuple[str, int]:
    """The best of the clocks in `offered`, which is a `trace_clock` file.  LookupError when there is none."""
    names = offered.replace("[", " ").replace("]", " ").split()
    for name, number in CLOCKS:
        if name in names:
            return name, number
    raise LookupError("none of the tracing clocks can be set against the time of day")


def offset(number: int) -> Offset:
    """The time of day less the clock `number`, now: the closest of several looks at both."""
    best = Offset(0, _SECOND)
    for _ in range(_LOOKS):
        before = time.clock_gettime_ns(number)
        today = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(number)
        error = (after - before + 1) // 2
        if error < best.error_ns:
            best = Offset(today - (before + after) // 2, error)
    if number == _TAI:
        seconds = round(best.add_ns / _SECOND)
        if abs(best.add_ns - seconds * _SECOND) <= best.error_ns + 1000:
            return Offset(seconds * _SECOND, 0)
    return best
