"""All checks of a server, side by side, each against a server of its own in a network of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import CapabilityError, Error, UsageError
from ..net import sysctl
from ..net.private import enter_private_network
from ..net.workers import Job, Tell, side_by_side, while_wanted
from .artifacts import save
from .checks import Check, find_check, missing
from .dialogue import dialogue_of
from .outcome import Outcome, Verdict
from .plan import Plan
from .result import Result
from .stage import Stage
from .survey import Survey, survey
from .target import TargetError

OVERHEAD: Final = 1.0
"""Seconds that a check takes besides the server's start and what it waits for."""

Progress = Callable[[str], None]
"""Called with the id of a check that has begun."""


def look(plan: Plan) -> Survey:
    """Start the server once and learn how it talks.

    Error handling: TargetError where it cannot be started or used, UsageError where its command cannot
    be run, CapabilityError where this machine cannot do it.
    """
    for news in side_by_side([Job("survey", _look, (plan,), 1.0)], preload=__name__):
        if news.kind == "result":
            if isinstance(news.value, Survey):
                return news.value
            raise _raised(*news.value)
        if news.kind == "lost":
            raise TargetError(f"the process that looked at the server ended with status {news.value}")
    raise AssertionError("a job has a result or is lost")


def estimate(check: Check, plan: Plan, known: Survey) -> float:
    """About how many seconds one run of a check takes."""
    return known.start_seconds + check.waits(plan, known) + OVERHEAD


def run(
    plan: Plan, known: Survey, checks: Sequence[Check], *, repeat: int = 1, began: Progress | None = None
) -> Iterator[Result]:
    """Perform checks, each `repeat` times; yields each result when all of its repeats are there."""
    dialogue = dialogue_of(plan, known.address[0])
    jobs: list[Job] = []
    for check in checks:
        reason = missing(check, plan, known, dialogue)
        if reason:
            yield Result(check.id, (Outcome(Verdict.SKIPPED, reason),))
            continue
        seconds = estimate(check, plan, known)
        jobs += [
            Job(check.id, _perform, (check.id, plan, known, number), seconds, alone=plan.attached)
            for number in range(1, repeat + 1)
        ]
    outcomes: dict[str, list[tuple[Outcome, float, dict[str, str]]]] = {}
    for job, kind, value, took in side_by_side(jobs, preload=__name__):
        if kind == "step":
            if began is not None:
                began(job.name)
            continue
        if kind == "lost":
            value = Outcome(Verdict.INCONCLUSIVE, f"its process ended with status {value}"), {}
        outcome, artifacts = value
        done = outcomes.setdefault(job.name, [])
        done.append((outcome, took, artifacts))
        if len(done) == repeat:
            result = Result(job.name, tuple(o for o, _, _ in done), sum(s for _, s, _ in done))
            telling = next(files for o, _, files in done if o is result.telling)
            yield Result(result.check, result.outcomes, result.seconds, telling)


# ---- in the workers


def _look(plan: Plan, tell: Tell) -> Survey | tuple[str, str, str]:
    try:
        if not plan.attached:
            enter_private_network()
        return asyncio.run(while_wanted(_survey(plan)))
    except CapabilityError as error:
        return "capability", error.what, error.remedy
    except UsageError as error:
        return "usage", str(error), ""
    except (Error, OSError) as error:
        return "target", str(error), ""


def _raised(kind: str, what: str, remedy: str) -> Error:
    if kind == "capability":
        return CapabilityError(what, remedy)
    return UsageError(what) if kind == "usage" else TargetError(what)


async def _survey(plan: Plan) -> Survey:
    async with Stage(plan) as stage:
        return await survey(stage)


def _perform(name: str, plan: Plan, known: Survey, number: int, tell: Tell) -> tuple[Outcome, dict[str, str]]:
    check = find_check(name)
    tell(name)
    try:
        if not plan.attached:
            enter_private_network()
            for key, value in check.sysctls.items():
                sysctl.set(key, value)
        return asyncio.run(while_wanted(_judged(check, plan, known, number)))
    except (Error, OSError) as error:
        return Outcome(Verdict.INCONCLUSIVE, f"it broke off: {error}"), {}


async def _judged(check: Check, plan: Plan, known: Survey, number: int) -> tuple[Outcome, dict[str, str]]:
    limit = 2 * estimate(check, plan, known) + 2 * (plan.grace + plan.idle + plan.start)
    began = time.monotonic()
    async with Stage(plan, known) as stage:
        try:
            async with asyncio.timeout(limit):
                await stage.start(warm=True)
                outcome = _believed(await check.perform(stage), stage)
        except TimeoutError:
            took = time.monotonic() - began
            outcome = Outcome(Verdict.INCONCLUSIVE, f"it was not over after {took:.0f} s")
        except (Error, OSError) as error:
            outcome = Outcome(Verdict.INCONCLUSIVE, f"it broke off: {error}")
        return outcome, await _saved(check, outcome, stage, number)


def _believed(outcome: Outcome, stage: Stage) -> Outcome:
    """An outcome whose capture is not whole is no outcome."""
    recording = stage.recording
    if recording is None or (recording.complete is not False and not recording.dropped):
        return outcome
    what = f"the capture lacks {recording.dropped or 'some'} packets; what it shows: {outcome.what}"
    return Outcome(Verdict.INCONCLUSIVE, what, measured=outcome.measured)


async def _saved(check: Check, outcome: Outcome, stage: Stage, number: int) -> dict[str, str]:
    """Where the plan says so, the capture and its ladders."""
    if stage.plan.out is None:
        return {}
    if stage.recording is None:
        await stage.cut()
    folder: Path = stage.plan.out / check.id / (str(number) if number > 1 else "")
    return save(stage, check, outcome, folder)
