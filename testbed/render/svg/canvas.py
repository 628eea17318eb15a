"""What a picture is put together from: texts and lines on a sheet that is filled from the top down."""

from __future__ import annotations

from html import escape
from typing import Literal

from ..escape import visible

CHAR = 7.9
"""Pixels of one character of the 13-pixel monospace font, a little more than most have."""
SMALL = 6.7
"""The same for the 11-pixel one."""

Anchor = Literal["", "middle", "end"]


class Canvas:
    """`y` is where the next row begins.  What is in `under` is drawn before all that is in `over`."""

    def __init__(self) -> None:
        self.y = 0.0
        self.under: list[str] = []
        self.over: list[str] = []

    def text(
        self, x: float, y: float, text: str, ink: str, *, small: bool = False, anchor: Anchor = ""
    ) -> None:
        """One line of text; `ink` is a name of `palette.INK` and perhaps a class more."""
        classes = f"t-{ink} small" if small else f"t-{ink}"
        where = f' text-anchor="{anchor}"' if anchor else ""
        self.over.append(
            f'<text x="{number(x)}" y="{number(y)}" class="{classes}"{where}>{safe(text)}</text>'
        )

    def path(self, points: str, ink: str, extra: str = "") -> None:
        """A line."""
        self.over.append(f'<path class="l-{ink}{extra}" d="{points}"/>')

    def dot(self, x: float, y: float, ink: str) -> None:
        """A full circle."""
        self.over.append(f'<circle class="f-{ink}" cx="{number(x)}" cy="{number(y)}" r="4"/>')

    def cross(self, x: float, y: float) -> None:
        """What ends where it should not."""
        points = f"M{number(x - 7)} {number(y - 7)}l14 14m0 -14l-14 14"
        self.over.append(f'<path class="halo" d="{points}"/>')
        self.path(points, "bad", " thick")

    def bar(self, x: float, top: float, width: float, height: float, kind: str) -> None:
        """A filled rectangle, below all that is drawn over it."""
        self.under.append(
            f'<rect x="{number(x)}" y="{number(top)}" width="{number(width)}" height="{number(height)}"'
            f' class="{kind}"/>'
        )


def element(shapes: list[str], kind: str, name: str, width: float, height: float) -> str:
    """A drawing as an element of an HTML page: a list, whose items are the shapes that say so."""
    wide, high = number(width), number(height)
    head = f'<svg class="{kind}" role="list" aria-label="{safe(name)}" width="{wide}" height="{high}"'
    return "\n".join((f'{head} viewBox="0 0 {wide} {high}">', *shapes, "</svg>"))


def safe(text: str) -> str:
    """Text that is text in XML and in HTML, in elements and in quoted attributes."""
    return escape(visible(text), quote=True)


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
