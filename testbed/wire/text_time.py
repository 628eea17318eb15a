"""The time at the head of a tcpdump line, in each form that tcpdump prints, as nanoseconds.

    option     what is printed                  what it becomes
    (none)     ``14:12:45.104687``              since midnight of the first packet's day
    -tt        ``1700000000.000005``            since the epoch
    -ttt       `` 00:00:00.000011`` a gap       since the first packet: the gaps are added up
    -tttt      ``2023-11-14 22:13:20.000005``   since the epoch, the time zone taken to be UTC
    -ttttt     `` 00:00:00.000011`` elapsed     since the first packet
    -t         nothing                          0

Fractions have six digits, or nine with --nano.  -ttt and -ttttt look alike (a blank and a clock);
they are told apart by whether the values keep going back (`goes_back`).
"""

from __future__ import annotations

import datetime
import enum
import functools
import itertools
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND

STAMP: Final = (
    r"(?:(?P<date>\d{4}-\d\d-\d\d )?(?P<minus>-)?(?P<hour>\d\d):(?P<minute>[0-5]\d):(?P<second>[0-6]\d)"
    r"(?:\.(?P<fraction>\d{1,9}))?"
    r"|(?P<epoch>\d{1,11})\.(?P<epoch_fraction>\d{6}|\d{9}))(?=\s)"
)
"""A regular expression for a time in any of the forms; `stamp` reads its match."""


class Form(enum.Enum):
    """How a time is written.  Deltas are written as a clock; what they are is for `Clock` to say."""

    CLOCK = "clock"
    DATE = "date"
    EPOCH = "epoch"


class Stamp(NamedTuple):
    """One time as printed: `ns` since midnight (a clock, or a delta) or since the epoch."""

    form: Form
    ns: int
    spaced: bool = False
    """One blank stood before it, as tcpdump prints before deltas and nothing else."""


@functools.lru_cache(maxsize=64)
def _date_ns(text: str) -> int | None:
    try:
        day = datetime.date.fromisoformat(text.strip())
    except ValueError:
        return None
    return (day.toordinal() - datetime.date(1970, 1, 1).toordinal()) * DAY


def stamp(match: re.Match[str], spaced: bool = False) -> Stamp | None:
    """The time in a match of `STAMP`; None when there is none, or its date is none in a calendar."""
    hour = match["hour"]
    if hour is not None:
        ns = (int(hour) * 3600 + int(match["minute"]) * 60 + int(match["second"])) * SECOND
        ns += _fraction(match["fraction"])
        if match["minus"]:
            ns = -ns
        date = match["date"]
        if date is None:
            return Stamp(Form.CLOCK, ns, spaced)
        midnight = _date_ns(date)
        return None if midnight is None else Stamp(Form.DATE, midnight + ns)
    epoch = match["epoch"]
    if epoch is None:
        return None
    return Stamp(Form.EPOCH, int(epoch) * SECOND + _fraction(match["epoch_fraction"]))


def _fraction(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def is_delta(first: Stamp) -> bool:
    """Whether the first time of a text says that all are deltas (-ttt, -ttttt).

    The first packet's delta is nought, printed after a blank; a clock at exactly midnight is not
    met in practice.
    """
    return first.form is Form.CLOCK and (first.spaced or first.ns == 0)


def goes_back(stamps: Iterable[Stamp]) -> bool:
    """Whether deltas count from the previous packet (-ttt) rather than from the first (-ttttt).

    Times since the first packet hardly ever go back (packets captured out of order are rare); gaps
    between packets do about every second time.  Nothing tells the two apart in a text so short that
    its gaps only grow: it is read as -ttttt.
    """
    values = [each.ns for each in stamps]
    back = sum(b < a for a, b in itertools.pairwise(values))
    return back * 8 > len(values) - 1


class Clock:
    """Turns the times of one text into nanoseconds that go on over midnight.

    deltas     None for times of day and dates, else what `goes_back` says
    """

    def __init__(self, deltas: bool | None) -> None:
        self._deltas = deltas
        self._last = 0  # the last result
        self._clock: int | None = None  # the last time of day
        self._days = 0

    def at(self, printed: Stamp | None) -> int:
        """The time of a packet; without one, that of the packet before it."""
        if printed is None:
            return self._last
        if printed.form is not Form.CLOCK:
            self._last = printed.ns
        elif self._deltas is None:
            # a clock that jumps back by more than half a day has passed midnight
            if self._clock is not None and self._clock - printed.ns > DAY // 2:
                self._days += DAY
            self._clock = printed.ns
            self._last = self._days + printed.ns
        else:
            self._last = self._last + printed.ns if self._deltas else printed.ns
        return self._last
