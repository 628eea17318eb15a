"""What a page holds.  All of it is text as it was found: the template escapes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...findings import Finding, Severity
from ...render.ladder import Ladder
from ...render.svg.states import Change


class Count(NamedTuple):
    """In how many connections something was found."""

    code: str
    severity: str
    title: str
    connections: int


class CheckRow(NamedTuple):
    """A statement held against a witness."""

    verdict: str
    witness: str
    statement: str
    detail: tuple[str, ...] = ()


class Entry(NamedTuple):
    """Another page that this one leads to; `href` "" where there is none."""

    verdict: str
    name: str
    text: str
    href: str


class Download(NamedTuple):
    """A file beside the page or, as a ``data:`` address, within it."""

    label: str
    name: str
    href: str


class Listed(NamedTuple):
    """A connection as a row of the table.

    severity   of its worst finding, "" where it has none
    duration   nanoseconds
    """

    id: int
    client: str
    server: str
    opening: str
    ending: str
    closed_by: str
    segments: int
    bytes: int
    duration_ns: int
    severity: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A connection with all that is known of it.

    id         as in its row of the table
    findings   worst first
    ladder     None: `remark` says why
    segments   what is told of a segment beside the ladder (`segments.table`)
    states     by any witness; `end_ns` is when the capture ended
    command    what tells of it again on a terminal
    """

    id: int
    client: str
    server: str
    story: str
    findings: tuple[Finding, ...] = ()
    ladder: Ladder | None = None
    segments: dict[str, Any] | None = None
    states: Sequence[Change] = ()
    end_ns: int = 0
    remark: str = ""
    command: str = ""
    downloads: tuple[Download, ...] = ()

    def rank(self) -> int:
        """How bad its worst finding is: 0 is the worst; those without come last."""
        return self.findings[0].severity.rank if self.findings else len(Severity)


@dataclass(frozen=True, slots=True)
class Page:
    """See the module's docstring.

    kind       the command that wrote it
    verdict    "" where nothing was judged
    lead       what the verdict rests on, or what is to be learnt
    facts      of the capture, a line each
    problems   what is wrong with it, a line each
    command    what does it again
    more       what is not on the page
    """

    title: str
    kind: str
    verdict: str = ""
    lead: str = ""
    facts: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    command: str = ""
    downloads: tuple[Download, ...] = ()
    entries: tuple[Entry, ...] = ()
    counts: tuple[Count, ...] = ()
    checks: tuple[CheckRow, ...] = ()
    listed: tuple[Listed, ...] = ()
    shown: tuple[Shown, ...] = ()
    more: str = ""

    @property
    def first(self) -> int | None:
        """Which of `shown` is seen first: of those with the worst finding the first one."""
        worst = min(self.shown, key=Shown.rank, default=None)
        return worst.id if worst else None
