"""A folder with the report, and for each connection with findings its ladder and its packets.

report.json                         the document `testbed.explain/1`, of all that was chosen
report.txt                          the summary, and the worst connections in words
index.html                          the page: all of it to look at, with the ladders of the worst
connection-7.svg, connection-7.txt  the ladder
connection-7.pcap                   its packets: bytes, times and lengths are the capture's
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import UsageError
from ..explanation import Explained
from ..explanation.reading import Reading, Source
from ..explanation.survey import Survey
from ..render import ladder as ladders
from ..render import svg, terminal
from . import page
from .extract import extract
from .surveyed import Surveyed, Way, drawn

MOST: Final = page.ROWS
"""Connections of which a folder holds ladder and packets, the worst ones; report.json has all."""

TOO_LONG: Final = 100_000
"""Segments; of a longer connection there is no ladder: its packets are in its capture."""

TEXT_WIDTH: Final = 110

Opener = Callable[[], Sequence[Source]]
"""Opens the captures again, from their beginnings."""


def write(
    folder: Path,
    sources: Opener,
    survey: Survey,
    text: str,
    asked: Collection[int] = (),
    *,
    way: Way = Way("testbed explain"),  # noqa: B008 - it cannot be changed
) -> list[str]:
    """Write the folder; returns remarks, a line each, on what it does not hold and why.

    survey   has kept its rows, and tells at least as many connections as are to be written
    text     the report for reading
    asked    connections that are written even without findings
    way      how the survey came about, for the page

    Error handling: UsageError where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_earlier(folder)
        (folder / "report.txt").write_text(text, encoding="utf-8")
        with (folder / "report.json").open("w", encoding="utf-8") as stream:
            stream.writelines(survey.json())
        chosen = {one.id: one for one in survey.told if one.findings or one.id in asked}
        too_long = {
            one.id: f"there is no ladder: {one.packets:,} segments are too many for one"
            for one in survey.told
            if one.packets > TOO_LONG
        }
        surveyed = Surveyed(folder, survey, way)
        _ladders(folder, sources(), chosen, surveyed, too_long)
        remarks = [f"connection {number}: {why}" for number, why in too_long.items() if number in chosen]
        remarks += extract(sources(), {number: folder / f"connection-{number}.pcap" for number in chosen})
        page.write(folder / "index.html", surveyed.finished(too_long))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}") from error
    if survey.chosen > len(survey.told) >= MOST:
        remarks.append(f"of the {survey.chosen:,} connections the {MOST:,} worst have files of their own")
    return remarks


def ladder_of(explained: Explained, limit: int | None) -> ladders.Ladder:
    """The ladder of a connection that was read with its segments."""
    return ladders.from_connection(
        explained.connection,
        title=f"connection {explained.id}",
        findings=explained.findings,
        icmp=explained.evidence.icmp_of(explained.connection),
        limit=limit,
    )


def again(sources: Sequence[Source], ids: Collection[int]) -> Iterator[Explained]:
    """The connections with these ids and their segments, of captures that are read once more: in the
    order in which they were over, each without its capture's flaw."""
    before = 0
    for source in sources:
        count = 0
        for explained in Reading(source, segments=ids, before=before):
            count += 1
            if explained.id in ids:
                yield explained
        before += count


def _remove_earlier(folder: Path) -> None:
    """Remove the connections of an earlier report: they would be taken for this one's."""
    for path in folder.glob("connection-*"):
        if re.fullmatch(r"connection-\d+\.(svg|txt|pcap)", path.name):
            path.unlink()


def _ladders(
    folder: Path,
    sources: Sequence[Source],
    chosen: Container[int],
    surveyed: Surveyed,
    too_long: Container[int],
) -> None:
    """Draw the ladders of those that are chosen into files, and the worst onto the page."""
    told = {one.id: one.findings for one in surveyed.told if one.id not in too_long}
    paged = drawn(one for one in surveyed.told if one.id in told)
    wanted = {number: told[number] for number in told if number in chosen or number in paged}
    for explained in again(sources, wanted):
        explained = explained.with_findings(wanted[explained.id])
        ladder = ladder_of(explained, page.LADDER)
        if explained.id in paged:
            surveyed.draw(explained, ladder)
        if explained.id in chosen:
            stem = f"connection-{explained.id}"
            (folder / f"{stem}.svg").write_text(svg.draw(ladder), encoding="utf-8")
            (folder / f"{stem}.txt").write_text(terminal.plain(ladder, TEXT_WIDTH), encoding="utf-8")
