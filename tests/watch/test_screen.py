"""What is written to a terminal, read back by a terminal of few words: lines, up, clear."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from testbed.watch.screen import Screen

_PART = re.compile(r"\x1b\[(\?)?(\d*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Paper:
    """Lines as a terminal keeps them, scrolled-off ones too; never narrower than what is written."""

    def __init__(self) -> None:
        self.lines = [""]
        self.at = 0

    def write(self, text: str) -> None:
        for private, number, letter, carriage, newline, words in _PART.findall(text):
            if letter == "A":
                self.at -= int(number or 1)
                assert self.at >= 0
            elif letter == "J" and not private:
                self.lines = [*self.lines[: self.at], ""]
            elif newline:
                self.at += 1
                if self.at == len(self.lines):
                    self.lines.append("")
            elif words:
                self.lines[self.at] += words
            else:
                assert carriage or private or letter == "m", letter


class Played:
    """A screen and the paper that it writes on."""

    def __init__(self, width: int = 80) -> None:
        self.stream = io.StringIO()
        self.console = Console(file=self.stream, force_terminal=True, width=width, height=24)
        self.screen = Screen(self.stream, self.console)

    @property
    def lines(self) -> list[str]:
        paper = Paper()
        paper.write(self.stream.getvalue())
        return [line for line in paper.lines if line]


@pytest.fixture
def played() -> Played:
    return Played()


def texts(*lines: str) -> list[Text]:
    return [Text(line) for line in lines]


def test_the_region_is_replaced_and_what_is_above_it_stays(played: Played) -> None:
    played.screen.draw([], texts("table 1", "row"))
    played.screen.draw(texts("event a"), texts("table 2", "row", "row"))
    played.screen.draw(texts("event b", "event c"), texts("table 3"))
    assert played.lines == ["event a", "event b", "event c", "table 3"]
    played.screen.close()
    assert played.lines == ["event a", "event b", "event c"]


def test_what_has_not_changed_is_not_written(played: Played) -> None:
    played.screen.draw([], texts("table"))
    written = played.stream.getvalue()
    played.screen.draw([], texts("table"))
    assert played.stream.getvalue() == written


def test_a_drawing_is_one_piece_that_the_terminal_is_to_show_at_once(played: Played) -> None:
    played.screen.draw([], texts("table"))
    written = played.stream.getvalue()
    assert written.startswith("\x1b[?2026h") and written.endswith("\x1b[?2026l")


def test_a_terminal_that_became_narrower_has_broken_the_lines(played: Played) -> None:
    """Two lines of 60 columns are four of 40: it goes up to where the first one begins."""
    played.screen.draw([], texts("x" * 60, "y" * 60))
    played.console.width = 40
    before = len(played.stream.getvalue())
    played.screen.draw([], texts("table"))
    assert "\x1b[3A" in played.stream.getvalue()[before:]


def test_the_last_column_and_lines_above_stay_free(played: Played) -> None:
    assert played.screen.size == (79, 22)


def test_no_colour_is_written_where_none_is_wanted() -> None:
    stream = io.StringIO()
    screen = Screen(stream, Console(file=stream, force_terminal=True, no_color=True, width=80, height=24))
    screen.draw([Text("leak", "red")], [Text("row", "green")])
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", stream.getvalue())
