"""A survey in words: what `explain` and `exec` print, and what their reports hold."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.text import Text

from ..explanation import Explained
from ..explanation.survey import Survey, worst_of
from ..render.escape import visible
from ..render.wording import counted
from ..report.folder import TEXT_WIDTH, ladder_of
from .output import STYLE, console, print_ladder, print_story

LADDER_SEGMENTS = 60
"""The most segments of a connection that a ladder on the terminal shows."""

TOLD = 10
"""Connections with findings that are told after a command and in a summary, at most."""


def print_survey(
    survey: Survey,
    told: Sequence[Explained],
    drawable: Mapping[int, Explained],
    *,
    to: TextIO | None = None,
    more: str = "--limit, --connection N and --finding CODE choose",
) -> None:
    """The captures, the counts, and then `told` in words, with the ladders of those in `drawable`."""
    out = console(to)
    for capture in survey.captures:
        out.print(Text.assemble((visible(capture.file), "bold"), f": {capture.shape}"))
        for problem in capture.problems:
            out.print(Text.assemble(("  problem: ", "yellow"), visible(problem)))
    rows = survey.tally.rows()
    total = survey.tally.connections
    endings = ", ".join(f"{count:,} {ending}" for ending, count in rows.endings)
    out.print(f"{counted(total, 'connection')}{': ' if endings else ''}{endings}")
    for row in rows.findings:
        count = counted(row.connections, "connection")
        out.print(Text.assemble((f"  {row.severity:8}", STYLE[row.severity]), f"{row.code:30} in {count}"))
    if total and not survey.chosen:
        out.print("none of them is what was asked for")
    for explained in told:
        out.print()
        print_story(f"#{explained.id}  ", explained.story, explained.findings, to=to)
        if explained.id in drawable:
            out.print()
            print_ladder(ladder_of(drawable[explained.id], LADDER_SEGMENTS), to=to)
    if survey.chosen > len(told):
        out.print()
        left = survey.chosen - len(told)
        are = "is" if left == 1 else "are"
        out.print(f"{left:,} {'more ' if told else ''}{are} not told: {visible(more)}")


def worst_found(survey: Survey) -> list[Explained]:
    """The worst of the connections with findings, as many as are told where nobody chose."""
    return worst_of([one for one in survey.told if one.findings], TOLD)


def as_text(survey: Survey, told: Sequence[Explained]) -> str:
    """The same without colours, for a file; the ladders are files of their own."""
    stream = io.StringIO()
    print_survey(survey, told, {}, to=stream, more="report.json has them")
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


__all__ = ["LADDER_SEGMENTS", "TEXT_WIDTH", "as_text", "counted", "print_survey", "worst_found"]
