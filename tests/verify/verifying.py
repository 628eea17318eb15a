"""Servers put to checks in a test, and what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from testbed.verify.checks import CHECKS
from testbed.verify.outcome import Verdict
from testbed.verify.plan import Plan
from testbed.verify.profiles import recognise
from testbed.verify.report import told
from testbed.verify.result import Result
from testbed.verify.runner import Done, Looked, Subject, new_crew, run
from testbed.verify.survey import Survey

BRIEF_AT_ONCE = 6
"""Checks at a time that do not wait for timers: enough to keep two processors at work."""

WAITING_AT_ONCE = 16
"""And of those that do: a Python server, a client and tcpdump each."""


class Found(NamedTuple):
    """What came of one server: a result for each check, by its id; or why there is none."""

    results: dict[str, Result]
    problem: str = ""

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Every verdict that is no pass, by check."""
        return {name: r.verdict for name, r in self.results.items() if r.verdict is not Verdict.PASS}

    @property
    def said(self) -> str:
        """Why, for a failure's message."""
        return self.problem or "\n".join(
            f"{self.results[name].verdict} {name}: {told(self.results[name])}" for name in self.verdicts
        )


def plan(*command: str, **more: Any) -> Plan:
    """A plan for `command` as its profile has it, in this directory and environment."""
    profile = recognise(command)
    usual: dict[str, Any] = {"stop": profile.stop, "env": tuple(os.environ.items()), "cwd": Path.cwd()}
    return Plan(command=command, profile=profile, **{**usual, **more})


def python(program: str, **more: Any) -> Plan:
    """A plan for a server that is written down in a test: it finds its port in sys.argv[1]."""
    return plan(sys.executable, "-c", program, "{port}", **more)


def verified(subject: Plan, *checks: str) -> Found:
    """One server put to checks; to all where none is named."""
    return together({"": (subject, checks)})[""]


def together(subjects: Mapping[str, tuple[Plan, Sequence[str]]]) -> dict[str, Found]:
    """Many servers put to their checks side by side: each mostly waits."""
    rows = [Subject(plan, [CHECKS[name] for name in names or CHECKS]) for plan, names in subjects.values()]
    found = {name: Found({}) for name in subjects}
    by_row = dict(zip(map(id, rows), subjects, strict=True))
    for event in run(rows, new_crew(brief_at_once=BRIEF_AT_ONCE, waiting_at_once=WAITING_AT_ONCE)):
        name = by_row[id(event.subject)]
        match event:
            case Done(_, result):
                found[name].results[result.check] = result
            case Looked(_, problem) if not isinstance(problem, Survey):
                found[name] = Found({}, f"{type(problem).__name__}: {problem}")
    return found
