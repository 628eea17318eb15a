"""Both ends' states along the time, a line for each witness: solid the kernel's word, hatched the wire's.

A connection lives for minutes and changes its states within microseconds: so the width of a piece of
time grows with the logarithm of its length, and each instant is told in seconds below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from .. import wording
from ..escape import visible
from ..ladder import Side, Witness
from .canvas import CHAR, SMALL, Canvas, element, number, safe
from .palette import filled

WIDTH = 900
NAMES = 17 * SMALL
"""Pixels for a line's name: ``client tracepoint``."""
LINE, BAR = 26, 16
MARGIN = 8
TAIL = 40
"""Pixels by which a state that lasted until the end goes on: it did not end there."""


class Change(NamedTuple):
    """A state that a witness saw one end come to: ``wire``, ``tracepoint``, ``sock_diag``, ``psutil``.

    state  "" from where on it saw nothing more
    """

    time_ns: int
    side: Side
    state: str
    witness: str


def draw(changes: Sequence[Change], origin_ns: int, end_ns: int) -> str:
    """The lines as an element of an HTML page; "" where there are none.

    origin_ns   the time that is drawn as 0
    end_ns      until when the last states lasted
    """
    if not changes:
        return ""
    ordered = sorted(changes, key=lambda change: change.time_ns)
    end_ns = max(end_ns, ordered[-1].time_ns)
    canvas = Canvas()
    canvas.y = MARGIN
    places = _places([*(change.time_ns for change in ordered), end_ns])
    for side in ("client", "server"):
        mine = [change for change in ordered if change.side == side]
        wire = [change for change in mine if change.witness == "wire"]
        kernel = [change for change in mine if change.witness != "wire"]
        if kernel:
            _line(canvas, f"{side} kernel", kernel, places, end_ns, "kernel")
        if wire:
            _line(canvas, f"{side} wire", wire, places, end_ns, "wire")
    _scale(canvas, places, origin_ns)
    return element([*canvas.under, *canvas.over], "states", "states by witness", WIDTH, canvas.y + MARGIN)


def _places(times: Sequence[int]) -> dict[int, float]:
    """Where each instant lies."""
    instants = sorted(set(times))
    weights = [0.0, *(0.3 + math.log10(1 + (b - a) / 1000) for a, b in pairwise(instants))]
    whole = sum(weights) or 1.0
    places: dict[int, float] = {}
    at = 0.0
    for instant, weight in zip(instants, weights, strict=True):
        at += weight
        places[instant] = NAMES + at / whole * (WIDTH - NAMES - MARGIN - TAIL)
    return places


def _line(
    canvas: Canvas,
    name: str,
    changes: Sequence[Change],
    places: dict[int, float],
    end_ns: int,
    witness: Witness,
) -> None:
    middle = canvas.y + LINE / 2
    canvas.text(NAMES - 10, middle + 4, name, "dim", small=True, anchor="end")
    ends = [change.time_ns for change in changes[1:]] + [end_ns]
    for change, until in zip(changes, ends, strict=True):
        left, right = places[change.time_ns], places[until] + (TAIL if until == end_ns else 0)
        told = safe(f"{name}: {change.state} for {wording.span(until - change.time_ns)} ({change.witness})")
        if not change.state:
            continue
        if change.state == "CLOSED":
            canvas.path(f"M{number(left)} {number(middle - BAR / 2 - 2)}v{BAR + 4}", "plain")
            continue
        x, y, width = number(left), number(middle - BAR / 2), number(max(1.0, right - left))
        shape = (
            f'<rect x="{x}" y="{y}" width="{width}" height="{BAR}" class="{filled(change.state, witness)}"/>'
        )
        canvas.over.append(f'<g role="listitem" aria-label="{told}"><title>{told}</title>{shape}</g>')
        state = visible(change.state)
        length = len(state) * SMALL
        if length + 8 <= right - left:
            canvas.over.append(
                f'<rect class="paper" x="{number(left + 3)}" y="{number(middle - 6)}"'
                f' width="{number(length + 6)}" height="12" rx="2"/>'
            )
            canvas.text(left + 6, middle + 4, state, "ink", small=True)
    canvas.y += LINE


def _scale(canvas: Canvas, places: dict[int, float], origin_ns: int) -> None:
    """The instants that there is room for, in seconds."""
    free = 0.0
    for instant, x in places.items():
        told = wording.seconds(instant - origin_ns)
        half = len(told) * SMALL / 2
        middle = min(x, WIDTH - half)
        if middle - half >= free:
            canvas.path(f"M{number(x)} {number(canvas.y)}v4", "dim")
            canvas.text(middle, canvas.y + 16, told, "dim", small=True, anchor="middle")
            free = middle + half + CHAR
    canvas.y += 18
