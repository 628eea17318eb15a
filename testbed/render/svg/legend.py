"""What the signs of a picture mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from .. import wording
from ..ladder import Row
from .canvas import SMALL, Canvas, number


class Sign(NamedTuple):
    """A sign of which `key` is noted where it is used, `room` pixels wide with the space behind it."""

    key: str
    shape: str
    room: int
    text: str


SIGNS = (
    Sign("kernel", '<rect width="8" height="14" class="s-closing"/>', 16, "state seen by the kernel"),
    Sign("wire", '<rect width="8" height="14" class="h-closing"/>', 16, "state the segments imply"),
    Sign("ghost", '<path class="l-bad dashed" d="M0 7h22"/>', 28, "never sent"),
    Sign(
        "lost",
        '<path class="l-plain" d="M0 7h12"/><path class="l-bad" d="M11 3l8 8m0 -8l-8 8"/>',
        28,
        "did not arrive",
    ),
    Sign("step", '<circle class="f-step" cx="4" cy="7" r="4"/>', 16, "program"),
    Sign("mark", '<path class="f-dim" d="M0 11l5 -9l5 9z"/>', 16, "finding"),
)


def draw(canvas: Canvas, rows: Sequence[Row], used: Collection[str], left: float, right: float) -> None:
    """The signs that are `used`, and the flag letters in `rows`, in lines from `left` to `right`."""
    canvas.y += 16
    x = left
    for sign in (sign for sign in SIGNS if sign.key in used):
        length = sign.room + len(sign.text) * SMALL + 22
        if x + length > right and x > left:
            x, canvas.y = left, canvas.y + 20
        canvas.over.append(f'<g transform="translate({number(x)} {number(canvas.y)})">{sign.shape}</g>')
        canvas.text(x + sign.room, canvas.y + 11, sign.text, "dim", small=True)
        x += length
    if x > left:
        canvas.y += 20
    x = left
    flags = wording.flags_used(rows)
    for letter, word in flags:
        told = f"{letter} {word}"
        if x + len(told) * SMALL > right and x > left:
            x, canvas.y = left, canvas.y + 16
        canvas.text(x, canvas.y + 11, told, "dim", small=True)
        x += (len(told) + 3) * SMALL
    if flags:
        canvas.y += 16
