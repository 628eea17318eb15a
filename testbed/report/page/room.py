"""How much a page holds, so that it opens at once and can be attached to a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ROWS: Final = 1000
"""Connections in the table."""

DRAWN: Final = 200
"""Connections with a ladder."""

LADDER: Final = 2000
"""Segments of one ladder."""

LADDERS: Final = 5000
"""Segments of all ladders: some 1.6 kB each."""


def fitting(candidates: Iterable[tuple[int, int]]) -> set[int]:
    """The ids of those that are drawn, of ``(id, segments)`` with what matters most first: each for which
    there is room left."""
    room = LADDERS
    ids: set[int] = set()
    for number, segments in candidates:
        drawn = min(segments, LADDER)
        if drawn <= room and len(ids) < DRAWN:
            room -= drawn
            ids.add(number)
    return ids
