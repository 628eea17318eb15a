"""A survey as a page: its captures, its counts, its worst connections with their ladders."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from ..explanation import Explained
from ..explanation.survey import Survey
from ..findings import Severity, rule
from ..render.ladder import Ladder
from ..render.wording import counted
from ..tcp.connection import Connection
from . import page

NAMED: Final = 3
"""Captures that a page's title names."""


class Way(NamedTuple):
    """How the survey came about, for a page to say it.

    kind      the command: ``testbed explain``
    title     what was looked at; "": the captures
    command   all of it, to run it again; "" where it cannot be
    captures  the files that `testbed explain` tells the connections of
    """

    kind: str
    command: str = ""
    captures: Sequence[str] = ()
    title: str = ""


def drawn(told: Iterable[Explained]) -> set[int]:
    """The ids of those that a page draws: as many as it has room for, the worst first."""
    least = len(Severity)
    worst_first = sorted(told, key=lambda one: one.findings[0].severity.rank if one.findings else least)
    return page.fitting((one.id, one.packets) for one in worst_first)


class Surveyed:
    """A page while its connections are drawn, in whatever order."""

    def __init__(self, folder: Path, survey: Survey, way: Way) -> None:
        self._files = page.Files(folder)
        self._folder = folder
        self._survey = survey
        self._way = way
        self._told = {one.id: one for one in survey.told}
        self._shown: dict[int, page.Shown] = {}

    @property
    def told(self) -> Sequence[Explained]:
        """The connections that are told."""
        return self._survey.told

    def draw(self, explained: Explained, ladder: Ladder) -> None:
        """Show one of its connections, which has its segments."""
        self._show(explained.id, explained.connection, ladder)

    def _show(self, number: int, connection: Connection, ladder: Ladder | None, remark: str = "") -> None:
        """What is told of it rests on all that was known at the end."""
        told = self._told[number]
        self._shown[number] = page.shown(
            number,
            connection,
            story=told.story,
            findings=told.findings,
            ladder=ladder,
            end_ns=told.evidence.end_ns,
            remark=remark,
            command=self._telling(number),
        )

    def finished(self, remarks: Mapping[int, str]) -> page.Page:
        """The page; `remarks` say why a connection has no ladder."""
        survey = self._survey
        for number, remark in remarks.items():
            self._show(number, self._told[number].connection, None, remark)
        rows = survey.tally.rows()
        total = survey.tally.connections
        endings = ", ".join(f"{count:,} {ending}" for ending, count in rows.endings)
        left = survey.chosen - len(survey.told)
        return page.Page(
            title=self._way.title or _title([PurePath(capture.file).name for capture in survey.captures]),
            kind=self._way.kind,
            lead=f"{counted(total, 'connection')}{': ' if endings else ''}{endings}",
            facts=tuple(f"{capture.file}: {capture.shape}" for capture in survey.captures),
            problems=tuple(
                f"{capture.file}: {problem}" for capture in survey.captures for problem in capture.problems
            ),
            command=self._way.command,
            downloads=self._files.download("capture.pcap", self._folder / "capture.pcap"),
            counts=tuple(
                page.Count(row.code, str(row.severity), known.title if known else "", row.connections)
                for row in rows.findings
                for known in (rule(row.code),)
            ),
            listed=tuple(page.listed(one.id, one.connection, one.findings) for one in survey.told),
            shown=tuple(self._with_packets(self._shown[number]) for number in sorted(self._shown)),
            more=f"{counted(left, 'more connection')} in report.json" if left > 0 else "",
        )

    def _with_packets(self, shown: page.Shown) -> page.Shown:
        """With its own capture, where the folder has it."""
        name = f"connection-{shown.id}.pcap"
        return replace(shown, downloads=self._files.download(f"its packets: {name}", self._folder / name))

    def _telling(self, number: int) -> str:
        if not self._way.captures:
            return ""
        return shlex.join(
            ["testbed", "explain", *self._way.captures, "--connection", str(number), "--ladder"]
        )


def _title(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= NAMED else f"{names[0]} and {len(names) - 1} more captures"
