"""A ladder for a telephone: the lanes at both edges, frame, time and states between them."""

from __future__ import annotations

from .. import wording
from ..escape import cells, visible, wrap
from ..ladder import Arrow, GhostArrow, Side
from .canvas import CHAR, SMALL
from .picture import BAR, Picture

WIDTH = 352
"""Pixels, which a telephone has in its own measure."""


class NarrowPicture(Picture):
    """As `Picture`, `WIDTH` pixels wide."""

    margin = 6
    under_ghost = 12
    below = False  # a state is told below the present arrow

    def _lay_out(self) -> None:
        self.width = WIDTH
        self.x["client"] = self.margin + BAR / 2
        self.x["server"] = self.width - self.margin - BAR / 2

    def _header(self) -> None:
        if self.ladder.title:
            self._title()
        for line in wrap(visible(f"client {self.ladder.client}"), int(self.lane / CHAR)):
            self.text(self.margin, self.y + 14, line, "ink title")
            self.y += 17
        for line in wrap(visible(f"server {self.ladder.server}"), int(self.lane / CHAR)):
            self.text(self.width - self.margin, self.y + 14, line, "ink title", anchor="end")
            self.y += 17
        self.y += 6

    def _stamp(self, time_ns: int, y: float, side: Side | None = None) -> None:
        text = wording.seconds(time_ns - self.origin)
        if side == "client":
            self.text(self.x["server"] - 12, y, text, "dim", small=True, anchor="end")
        else:
            self.text(self.x["client"] + 12, y, text, "dim", small=True)

    def _stamp_arrow(self, row: Arrow, y: float) -> None:
        """It stands above the arrow already."""

    def _above(self, row: Arrow | GhostArrow, ink: str) -> None:
        """Frame and time, and behind them, or below where there is no room, the notation."""
        notation = visible(wording.undirected(row.notation if isinstance(row, Arrow) else row.text))
        left, right = self.x["client"] + 12, self.x["server"] - 12
        if isinstance(row, Arrow):
            stamp = f"{row.frame or ''}  {wording.seconds(row.time_ns - self.origin)}".strip()
            self.text(left, self.y + 14, stamp, "dim", small=True)
            taken = left + len(stamp) * SMALL + 10
            if taken + cells(notation) * CHAR <= right:
                left = taken
            else:
                self.y += 14
        else:
            self.text(left, self.y + 14, "never sent", "bad", small=True)
            self.y += 14
        lines = wrap(notation, int((right - left) / CHAR))
        for line in lines:
            self.text((left + right) / 2, self.y + 14, line, ink, anchor="middle")
            self.y += 16
        self.y -= 16

    def _marks(self, row: Arrow) -> None:
        if row.notes or row.fault:
            self._beneath(wording.remarks(row), "dim")
        super()._marks(row)

    def _state(self, side: Side, y: float, ink: str = "ink") -> None:
        text = visible(self.told[side])
        inwards = 12 if side == "client" else -12
        self.text(self.x[side] + inwards, y + 11, text, ink, small=True, anchor="" if inwards > 0 else "end")
        self.below = True

    def _arrow(self, row: Arrow) -> None:
        self.below = False
        super()._arrow(row)
        if self.below and not (row.notes or row.fault or row.marks):
            self.y += 12

    def _step_room(self) -> int:
        return int((self.lane - 50 - 10 * SMALL) / CHAR)

    def _held(self, side: Side) -> None:
        """There is no room for it."""
