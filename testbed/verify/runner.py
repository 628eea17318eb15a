"""All checks, side by side, each against a server of its own in a network of its own."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import CapabilityError, Error, TargetError, UsageError
from ..net import sysctl
from ..net.private import enter_private_network
from ..net.workers import LONG, Crew, Job, Tell
from .artifacts import save
from .checks import Check, find_check, missing
from .outcome import Outcome, Verdict, together
from .plan import Plan
from .result import Result
from .stage import Stage
from .survey import Survey, survey
from .waiting import until

OVERHEAD: Final = 1.0
"""Seconds that a check takes besides the server's start and what it waits for."""

BEGINS: Final = 0.3
"""Seconds of work at a check's beginning, besides the server's start, whatever it waits for then."""

LOOK: Final = 1.5
"""Seconds of the look at a server before."""

LEAVING: Final = 1.0
"""Seconds from a server's last word to its process's end."""


class Subject(NamedTuple):
    """A server, and what it is put to, each check `repeat` times."""

    plan: Plan
    checks: Sequence[Check]
    repeat: int = 1


class Looked(NamedTuple):
    """A server was started once and looked at; `found` is why it cannot be verified, or what is known of it.

    The errors: TargetError where it cannot be started or used, UsageError where its command cannot be
    run, CapabilityError where this machine cannot do it.
    """

    subject: Subject
    found: Survey | Error


class Begun(NamedTuple):
    """A check has begun, perhaps not for the first time."""

    subject: Subject
    check: str


class Done(NamedTuple):
    """All repeats of a check are there."""

    subject: Subject
    result: Result


def estimate(check: Check, plan: Plan, known: Survey) -> float:
    """About how many seconds one run of a check takes."""
    return known.start_seconds + check.waits(plan, known) + OVERHEAD


def run(subjects: Sequence[Subject], crew: Crew | None = None) -> Iterator[Looked | Begun | Done]:
    """Look at each server, and put it to its checks."""
    crew = crew or new_crew()
    for number, subject in enumerate(subjects):
        plan = subject.plan
        # what follows from it takes so long, so that it goes first
        seconds = LOOK + 1.5 * plan.idle
        crew.add(Job("", _look, (number, plan), max(LONG, seconds), alone=plan.attached, busy=LOOK))
    parts: dict[tuple[int, str], list[_Part]] = {}
    for job, kind, value, took in crew:
        number, *arguments = job.arguments
        subject = subjects[number]
        if not job.name:
            found = _found(kind, value)
            yield Looked(subject, found)
            if isinstance(found, Survey):
                for check in subject.checks:
                    if jobs := _jobs(number, subject, found, check):
                        crew.add(*jobs)
                    else:
                        reason = missing(check, subject.plan, found)
                        yield Done(subject, Result(check.id, (Outcome(Verdict.SKIPPED, reason),)))
            continue
        if kind == "step":
            yield Begun(subject, job.name)
            continue
        if kind == "lost":
            value = Outcome(Verdict.INCONCLUSIVE, "its process was ended from outside"), {}
        done = parts.setdefault((number, job.name), [])
        outcome, artifacts = value
        case, repeat = arguments[-2:]
        done.append(_Part(case, repeat, outcome, artifacts, took))
        if len(done) == subject.repeat * len(find_check(job.name).cases):
            yield Done(subject, _result(job.name, done))


def new_crew(*, brief_at_once: int | None = None, waiting_at_once: int | None = None) -> Crew:
    """Who does it; see `Crew`."""
    return Crew(preload=__name__, brief_at_once=brief_at_once, waiting_at_once=waiting_at_once)


def _jobs(number: int, subject: Subject, known: Survey, check: Check) -> list[Job]:
    """A job for each repeat of each case; none where the check has nothing to ask of this server."""
    plan = subject.plan
    if missing(check, plan, known):
        return []
    seconds, busy = estimate(check, plan, known), known.start_seconds + BEGINS
    return [
        Job(
            check.id,
            _perform,
            (number, check.id, plan, known, case, repeat),
            seconds,
            alone=plan.attached,
            busy=busy,
        )
        for repeat in range(1, subject.repeat + 1)
        for case in check.cases
    ]


