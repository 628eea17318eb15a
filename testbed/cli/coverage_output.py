"""The state machine's edges on the terminal, as JSON's rows, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.text import Text

from ..errors import UsageError
from ..render import diagram
from ..render.diagram import Standing
from ..scenarios.coverage import Counts, Covered, counts
from .output import ascii_only, console, width, wrapping

TITLE: Final = "RFC 9293 figure 5, as it was seen walked"
LETTERS: Final = {"tracepoint": "T", "sock_diag": "D", "frozen": "F"}
KEY: Final = """\
kernel: T tracepoint, D socket tables (sock_diag), F the same while the link held a segment
wire: W a segment shows it, - no segment can"""
STYLE: Final[dict[Standing, str]] = {
    "walked": "green",
    "wire only": "yellow",
    "not walked": "bold red",
    "not in Linux": "dim",
}
BEFORE_NAMES: Final = 71
"""Columns before the scenarios' names."""


def print_coverage(rows: Sequence[Covered]) -> None:
    """The table: Figure 5 first, then what only the text has."""
    out = console()
    figure = [row for row in rows if row.edge.in_figure_5]
    text = [row for row in rows if not row.edge.in_figure_5]
    for title, group in ((TITLE, figure), ("Resets (3.10.7), and what figure 5 leaves out", text)):
        out.print(Text.assemble((f"{title:58}", "bold"), (f"{'kernel':7}{'wire':6}scenarios", "dim")))
        for row in group:
            out.print(_line(row, _absent(rows)))
        out.print()
    out.print(Text(KEY, "dim"))
    out.print()
    for number, row in enumerate(_absent(rows), 1):
        head = f"({number}) {row.edge.state} to {row.edge.next}, {row.edge.event}: "
        wrapping().print(Text.assemble((head, "dim"), row.reason))
    out.print()
    out.print(f"figure 5: {_told(counts(figure))}")
    out.print(f"beside it: {_told(counts(text))}")


def _absent(rows: Sequence[Covered]) -> list[Covered]:
    """Those that Linux has not, in the order of their notes."""
    return [row for row in rows if row.standing == "not in Linux"]


def _line(row: Covered, absent: Sequence[Covered]) -> Text:
    plain = ascii_only()
    edge = f"{row.edge.state:13}{row.edge.event:28} {'>' if plain else '→'} {row.edge.next:14}"
    edge_text = (edge, STYLE[row.standing])
    if row.standing == "not in Linux":
        return Text.assemble(edge_text, (f"not in Linux ({absent.index(row) + 1})", "dim"))
    none = "." if plain else "·"
    letters = " ".join(letter if who in row.seen else none for who, letter in LETTERS.items())
    wire = "W" if row.wire else " " if row.on_wire else "-"
    return Text.assemble(edge_text, f"{letters:8}{wire:5}", _some(row.kernel) or row.standing)


def _some(names: Sequence[str]) -> str:
    """As many names as the line has room for, and how many more there are."""
    room = max(width() - BEFORE_NAMES, 28)
    told = ""
    for number, name in enumerate(names):
        left = len(names) - number - 1
        more = f"{told}{', ' if told else ''}{name}"
        if told and len(more) + (len(f" and {left} more") if left else 0) > room:
            return f"{told} and {left + 1} more"
        told = more
    return told


def _told(counted: Counts) -> str:
    return (
        f"{counted.kernel} of the {counted.edges} edges that Linux has were seen walked by the kernel, "
        f"{counted.wire} of the {counted.visible} that a segment shows on the wire"
    )


def write_picture(path: Path, rows: Sequence[Covered], option: str) -> None:
    """Draw it; UsageError where it cannot be written."""
    drawn = [diagram.DrawnEdge(row.edge, row.standing, row.reason or ", ".join(row.kernel)) for row in rows]
    try:
        path.write_text(diagram.draw(drawn, TITLE, _told(counts(rows))), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from error
