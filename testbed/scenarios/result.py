"""What came of one run of a scenario, ready to be shown, written as JSON, or sent between processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..findings import Finding
from ..lab import Check, Verdict
from ..lab.census import Census
from ..lab.judgement import worst
from ..lab.timeline import Moment
from ..lab.walked import Walk
from ..render.ladder import Ladder
from .each import Judged


class Shown(NamedTuple):
    """One connection as it is shown: its ladder, how it went in words, and what is to be said of it."""

    ladder: Ladder
    words: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run.

    seconds    how long it took
    checks     every statement held against a witness
    timeline   what every witness told, in order of time
    walked     the edges of the state machine that were seen walked
    findings   on the first connection
    shown      the connections in the order they began, where there are not too many of them: see `left_out`
    left_out   how many connections there were besides
    captured   packets recorded; `dropped` None where nobody said
    counted    packets that the interface counted; None where that proves nothing
    census     how many sockets were in which state, where that was counted
    judged     each connection by itself, where each was judged
    artifacts  files written, by kind
    problem    why it broke off, where it did
    remedy     what to do about it, where this machine cannot run it: then it is skipped
    seen       False where nobody saw how it went: then it is inconclusive
    """

    scenario: str
    seconds: float
    checks: tuple[Check, ...] = ()
    transcript: tuple[str, ...] = ()
    states: tuple[dict[str, Any], ...] = ()
    timeline: tuple[Moment, ...] = ()
    findings: tuple[Finding, ...] = ()
    walked: tuple[Walk, ...] = ()
    shown: tuple[Shown, ...] = ()
    left_out: int = 0
    captured: int = 0
    dropped: int | None = None
    counted: int | None = None
    census: tuple[Census, ...] = ()
    judged: tuple[Judged, ...] = ()
    artifacts: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""
    seen: bool = True

    @property
    def verdict(self) -> Verdict:
        """The worst check's; where it broke off: skipped, inconclusive or fail, by the reason."""
        if self.remedy:
            return Verdict.SKIPPED
        if not self.seen:
            return Verdict.INCONCLUSIVE
        return Verdict.FAIL if self.problem else worst(self.checks)

    @property
    def why(self) -> str:
        """The verdict's reason in a line."""
        if self.problem:
            return self.problem
        bad = [c for c in self.checks if c.verdict is self.verdict]
        if self.verdict is Verdict.PASS:
            held = [c for c in self.checks if c.verdict is Verdict.PASS]
            witnesses = ", ".join(dict.fromkeys(c.witness for c in held))
            skipped = len(self.checks) - len(held)
            more = f"; {skipped} could not be asked here" if skipped else ""
            return f"{len(held)} statements hold, put to {witnesses}{more}"
        return "; ".join(f"{c.witness}: not so that {c.statement}" for c in bad)

    def to_json(self, *, timeline: bool = False) -> dict[str, Any]:
        """The row of ``runs`` in ``testbed.run/1``, with its timeline if that is asked for."""
        more: dict[str, Any] = {}
        if timeline:
            more["timeline"] = [moment.to_json() for moment in self.timeline]
        if self.judged:
            verdicts = Counter(str(one.verdict) for one in self.judged)
            others = [one.to_json() for one in self.judged if one.verdict is not Verdict.PASS]
            more["connections"] = {"verdicts": verdicts, "others": others}
            more["census"] = [one.to_json() for one in self.census]
        return {
            **more,
            "scenario": self.scenario,
            "verdict": str(self.verdict),
            "why": self.why,
            "seconds": round(self.seconds, 3),
            "transcript": list(self.transcript),
            "states": list(self.states),
            "findings": [f._asdict() for f in self.findings],
            "checks": [{**c._asdict(), "verdict": str(c.verdict)} for c in self.checks],
            "capture": {
                "packets": self.captured,
                "dropped": self.dropped,
                "interface_packets": self.counted,
            },
            "artifacts": self.artifacts,
        }
