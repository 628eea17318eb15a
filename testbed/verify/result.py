"""What came of a check over all its repeats, and of all checks: what a report is made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .checks.table import Check
from .outcome import Outcome, Verdict, worst
from .plan import Plan
from .survey import Survey


@dataclass(frozen=True, slots=True)
class Result:
    """One check's: the outcomes of its repeats, and the one that stands for them.

    seconds    of all repeats together
    artifacts  files written, by kind
    """

    check: str
    outcomes: tuple[Outcome, ...]
    seconds: float = 0.0
    artifacts: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst of the repeats."""
        return worst(outcome.verdict for outcome in self.outcomes)

    @property
    def telling(self) -> Outcome:
        """The first with that verdict."""
        return next(outcome for outcome in self.outcomes if outcome.verdict is self.verdict)

    @property
    def varies(self) -> str:
        """``3 pass, 2 warn`` where the repeats do not agree; else nothing."""
        counts = Counter(outcome.verdict for outcome in self.outcomes)
        if len(counts) < 2:
            return ""
        return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])

    @property
    def what(self) -> str:
        """What happened, and how often where it varies."""
        return (
            f"{self.telling.what} (of {len(self.outcomes)} runs: {self.varies})"
            if self.varies
            else self.telling.what
        )

    def hurts(self, check: Check) -> str:
        """Why a bad verdict matters in production."""
        return (self.telling.hurts or check.hurts) if self.verdict.complains else ""

    def change(self, check: Check) -> str:
        """What to change."""
        return (self.telling.change or check.change) if self.verdict.complains else ""

    def to_json(self, check: Check) -> dict[str, Any]:
        """The row of ``checks`` in ``testbed.verify/1``."""
        row: dict[str, Any] = {
            "id": self.check,
            "verdict": str(self.verdict),
            "what": self.what,
            "measured": dict(self.telling.measured),
            "frames": list(self.telling.frames),
            "question": check.question,
            "source": check.source,
            "seconds": round(self.seconds, 3),
        }
        if self.telling.parts:
            row["parts"] = [leaf.to_json() for leaf in self.telling.leaves]
        if self.verdict.complains:
            row |= {"hurts": self.hurts(check), "change": self.change(check)}
        if len(self.outcomes) > 1:
            row["repeats"] = [
                {"verdict": str(o.verdict), "what": o.what, "measured": dict(o.measured)}
                for o in self.outcomes
            ]
        if self.artifacts:
            row["artifacts"] = self.artifacts
        return row


@dataclass(frozen=True, slots=True)
class Verification:
    """All of it: what was asked, what the server is, and what came of each check, in the table's order."""

    plan: Plan
    survey: Survey
    results: tuple[Result, ...]
    seconds: float
    artifacts: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst."""
        return worst(result.verdict for result in self.results)

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results that are `fail` or `inconclusive`."""
        return tuple(result for result in self.results if result.verdict.bad)

    @property
    def exit_status(self) -> int:
        """0; or 1 when one is bad."""
        return 1 if self.failed else 0

    def counts(self) -> str:
        """``12 pass, 2 warn, 1 fail``."""
        counts = Counter(result.verdict for result in self.results)
        return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
