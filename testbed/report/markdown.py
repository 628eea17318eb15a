"""What an explanation found, in Markdown: for the summary of a CI run."""

from __future__ import annotations

from collections.abc import Sequence

from ..explanation import Explained
from ..explanation.survey import Survey
from ..findings import Severity
from ..render.markdown import cell, code
from ..render.wording import counted

MARKS = {Severity.ERROR: "❌", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}


def summary(command: str, survey: Survey, told: Sequence[Explained]) -> str:
    """A heading with the counts, a table of the findings, and each of `told` in words.

    command  what was run, as it is shown
    """
    rows = survey.tally.rows()
    total = survey.tally.connections
    endings = ", ".join(f"{count:,} {ending}" for ending, count in rows.endings)
    lines = [f"### `{code(command)}`: {counted(total, 'connection')}", ""]
    lines += [f"{endings}.", ""] if endings else []
    if rows.findings:
        lines += ["| | finding | connections |", "|---|---|---|"]
        lines += [
            f"| {MARKS[r.severity]} {r.severity} | {r.code} | {r.connections:,} |" for r in rows.findings
        ]
    elif total:
        lines.append("Nothing was found wrong.")
    for problem in (problem for capture in survey.captures for problem in capture.problems):
        lines += ["", f"⚠️ {cell(problem)}"]
    for one in told:
        lines += ["", f"**#{one.id}** {cell(one.story)}", ""]
        lines += [
            f"- {MARKS[f.severity]} **{f.code}**: {cell(' '.join(f.text.split()))}" for f in one.findings
        ]
    return "\n".join([*lines, ""])


__all__ = ["summary"]
