"""Results as text for a terminal, and as the page BENCHMARKS.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .measure import Result
from .table import Row

HEADINGS = ("", "sees", "min", "median", "max", "to ours", "")


class Measured(NamedTuple):
    """One row with what came of it."""

    row: Row
    title: str
    circumstances: list[str]
    results: list[Result]


def in_text(measured: Measured) -> str:
    """One row: its title, a line for each contender, the columns aligned."""
    table = [HEADINGS, *_cells(measured.results)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    lines = [measured.title, *(f"  {line}" for line in measured.circumstances)]
    for line in table:
        first = f"  {line[0]:<{widths[0]}}"
        numbers = (f"{cell:>{width}}" for cell, width in zip(line[1:-1], widths[1:-1], strict=True))
        lines.append("  ".join([first, *numbers, line[-1]]).rstrip())
    return "\n".join(lines)


def in_markdown(measured: Sequence[Measured], machine: Sequence[str], command: str) -> str:
    """All rows as a page."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{command}`. The figures are this machine's; the ratios are what is promised. A row's",
        "contenders take turns in one run, and each round begins with another. Times are for doing the job",
        "once; `to ours` is a median held against that of the row's first line.",
        "",
        *(f"- {line}" for line in machine),
        "",
    ]
    for one in measured:
        lines += [f"## {one.title}", "", one.row.promise]
        lines += [f"{line[:1].upper()}{line[1:]}." for line in one.circumstances]
        lines += ["", f"| {' | '.join(HEADINGS[:-1])} | includes |", "|---|" + "---:|" * 5 + "---|"]
        lines += [f"| {' | '.join(cells)} |" for cells in _cells(one.results)]
        lines.append("")
    return "\n".join(lines)


def _cells(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    ours = next(one for one in results if one.ours)
    for one in results:
        if one.why:
            yield one.name, "", "", "", "", "", one.why
            continue
        times = (duration(of) for of in (min(one.seconds), one.median, max(one.seconds)))
        yield one.name, f"{one.seen:,}", *times, ratio(one.median / ours.median), one.note


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            return f"{seconds / size:.3g} {unit}"
    raise AssertionError("the last unit takes everything")


def ratio(value: float) -> str:
    """How many times ours it is: ``1``, ``1.4``, ``15``."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
