"""Contenders for one job, taken in turns: whatever else the machine does meets all of them alike.

A figure alone says more of the machine than of the program; what is promised is ratios in one run.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Contender(NamedTuple):
    """One way to do the job.

    run    does it once, and returns how much it saw: who sees less is not quicker
    ours   whether it is the project's own; the first of these is what the others are held against
    times  how often it is done for one figure, where one time is too short to measure
    part   where a whole job takes too long: it does this fraction of it, 1/part, and its time is multiplied
    note   what its time includes
    why    where it cannot take part here: the reason (and then it does not)
    """

    name: str
    run: Callable[[], int]
    ours: bool = False
    times: int = 1
    part: int = 1
    note: str = ""
    why: str = ""


def absent(name: str, why: str) -> Contender:
    """One that cannot take part here."""
    return Contender(name, lambda: 0, why=why)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one contender; `seconds` of each round, for doing it once."""

    name: str
    ours: bool
    seen: int
    seconds: tuple[float, ...]
    note: str = ""
    why: str = ""

    @property
    def median(self) -> float:
        """In seconds."""
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Result:
        """And back."""
        return cls(**{**values, "seconds": tuple(values["seconds"])})


def in_turns(contenders: Sequence[Contender], rounds: int) -> list[Result]:
    """Measure each once a round, each round beginning with another; once before that does not count."""
    present = [one for one in contenders if not one.why]
    seconds: dict[str, list[float]] = {one.name: [] for one in present}
    seen = {one.name: one.run() for one in present}
    for number in range(rounds):
        first = number % len(present)
        for one in present[first:] + present[:first]:
            gc.collect()  # nobody pays for what another left behind
            began = time.perf_counter()
            for _ in range(one.times):
                seen[one.name] = one.run()
            seconds[one.name].append((time.perf_counter() - began) / one.times * one.part)
    return [
        Result(one.name, one.ours, seen.get(one.name, 0), tuple(seconds.get(one.name, ())), one.note, one.why)
        for one in contenders
    ]
