"""A verification as JSON, Markdown, and JUnit cases.  Pure: text out of results."""

from __future__ import annotations

from typing import Any, Final

from ..render.junit import Case
from ..render.markdown import cell, code
from .checks import CHECKS, Check
from .outcome import Verdict, seconds
from .result import Result, Verification

SCHEMA: Final = "testbed.verify/1"

MARKS: Final = {
    Verdict.PASS: "✅",
    Verdict.SKIPPED: "➖",
    Verdict.INFO: "ℹ️",
    Verdict.WARN: "⚠️",
    Verdict.INCONCLUSIVE: "❓",
    Verdict.FAIL: "❌",
}


def to_json(done: Verification) -> dict[str, Any]:
    """The document ``testbed.verify/1``."""
    plan, known = done.plan, done.survey
    return {
        "schema": SCHEMA,
        "command": list(plan.argv),
        "port": known.address[1],
        "address": known.address[0],
        "protocol": plan.protocol,
        "signal": plan.stop.name,
        "grace_seconds": plan.grace,
        "idle_seconds": plan.idle,
        "profile": plan.profile.name,
        "processes": known.processes,
        "verdict": str(done.verdict),
        "seconds": round(done.seconds, 3),
        "checks": [result.to_json(CHECKS[result.check]) for result in done.results],
        "artifacts": done.artifacts,
    }


def junit_cases(done: Verification) -> list[Case]:
    """A case a check; `warn` and `info` are successes, and say so in their output."""
    return [
        Case(
            "testbed.verify",
            result.check,
            result.seconds,
            str(result.verdict),
            result.what,
            "\n".join(f"{label}: {text}" for label, text in told(result)),
        )
        for result in done.results
    ]


def told(result: Result) -> list[tuple[str, str]]:
    """What a report says of one check below its heading: label and text, in order."""
    check = CHECKS[result.check]
    rows = [("what", result.what)]
    if result.verdict.complains:
        rows += [("hurts", result.hurts(check)), ("change", result.change(check))]
    if result.verdict is not Verdict.SKIPPED:
        rows.append(("source", check.source))
    rows += [("ladder", path) for kind, path in result.artifacts.items() if kind.startswith("ladder")]
    return rows


def subject(done: Verification) -> list[str]:
    """What was verified, and how, in a few words each."""
    plan, known = done.plan, done.survey
    host, port = known.address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    facts = [f"{'TLS, ' if plan.tls else ''}{plan.protocol} at {where}"]
    if known.processes:
        facts.append(f"{known.processes} {'process' if known.processes == 1 else 'processes'}")
    if not plan.attached:
        facts.append(f"up in {seconds(known.start_seconds)}")
    if known.reply is not None:
        facts.append("keeps connections" if known.keeps else "closes after each reply")
    if known.under_way is not None:
        facts.append(f"slow request: {known.under_way.how}")
    if known.daemon:
        facts.append("a daemon: the command ends when it is up")
    if known.deferred:
        facts.append("TCP_DEFER_ACCEPT")
    return facts


def markdown(done: Verification) -> str:
    """For a CI summary: a table, and below it what is wrong."""
    plan = done.plan
    facts = ", ".join(cell(fact) for fact in subject(done))
    stop = f"stop by {plan.stop.name}, grace {seconds(plan.grace)}"
    lines = [
        f"### `testbed verify`: {done.counts()}",
        "",
        f"`{code(plan.shown)}`: {facts}; {stop}; {seconds(done.seconds)}",
        "",
        "| | check | what happened |",
        "|---|---|---|",
        *(f"| {MARKS[r.verdict]} {r.verdict} | {r.check} | {cell(r.what)} |" for r in done.results),
    ]
    for result in done.results:
        if result.verdict.bad or result.verdict.complains:
            check: Check = CHECKS[result.check]
            lines += ["", f"#### {MARKS[result.verdict]} {result.check}: {check.question}", ""]
            lines += [f"- **{label}**: {cell(text)}" for label, text in told(result)]
    return "\n".join([*lines, ""])
