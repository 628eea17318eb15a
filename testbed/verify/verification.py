"""Verifying a server from beginning to end: look at it, perform the checks, keep what they leave."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..errors import Error, UsageError
from . import pages, report
from .checks import CHECKS, Check, missing
from .plan import Plan
from .result import Result, Verification
from .runner import LOOK, Begun, Done, Looked, Subject, estimate, run
from .survey import Survey

Begin = Callable[[Survey, float, str], None]
"""Called when the server has been looked at: what it is, about how many seconds all takes, and why."""

WORTH_SAYING: Final = 30.0
"""Seconds from which the reason is told."""


def verify(
    plan: Plan,
    checks: Sequence[Check] = tuple(CHECKS.values()),
    *,
    repeat: int = 1,
    began: Begin | None = None,
    performing: Callable[[str], None] | None = None,
    done: Callable[[Result], None] | None = None,
) -> Verification:
    """Verify a server; Linux only.

    began, performing, done  are told how it goes on: see `Begin`; a check's id; a result

    Error handling: TargetError where the server cannot be started or used, UsageError for a command that
    cannot be run, CapabilityError where this machine cannot do it.
    """
    start = time.monotonic()
    _make_room(plan)
    known: Survey | None = None
    results = []
    for event in run([Subject(plan, checks, repeat)]):
        match event:
            case Looked(_, Error() as error):
                raise error
            case Looked(_, Survey() as known):
                if began is not None:
                    began(known, *forecast(plan, known, checks, repeat))
            case Begun(_, check):
                if performing is not None:
                    performing(check)
            case Done(_, result):
                results.append(result)
                if done is not None:
                    done(result)
    assert known is not None  # it was looked at, or an error was raised
    order = [check.id for check in checks]
    results.sort(key=lambda result: order.index(result.check))
    whole = Verification(plan, known, tuple(results), time.monotonic() - start)
    return whole if plan.out is None else _kept(whole, plan.out)


def _make_room(plan: Plan) -> None:
    if plan.out is not None:
        try:
            plan.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {plan.out}: {error.strerror}") from None


def forecast(plan: Plan, known: Survey, checks: Sequence[Check], repeat: int = 1) -> tuple[float, str]:
    """About how many seconds all takes, and ", as ..." where that needs a reason."""
    ahead = [check for check in checks if not missing(check, plan, known)]
    if not ahead:
        return 0.0, ""
    times = {check.id: estimate(check, plan, known) for check in ahead}
    longest = max(times, key=times.__getitem__)
    work = (
        sum(WORK * len(check.cases) + known.start_seconds for check in ahead) * repeat / (os.cpu_count() or 1)
    )
    side_by_side = LOOK + known.start_seconds + max(times[longest], work) + work / 4
    about = sum(times.values()) * repeat if plan.attached else side_by_side
    why = f" (the longest is {longest}: --idle {plan.idle:g})" if times[longest] > plan.idle else ""
    return about, why if about >= WORTH_SAYING or times[longest] > WORTH_SAYING / 2 else ""


WORK: Final = 0.4
"""Seconds of a processor's time that a check takes besides the server's start."""


def _kept(done: Verification, out: Path) -> Verification:
    """Write the reports beside the captures."""
    files = {"json": out / "report.json", "markdown": out / "report.md", "page": out / "index.html"}
    done = replace(done, artifacts={"folder": str(out), **{kind: str(path) for kind, path in files.items()}})
    try:
        files["json"].write_text(json.dumps(report.to_json(done), indent=2) + "\n", encoding="utf-8")
        files["markdown"].write_text(report.markdown(done), encoding="utf-8")
        pages.write_overview(files["page"], done)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from None
    return done
