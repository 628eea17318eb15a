"""A ladder as SVG: a file that opens in any viewer, light or dark, and loads nothing; or a part of a page.

Only what old viewers know too: shapes, text, patterns, classes.  The colours stand in one style
sheet, a second set under ``prefers-color-scheme: dark``; a viewer that ignores it shows the light
one.  Every text passes `escape.visible` and is escaped for XML.

    frame | time | state | bar ------ lane ------ bar | state

The bars are the states: solid where the kernel told them, hatched where the segments imply them.

    palette   colours, patterns, the style sheet
    canvas    texts and lines, from the top down
    picture   the ladder on it
    narrow    the same for a telephone: no columns beside the lanes
    legend    what the signs mean
    states    both ends' states along the time, by witness
"""

from __future__ import annotations

from ..escape import visible
from ..ladder import Ladder
from .canvas import CHAR, SMALL, element, number, safe
from .narrow import NarrowPicture
from .palette import COLOUR_OF_STATE, COLOURS, definitions, style_sheet
from .picture import Picture


def draw(ladder: Ladder) -> str:
    """The ladder as the text of an SVG 1.1 file.  A pointer on a segment shows its frame and its time."""
    picture = Picture(ladder)
    picture.draw()
    width, height = number(picture.width), number(picture.height)
    size = f'width="{width}" height="{height}"'
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} viewBox="0 0 {width} {height}">',
            f"<title>{safe(_name(ladder))}</title>",
            f"<style>{style_sheet()}</style>",
            definitions(),
            f'<rect class="paper" {size}/>',
            *picture.shapes(),
            "</svg>",
            "",
        )
    )


def inline(ladder: Ladder, *, narrow: bool = False) -> str:
    """The ladder as an element of an HTML page, which has `style_sheet` and `definitions` once.

    Each captured segment is a group of class ``segment`` with its frame in ``data-frame``, that can have the
    focus; what it is stands in its ``aria-label``.
    """
    picture = (NarrowPicture if narrow else Picture)(ladder, live=True)
    picture.draw()
    return element(
        picture.shapes(),
        f"ladder {'narrow' if narrow else 'wide'}",
        _name(ladder),
        picture.width,
        picture.height,
    )


def _name(ladder: Ladder) -> str:
    return visible(ladder.title or f"{ladder.client} and {ladder.server}")


__all__ = [
    "CHAR",
    "COLOURS",
    "COLOUR_OF_STATE",
    "SMALL",
    "definitions",
    "draw",
    "inline",
    "style_sheet",
]
