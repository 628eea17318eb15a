"""One scenario played in the network this process is in, and judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import CapabilityError, Error
from ..findings import Severity, describe, rule
from ..kernel.events import REASONS
from ..lab import Check, Experiment, Lab, Verdict
from ..lab.cross_examination import check_agreement, check_counts
from ..lab.judgement import check
from ..lab.pages import About
from ..lab.walked import walks
from .each import Judged, in_all, judge_each
from .result import RunResult, Shown
from .scenario import Scenario

TRACEPOINTS_REMEDY = "run as root on Linux 6.10 or later, where tracepoints tell it"
Progress = Callable[[str], None]
MOST_SHOWN = 5
"""Connections of one experiment that are drawn, one below the other."""


class JudgedLab(Lab):
    """A lab that tells each step while it is taken, and in which a failed check ends nothing: the
    experiment goes on, and is judged as a whole."""

    progress: Progress | None = None

    def hold(self, held: Check) -> None:
        self.checks.append(held)

    def tell(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)


def lab_of(scenario: Scenario, kind: type[JudgedLab] = JudgedLab) -> JudgedLab:
    """The lab that a scenario is played in; `kind` is its class."""
    if not scenario.hosts:
        return kind(
            interface=scenario.interface,
            snaplen=scenario.snaplen,
            buffer_kib=scenario.buffer_kib,
            sample_every=scenario.sample_every,
        )
    return kind(
        net="hosts",
        link=scenario.link,
        capture_at=scenario.capture_at,
        mtu=scenario.mtu,
        sysctls=dict(scenario.sysctls),
    )


async def play(scenario: Scenario, *, out: Path | None = None, progress: Progress | None = None) -> RunResult:
    """Play and judge it.  What goes wrong on the way is in the result, never raised."""
    attempt = 0
    while True:
        attempt += 1
        result = await _play_once(scenario, out=out, progress=progress)
        if result.verdict is not Verdict.FAIL or attempt == scenario.attempts:
            break
    if attempt == 1:
        return result
    statement = f"seen within {scenario.attempts} attempts: this one is attempt {attempt}"
    return replace(result, checks=(*result.checks, check("program", statement, True)))


async def _play_once(scenario: Scenario, *, out: Path | None, progress: Progress | None) -> RunResult:
    began = time.monotonic()
    lab = lab_of(scenario)
    lab.progress = progress
    limit = scenario.seconds * 1.5 + 60
    try:
        async with asyncio.timeout(limit), lab:
            await scenario.play(lab)
    except CapabilityError as error:
        return RunResult(scenario.name, time.monotonic() - began, problem=error.what, remedy=error.remedy)
    except TimeoutError:
        return RunResult(
            scenario.name, time.monotonic() - began, problem=f"it was not over after {limit:g} s"
        )
    except (Error, OSError) as error:
        return RunResult(scenario.name, time.monotonic() - began, problem=f"it broke off: {error}")
    experiment = lab.experiment
    title = f"{scenario.name}: {scenario.title}"
    if scenario.each:
        lab.tell(f"judging {len(experiment.connections):,} connections")
    judged = judge_each(scenario, experiment) if scenario.each else []
    checks = tuple(judge_experiment(scenario, experiment, lab.checks, judged))
    shown = tuple(_shown(experiment, title, most=1 if scenario.each else MOST_SHOWN))
    result = RunResult(
        scenario.name,
        time.monotonic() - began,
        checks=checks,
        transcript=tuple(experiment.transcript()),
        states=tuple(experiment.state_rows()),
        timeline=tuple(experiment.timeline()),
        findings=tuple(experiment.findings),
        walked=walks(experiment),
        shown=shown,
        left_out=len(experiment.connections) - len(shown),
        captured=len(experiment.recording.packets),
        dropped=experiment.recording.dropped,
        counted=experiment.recording.interface_packets,
        census=tuple(lab.census),
        judged=tuple(judged),
    )
    if out is None:
        return result
    about = About(
        "testbed run",
        f"testbed run {scenario.name}",
        scenario.lesson if result.verdict is Verdict.PASS else result.why,
        checks,
    )
    return replace(result, artifacts=experiment.save(out / scenario.name, title, about))


def _shown(experiment: Experiment, title: str, most: int) -> Iterator[Shown]:
    """The first connections, each with its ladder."""
    count = len(experiment.connections)
    for number, connection in enumerate(experiment.connections[:most], start=1):
        which = f" ({number} of {count:,})" if count > 1 else ""
        yield Shown(
            experiment.ladder(title + which, connection=connection),
            describe(connection, experiment.evidence_on(connection), ()),
            tuple(experiment.findings_on(connection)),
        )


def judge_experiment(
    scenario: Scenario, experiment: Experiment, during: list[Check], judged: Sequence[Judged] | None = None
) -> list[Check]:
    """Everything a scenario says, held against its witnesses.

    judged  each of its connections judged by itself, where that was done already
    """
    checks = [experiment.check_capture(), *during]
    count = len(experiment.connections)
    many = "connection" if scenario.connections == 1 else "connections"
    checks.append(
        check(
            "wire", f"{scenario.connections:,} {many}", count == scenario.connections, f"there were {count:,}"
        )
    )
    if not count:
        return checks
    if scenario.each:
        checks.append(in_all(judge_each(scenario, experiment) if judged is None else judged))
    else:
        checks += _of_the_first(scenario, experiment)
    if scenario.reset:
        checks.append(_check_reason(scenario.reset, experiment))
    if count == scenario.connections:  # it tells one from the other by their order
        checks.extend(_after(scenario, experiment, whole=checks[0].verdict is Verdict.PASS))
    return checks


def _of_the_first(scenario: Scenario, experiment: Experiment) -> Iterator[Check]:
    """Every connection's transcript, the findings on the first, and whether its witnesses agree."""
    compared = [
        experiment.check_transcript(
            expected, exact=scenario.exact, connection=connection, elastic=scenario.elastic
        )
        for expected, connection in zip(scenario.transcripts, experiment.connections, strict=False)
    ]
    yield next((c for c in compared if c.verdict is not Verdict.PASS), compared[0])
    found = experiment.findings
    codes = experiment.finding_codes()
    for code in scenario.findings:
        known = rule(code)
        witness = known.witness if known else "wire"
        yield check(witness, f"the finding {code}", code in codes, f"found: {', '.join(codes) or 'nothing'}")
    unexpected = [f for f in found if f.severity is not Severity.INFO and f.code not in scenario.findings]
    yield check(
        "wire",
        "nothing else is wrong",
        not unexpected,
        "; ".join(f"{f.code}: {f.text}" for f in unexpected),
    )
    if not scenario.apart:
        yield check_agreement(experiment.connections, remedy=TRACEPOINTS_REMEDY)
        if (counts := check_counts(experiment.connections, experiment.late)) is not None:
            yield counts


