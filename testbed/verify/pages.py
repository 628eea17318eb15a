"""A check's evidence as a page, and the page that leads to all of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ..findings import Evidence, Finding, Severity, describe
from ..render.ladder import Ladder, StateMark
from ..report import page
from ..tcp.connection import Connection
from .checks.table import Check
from .outcome import Outcome, seconds
from .plan import Plan
from .profiles import recognise
from .report import subject
from .result import Result, Verification

TEXTS: Final = ("protocol", "path", "slow_path", "large_path", "connect")
SECONDS: Final = ("idle", "start")
"""Fields of a plan that are options of the command, by their own names."""


class Drawn(NamedTuple):
    """A client's connection with its ladder.

    telling  the packets of it that the outcome rests on
    """

    number: int
    connection: Connection
    ladder: Ladder
    marks: Sequence[StateMark]
    telling: Sequence[Finding]


def telling(check: Check, outcome: Outcome, connection: Connection) -> list[Finding]:
    """The packets of one connection that the outcome rests on, as findings."""
    frames = {exchange.segment.frame for exchange in connection.exchanges or ()}
    severity = Severity.INFO
    if outcome.verdict.bad or outcome.verdict.complains:
        severity = Severity.ERROR if outcome.verdict.bad else Severity.WARNING
    return [
        Finding(check.id, severity, None, frame, outcome.told) for frame in outcome.frames if frame in frames
    ]


def write(
    folder: Path, plan: Plan, check: Check, outcome: Outcome, drawn: Sequence[Drawn], end_ns: int
) -> Path:
    """Write a check's page beside its capture; returns where."""
    files = page.Files(folder)
    path = folder / "index.html"
    evidence = Evidence(end_ns=end_ns, source="live")
    page.write(
        path,
        page.Page(
            title=f"{check.id}: {check.question}",
            kind="testbed verify",
            verdict=str(outcome.verdict),
            lead=outcome.told,
            facts=tuple(_facts(check, outcome)),
            command=again(plan, check),
            downloads=files.download("capture.pcap", folder / "capture.pcap"),
            listed=tuple(page.listed(one.number, one.connection, one.telling) for one in drawn),
            shown=tuple(
                page.shown(
                    one.number,
                    one.connection,
                    story=describe(one.connection, evidence, ()),
                    findings=one.telling,
                    ladder=one.ladder,
                    kernel=one.marks,
                    end_ns=end_ns,
                )
                for one in drawn
            ),
        ),
    )
    return path


def write_overview(path: Path, done: Verification) -> None:
    """Write the page of all checks, which leads to each one's."""
    page.write(
        path,
        page.Page(
            title=done.plan.shown,
            kind="testbed verify",
            verdict=str(done.verdict),
            lead=done.counts(),
            facts=tuple(subject(done)),
            command=again(done.plan),
            entries=tuple(
                page.Entry(str(result.verdict), result.check, result.what, _href(result, path.parent))
                for result in done.results
            ),
        ),
    )


def _facts(check: Check, outcome: Outcome) -> Iterator[str]:
    if outcome.verdict.complains:
        yield f"hurts: {outcome.hurts or check.hurts}"
        yield f"change: {outcome.change or check.change}"
    yield f"source: {check.source}"
    for name, figure in outcome.measured.items():
        yield in_words(name, figure)


def in_words(name: str, figure: object) -> str:
    """What was measured, as a person reads it: ``exit: 38 ms``, ``port free: yes``, ``exit status 0``."""
    words = name.removesuffix("_seconds").replace("_", " ")
    match figure:
        case bool():
            told = "yes" if figure else "no"
        case None:
            told = "none"
        case dict():
            told = ", ".join(f"{key} {value}" for key, value in figure.items())
        case float() if name.endswith("_seconds"):
            told = seconds(figure)
        case _:
            told = str(figure)
    if told.startswith("exit status"):
        words = words.removesuffix("exit status").rstrip()
    return f"{words}: {told}" if words else told


def _href(result: Result, folder: Path) -> str:
    """The page of its first case."""
    pages = (file for kind, file in result.artifacts.items() if kind.split(" ")[0] == "page")
    first = next(pages, None)
    return "" if first is None else Path(first).relative_to(folder).as_posix()


def again(plan: Plan, check: Check | None = None) -> str:
    """The command that verifies the same; "" where it read files, whose names the plan has not."""
    if plan.request or plan.slow_request or plan.body:
        return ""
    words = ["testbed", "verify", *(("--check", check.id) if check else ())]
    for name in (*TEXTS, "port", *SECONDS):
        value, usual = getattr(plan, name), Plan.__dataclass_fields__[name].default
        if value != usual:
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if name in SECONDS else str(value)]
    if plan.profile != recognise(plan.command):
        words += ["--profile", plan.profile.name]
    if plan.stop is not plan.profile.stop:
        words += ["--signal", plan.stop.name]
    if plan.grace != plan.profile.grace:
        words += ["--grace", f"{plan.grace:g}"]
    if plan.tls:
        words.append("--tls")
    return shlex.join([*words, *(("--", *plan.command) if plan.command else ())])
