"""The part of a terminal that is drawn again and again, below lines that stay.

Lines that stay are printed above it and scroll away as in any log.  Only what has changed is written,
in one piece, and between the marks with which a terminal is asked to show it at once; so nothing
flickers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from ..render.escape import cells

_UP, _COLUMN_1, _CLEAR_BELOW = "\x1b[{}A", "\r", "\x1b[J"
_HOLD, _RELEASE = "\x1b[?2026h", "\x1b[?2026l"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
SPARE: Final = 2
"""Lines of the terminal that the region leaves to what is above it."""


class Screen:
    """A region at the bottom of what was printed so far.  The terminal is left in no other mode than it
    was in, after each drawing: so nothing is to be put right when the process is stopped or killed."""

    def __init__(self, stream: TextIO, console: Console) -> None:
        self._stream = stream
        self._console = console
        self._copy = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system=console.color_system,  # type: ignore[arg-type]  # it is one of those it takes
            no_color=console.no_color,
            width=10_000,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._lines: list[str] = []
        self._plain: list[str] = []
        self._width = 0

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines to draw in; the last column stays free, so that nothing wraps."""
        width, height = self._console.size
        return max(20, width - 1), max(3, height - SPARE)

    def draw(self, above: Sequence[Text], region: Sequence[Text]) -> None:
        """Print `above`, to stay, and `region` in the place of the region before."""
        width = self._console.size.width
        lines = [self._coded(text) for text in region]
        if not above and lines == self._lines and width == self._width:
            return
        out = [_HOLD, self._to_the_top(width), _CLEAR_BELOW]
        out += [self._coded(text) + "\n" for text in above]
        out += [_NO_WRAP, "\n".join(lines), _WRAP] if lines else []
        out.append(_RELEASE)
        self._lines, self._plain, self._width = lines, [text.plain for text in region], width
        self._write("".join(out))

    def close(self) -> None:
        """Take the region away; what stays is what was printed above it."""
        self._write(self._to_the_top(self._console.size.width) + _CLEAR_BELOW)
        self._lines, self._plain = [], []

    def _to_the_top(self, width: int) -> str:
        """To where the region began.  A terminal that became narrower has broken its lines in pieces."""
        if not self._plain:
            return ""
        pieces = [max(1, -(-cells(line) // width)) if width < self._width else 1 for line in self._plain]
        up = sum(pieces) - 1
        return _COLUMN_1 + (_UP.format(up) if up else "")

    def _coded(self, text: Text) -> str:
        """`text` with the colours of this terminal."""
        with self._copy.capture() as copied:
            self._copy.print(text, end="", soft_wrap=True)
        return copied.get()

    def _write(self, data: str) -> None:
        self._stream.write(data)
        self._stream.flush()