def _after(scenario: Scenario, experiment: Experiment, *, whole: bool) -> list[Check]:
    """The scenario's own checks.  One that does not find what it looks at has failed, or, where the
    capture is not whole, cannot tell."""
    found: list[Check] = []
    try:
        found.extend(scenario.after(experiment))
    except (LookupError, ValueError, TypeError, AssertionError, RuntimeError) as error:
        verdict = Verdict.FAIL if whole else Verdict.INCONCLUSIVE
        lacking = f"{type(error).__name__}: {error}".rstrip(": ")
        found.append(Check("wire", "there is all that the scenario looks at", verdict, lacking))
    return found


def _check_reason(expected: tuple[str, ...], experiment: Experiment) -> Check:
    """Why the kernel says that it sent the RST: one of `expected`."""
    accounts = [connection.account for connection in experiment.connections]
    told = [reset.reason for account in accounts for reset in account.resets_sent]
    reasons = [reason for reason in expected if reason in told] or list(expected)
    meant = " or ".join(f"{reason} ({REASONS[reason]})" for reason in reasons)
    statement = f"the kernel's reason for the RST is {meant}"
    if any(told):
        return check("kernel", statement, reasons[0] in told, f"it was {', '.join(map(str, told))}")
    problem = next((account.problem for account in accounts if account.problem), "")
    if not problem and not told:
        return check("kernel", statement, False, "it sent none")
    return Check("kernel", statement, Verdict.SKIPPED, f"{problem or 'it gives none'}: {TRACEPOINTS_REMEDY}")
