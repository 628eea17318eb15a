"""Where output goes and how: width, colour, encoding, JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.text import Text

from ..errors import UsageError
from ..findings import Finding, Severity
from ..render import terminal
from ..render.escape import visible
from ..render.ladder import Ladder

NARROWEST, WIDEST = 80, 120


def console(to: TextIO | None = None, *, stderr: bool = False) -> Console:
    """A console that is plain where there is no terminal, and honours NO_COLOR; `to` is stdout."""
    return Console(file=to, stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def wrapping(to: TextIO | None = None) -> Console:
    """A console that breaks lines between words, for prose."""
    return Console(file=to, width=width(), highlight=False, markup=False, emoji=False)


def width() -> int:
    """Columns to draw in."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return 100
    return max(NARROWEST, min(WIDEST, console().width))


def ascii_only() -> bool:
    """Whether stdout's encoding cannot carry the lines and arrows that a ladder is drawn with."""
    try:
        "│─▶·".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def print_story(head: str, story: str, findings: Sequence[Finding], *, to: TextIO | None = None) -> None:
    """A connection in words: how it went, then each finding as a paragraph of its own."""
    out = wrapping(to)
    out.print(Text(head + visible(story)))
    for finding in findings:
        out.print()
        label = Text.assemble((f"{finding.severity} {finding.code}", STYLE[finding.severity]), ": ")
        for number, line in enumerate(finding.text.splitlines()):
            text = Text(visible(line))
            out.print(label + text if number == 0 else text)


def print_ladder(ladder: Ladder, *, to: TextIO | None = None) -> None:
    """Draw a ladder on stdout, or on another stream."""
    out = console(to)
    drawn = terminal.draw(
        ladder, width(), colour=out.is_terminal and not out.no_color, ascii_only=ascii_only()
    )
    out.print(drawn if isinstance(drawn, Text) else Text(drawn))


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout, and nothing else."""
    try:
        json.dump(document, sys.stdout, indent=2, ensure_ascii=True, default=str)
    except ValueError as error:
        raise UsageError(f"the result cannot be written as JSON: {error}") from error
    sys.stdout.write("\n")


markdown_option = click.option(
    "--markdown",
    "markdown_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Add a summary in Markdown to FILE, such as $GITHUB_STEP_SUMMARY.",
)
"""What the file is given by `append_markdown`."""


def append_markdown(path: Path, text: str) -> None:
    """Add to a file, which the commands of a CI job may share: $GITHUB_STEP_SUMMARY."""
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
    except OSError as error:
        raise UsageError(f"--markdown {path}: {error.strerror}") from error
