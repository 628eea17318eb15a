"""Every one of many connections judged by itself: its segments, its findings, its two witnesses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from ..findings import Severity
from ..lab import Check, Experiment, Verdict
from ..lab.cross_examination import check_agreement, check_counts
from ..lab.judgement import worst
from ..lab.live import LiveConnection
from ..wire.notation import Line, parse_transcript
from .scenario import Scenario

SHOWN: Final = 3
"""Of so many that are not as they should be it is told in full why."""


class Judged(NamedTuple):
    """What came of one connection.

    number  in the order in which they began
    client  its address
    """

    number: int
    client: str
    verdict: Verdict
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """As in `run --json`."""
        return {**self._asdict(), "verdict": str(self.verdict)}


def judge_each(scenario: Scenario, experiment: Experiment) -> list[Judged]:
    """A verdict for each.  Where the capture lacks a packet, of anybody's, all are inconclusive."""
    expected = parse_transcript(scenario.transcripts[0])
    capture = experiment.check_capture()
    whole = capture.verdict is Verdict.PASS
    return [
        _judged(
            number,
            connection,
            list(_checks(scenario, experiment, connection, expected)) if whole else [capture],
        )
        for number, connection in enumerate(experiment.connections, 1)
    ]


def _judged(number: int, connection: LiveConnection, checks: Sequence[Check]) -> Judged:
    verdict = worst(checks)
    why = "\n".join(f"not so that {c.statement}: {c.detail}" for c in checks if c.verdict is verdict)
    client = str(connection.addresses[0])
    return Judged(number, client, verdict, "" if verdict is Verdict.PASS else why)


def _checks(
    scenario: Scenario, experiment: Experiment, connection: LiveConnection, expected: Sequence[Line]
) -> Iterator[Check]:
    yield experiment.check_transcript(expected, connection=connection)
    found = experiment.findings_on(connection)
    codes = {f.code for f in found}
    wrong = {f.code for f in found if f.severity is not Severity.INFO} ^ set(scenario.findings)
    wrong -= codes & set(scenario.findings)  # an expected one may be no more than a remark
    yield Check(
        "wire",
        f"the findings are {', '.join(scenario.findings) or 'none'}",
        Verdict.FAIL if wrong else Verdict.PASS,
        f"found: {', '.join(sorted(codes)) or 'nothing'}",
    )
    yield check_agreement([connection])
    if (counts := check_counts([connection])) is not None:
        yield counts


def in_all(judged: Sequence[Judged]) -> Check:
    """All verdicts as one check; its detail has the first that are not `pass`."""
    others = [one for one in judged if one.verdict is not Verdict.PASS]
    right = len(judged) - len(others)
    return Check(
        "wire",
        f"each connection's segments, findings and states are as they must be: {right:,} of {len(judged):,}",
        max((one.verdict for one in judged), key=list(Verdict).index, default=Verdict.INCONCLUSIVE),
        "\n".join(f"{one.client}: {one.why}" for one in others[:SHOWN])
        + (f"\nand {len(others) - SHOWN:,} more" if len(others) > SHOWN else ""),
    )
