"""A folder with the report, and for each connection with findings its ladder and its packets.

report.json                         the document `testbed.explain/1`, of all that was chosen
report.txt                          the summary, and the worst connections in words
connection-7.svg, connection-7.txt  the ladder
connection-7.pcap                   its packets: bytes, times and lengths are the capture's
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
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

MOST: Final = 1000
"""Connections of which a folder holds ladder and packets, the worst ones; report.json has all."""

LADDER_SEGMENTS: Final = 2000
"""The most segments of a connection that a ladder in a file shows."""

TOO_LONG: Final = 100_000
"""Segments; of a longer connection there is no ladder: its packets are in its capture."""

TEXT_WIDTH: Final = 110

Opener = Callable[[], Sequence[Source]]
"""Opens the captures again, from their beginnings."""


def write(folder: Path, sources: Opener, survey: Survey, text: str, asked: Collection[int] = ()) -> list[str]:
    """Write the folder; returns remarks, a line each, on what it does not hold and why.

    survey   has kept its rows, and tells at least as many connections as are to be written
    text     the report for reading
    asked    connections that are written even without findings

    Error handling: UsageError where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_earlier(folder)
        (folder / "report.txt").write_text(text, encoding="utf-8")
        with (folder / "report.json").open("w", encoding="utf-8") as stream:
            stream.writelines(survey.json())
        chosen = [one for one in survey.told if one.findings or one.id in asked]
        remarks = [*_ladders(folder, sources(), chosen)]
        remarks += extract(sources(), {one.id: folder / f"connection-{one.id}.pcap" for one in chosen})
        with (folder / "index.html").open("w", encoding="utf-8") as stream:
            stream.writelines(page.pieces(survey, chosen, {path.name for path in folder.iterdir()}))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}") from error
    if survey.chosen > len(survey.told) >= MOST:
        remarks.append(f"of the {survey.chosen:,} connections the {MOST:,} worst have files of their own")
    return remarks


def ladder_of(explained: Explained, limit: int | None) -> ladders.Ladder:
    """The ladder of a connection that was read with its segments."""
    return ladders.from_connection(
        explained.connection, title=f"connection {explained.id}", findings=explained.findings, limit=limit
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


def _ladders(folder: Path, sources: Sequence[Source], chosen: Collection[Explained]) -> Iterator[str]:
    short = {one.id: one.findings for one in chosen if one.packets <= TOO_LONG}
    for explained in again(sources, short):
        ladder = ladder_of(explained.with_findings(short[explained.id]), LADDER_SEGMENTS)
        stem = f"connection-{explained.id}"
        (folder / f"{stem}.svg").write_text(svg.draw(ladder), encoding="utf-8")
        drawn = terminal.draw(ladder, TEXT_WIDTH)
        (folder / f"{stem}.txt").write_text(f"{drawn}\n", encoding="utf-8")
    for one in chosen:
        if one.id not in short:
            yield f"connection {one.id} has no ladder: {one.packets:,} segments are too many for one"