def _found(kind: str, value: Any) -> Survey | Error:
    """What came of a look."""
    if kind == "lost":
        return TargetError("the process that looked at the server was ended from outside")
    return value if isinstance(value, Survey) else _raised(*value)


class _Part(NamedTuple):
    """What came of one job."""

    case: str
    number: int
    outcome: Outcome
    artifacts: dict[str, str]
    seconds: float


def _result(name: str, parts: list[_Part]) -> Result:
    """The cases of each repeat together; the repeats side by side."""
    outcomes = []
    artifacts: dict[str, str] = {}
    cases = find_check(name).cases
    for number in sorted({part.number for part in parts}):
        mine = sorted((p for p in parts if p.number == number), key=lambda part: cases.index(part.case))
        outcomes.append(together([replace(part.outcome, part=part.case) for part in mine]))
        for part in mine:
            for kind, path in part.artifacts.items():
                label = " ".join(
                    word for word in (kind, part.case, str(number) if number > 1 else "") if word
                )
                artifacts[label] = path
    return Result(name, tuple(outcomes), sum(part.seconds for part in parts), artifacts)


# ---- in the workers


def _look(number: int, plan: Plan, tell: Tell) -> Survey | tuple[str, str, str]:
    try:
        if not plan.attached:
            enter_private_network()
        return asyncio.run(_survey(plan))
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


def _perform(
    subject: int, name: str, plan: Plan, known: Survey, case: str, number: int, tell: Tell
) -> tuple[Outcome, dict[str, str]]:
    check = find_check(name)
    tell(name)
    try:
        if not plan.attached:
            enter_private_network()
            for key, value in check.sysctls.items():
                sysctl.set(key, value)
        return asyncio.run(_judged(check, plan, known, case, number))
    except (Error, OSError) as error:
        return Outcome(Verdict.INCONCLUSIVE, f"it broke off: {error}"), {}


async def _judged(
    check: Check, plan: Plan, known: Survey, case: str, number: int
) -> tuple[Outcome, dict[str, str]]:
    limit = 2 * estimate(check, plan, known) + 2 * (plan.grace + plan.idle + plan.start)
    began = time.monotonic()
    async with Stage(plan, known, case) as stage:
        try:
            async with asyncio.timeout(limit):
                await stage.start(warm=True)
                outcome = _believed(await check.perform(stage), stage)
        except TimeoutError:
            took = time.monotonic() - began
            outcome = Outcome(Verdict.INCONCLUSIVE, f"it was not over after {took:.0f} s")
        except (Error, OSError) as error:
            outcome = await _broken_off(error, stage)
        except Exception as error:  # a fault of ours, with whatever this server did to bring it out
            outcome = Outcome(Verdict.INCONCLUSIVE, f"a fault in this check: {_origin(error)}: {error!r}")
        return outcome, await _saved(check, replace(outcome, part=case), stage, number)


async def _broken_off(error: Error | OSError, stage: Stage) -> Outcome:
    """A server that ends although nobody told it to has failed, whatever the check was about."""
    ended = bool(stage.targets) and await until(lambda: stage.target.main_ended, LEAVING)
    if ended and not stage.signalled:
        what = f"the server ended by itself ({stage.target.exit_status}) in the middle of the check: {error}"
        return Outcome(
            Verdict.FAIL,
            what,
            "whatever its clients did, all others lose their server",
            "take an error on one connection for the end of that connection alone",
        )
    return Outcome(Verdict.INCONCLUSIVE, f"it broke off: {error}")


def _origin(error: BaseException) -> str:
    """File and line that raised `error`."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


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
    below = [stage.case.replace(" ", "-"), str(number) if number > 1 else ""]
    folder: Path = stage.plan.out.joinpath(check.id, *(name for name in below if name))
    return save(stage, check, outcome, folder)
