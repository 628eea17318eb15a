"""Findings as JUnit's cases: one for each rule and capture, so that a case keeps its name from run to
run whatever ports and however many connections there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..explanation import CaptureSummary
from ..explanation.survey import Row
from ..findings import RULES, Severity
from ..render.junit import Case

TOLD = 20
"""Of so many connections a case tells what was found."""


@dataclass
class _Found:
    connections: int = 0
    worst: Severity = Severity.INFO
    lines: list[str] = field(default_factory=list)


def cases(captures: Sequence[CaptureSummary], rows: Iterable[Row], level: Severity) -> list[Case]:
    """The cases: a rule fails where one of its findings is as bad as `level`, and where no connection
    could be judged all is inconclusive."""
    found: dict[tuple[str, str], _Found] = defaultdict(_Found)
    judged: set[str] = set()
    for row in rows:
        judged.add(row.capture.file)
        for finding in row.document["findings"]:
            here = found[row.capture.file, finding["code"]]
            here.connections += 1
            here.worst = min(here.worst, Severity(finding["severity"]), key=lambda severity: severity.rank)
            if len(here.lines) < TOLD:
                ends = f"{row.document['client']} -> {row.document['server']}"
                here.lines.append(f"connection {row.document['id']}, {ends}: {finding['text']}")
    return [
        _case(capture.file, rule.code, rule.title, found.get((capture.file, rule.code)), level)
        if capture.file in judged
        else Case(capture.file, rule.code, 0.0, "inconclusive", "there was no connection to judge")
        for capture in captures
        for rule in RULES
    ]


def _case(file: str, code: str, title: str, found: _Found | None, level: Severity) -> Case:
    if found is None or found.worst.rank > level.rank:
        return Case(file, code, 0.0, "pass", "")
    more = found.connections - len(found.lines)
    detail = "\n".join([*found.lines, *([f"and {more} more"] if more else [])])
    connections = f"{found.connections} connection{'' if found.connections == 1 else 's'}"
    return Case(file, code, 0.0, "fail", f"{found.worst}: {title}, in {connections}", detail)
