"""The project's own engine: each mutation comes from a number, and the same number makes it again."""

from __future__ import annotations

import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from ..mutation import mutate
from . import SLOW
from .targets import Target


class Hung(Exception):
    """It took too long.  Where it stood is in the traceback."""


class Outcome(NamedTuple):
    """What came of a run.

    told      how often each word was said
    failures  how often each kind of failure was met
    slowest   seconds of processor time of the slowest, and its number
    """

    done: int
    seconds: float
    told: Counter[str]
    failures: Counter[str]
    slowest: tuple[float, int]


def run(target: Target, count: int, *, seed: int = 0, minutes: float | None = None, keep: Path) -> Outcome:
    """Numbers `seed` to `seed + count`, or as many as `minutes` allow.

    The first failure of each kind is printed, and its input kept in the folder `keep`.
    """
    pool = target.seeds()
    began = time.monotonic()
    told: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    done, slowest = 0, (0.0, 0)
    with _alarm():
        for number in range(seed, seed + count):
            if minutes is not None and time.monotonic() - began > minutes * 60:
                break
            raw = mutate(random.Random(number), pool)
            before = time.process_time()
            signal.setitimer(signal.ITIMER_VIRTUAL, SLOW)
            try:
                told[target.attempt(raw)] += 1
            except Exception as error:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                where = traceback.extract_tb(error.__traceback__)[-1]
                kind = f"{type(error).__name__} {Path(where.filename).name}:{where.lineno}"
                failures[kind] += 1
                if failures[kind] == 1:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{target.name}-{number}.bin").write_bytes(raw)
                    print(f"mutation {number}: {kind}: {error}", flush=True)
            slowest = max(slowest, (time.process_time() - before, number))
            done += 1
    return Outcome(done, time.monotonic() - began, told, failures, slowest)


@contextmanager
def _alarm() -> Iterator[None]:
    """While one input is decoded, an alarm ends what does not end."""

    def ring(_: int, __: FrameType | None) -> None:
        raise Hung(f"more than {SLOW} s of processor time")

    before = signal.signal(signal.SIGVTALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def report(target: Target, outcome: Outcome) -> int:
    """Print what came of it; the exit status."""
    words = ", ".join(f"{outcome.told[word]:,} {word}" for word in target.words)
    slowest, number = outcome.slowest
    print(
        f"{target.name}: {outcome.done:,} mutations in {outcome.seconds:.0f} s: {words}, "
        f"{outcome.failures.total():,} failed; the slowest took {slowest:.2g} s (number {number})"
    )
    for kind, count in outcome.failures.most_common():
        print(f"  {count:6} {kind}", file=sys.stdout)
    return 1 if outcome.failures else 0
