"""A ladder drawn: both lanes, the arrows between them, and beside them frame, time and state."""

from __future__ import annotations

from typing import NamedTuple

from .. import wording
from ..escape import cells, visible, wrap
from ..ladder import Arrow, Gap, GhostArrow, Ladder, Row, Side, StateRow, StepRow, Witness
from . import legend
from .canvas import CHAR, SMALL, Anchor, Canvas, number, safe
from .palette import COLOUR_OF_STATE, filled

MARGIN = 24
BAR = 8
STATE_CHARS = 13
NARROWEST_LANE, WIDEST_LANE = 400, 560
SLANT = 7
"""Pixels that an arrow falls from its sender to its receiver: time runs down."""

LOST_SHORT = 0.12
"""Part of the lane by which the arrow of a lost segment falls short."""


class _Bar(NamedTuple):
    """What one lane shows from `top` on."""

    top: float
    state: str
    witness: Witness


class Picture(Canvas):
    """One ladder on its way to shapes, from the top down.

    live  each captured segment can have the focus (see `testbed.render.svg.inline`)
    """

    margin = MARGIN
    under_ghost = 0
    """Pixels that the sender's state takes there."""

    def __init__(self, ladder: Ladder, *, live: bool = False) -> None:
        super().__init__()
        self.ladder = ladder
        self.live = live
        self.origin = ladder.origin_ns
        self.x: dict[Side, float] = {}
        self._lay_out()
        self.lane = self.x["server"] - self.x["client"]
        self.middle = (self.x["client"] + self.x["server"]) / 2
        self.y = float(self.margin)
        self.bars: dict[Side, _Bar | None] = {"client": None, "server": None}
        self.told: dict[Side, str] = {"client": "", "server": ""}
        self.guilty: set[Side] = set()
        self.used: set[str] = set()

    def _lay_out(self) -> None:
        """Where the columns are."""
        rows = self.ladder.rows
        stamps = [
            wording.seconds(row.time_ns - self.origin)
            for row in rows
            if isinstance(row, (Arrow, StepRow, StateRow))
        ]
        labels = [_length(row) for row in rows if isinstance(row, (Arrow, GhostArrow))]
        lane = min(max([NARROWEST_LANE, *(length + 70 for length in labels)]), WIDEST_LANE)
        frames = [len(str(row.frame)) for row in rows if isinstance(row, Arrow) and row.frame]
        # "frame" stands above the numbers
        self.frame_x = self.margin + max(5, *frames) * SMALL if frames else 0
        self.time_x = (self.frame_x + 14 if frames else self.margin) + max([7, *map(len, stamps)]) * CHAR
        state = STATE_CHARS * CHAR + 14
        self.x["client"] = self.time_x + state
        self.x["server"] = self.x["client"] + lane
        self.width = self.x["server"] + state + self.margin

    def draw(self) -> None:
        """All of it."""
        self._header()
        for row in self.ladder.rows:
            self._row(row)
        self.y += 12
        for side in self.bars:
            self._close(side, self.y)
        legend.draw(self, self.ladder.rows, self.used, self.margin, self.width - self.margin)
        self.height = self.y + self.margin

    def shapes(self) -> list[str]:
        """What was drawn, the lowest first."""
        return [*self.under, *self.over]

    # -------------------------------------------------------------- columns

    def _stamp(self, time_ns: int, y: float, side: Side | None = None) -> None:
        """A row's time; `side` is where there is something else."""
        self.text(self.time_x, y, wording.seconds(time_ns - self.origin), "dim", anchor="end")

    def _state(self, side: Side, y: float, ink: str = "ink") -> None:
        out = -1 if side == "client" else 1
        text = wrap(visible(self.told[side]), STATE_CHARS)[0]
        self.text(self.x[side] + out * 14, y, text, ink, anchor="end" if side == "client" else "")

    def _header(self) -> None:
        if self.ladder.title:
            self._title()
        if self.frame_x:
            self.text(self.frame_x, self.y + 30, "frame", "dim", small=True, anchor="end")
        self.text(self.time_x, self.y + 30, "seconds", "dim", small=True, anchor="end")
        names: tuple[tuple[Side, str], ...] = (("client", self.ladder.client), ("server", self.ladder.server))
        room = max(12, int((self.lane / 2 + STATE_CHARS * CHAR - 20) / CHAR))
        height = 0
        for side, name in names:
            # A name is centred over its lane, or leans on the edge of the picture where it is long.
            lines = wrap(visible(name), room)
            half = max(cells(line) for line in lines) * CHAR / 2
            x = self.x[side]
            x = (
                max(x, self.time_x + 20 + half)
                if side == "client"
                else min(x, self.width - self.margin - half)
            )
            self.text(x, self.y + 12, side, "dim", small=True, anchor="middle")
            for index, line in enumerate(lines):
                self.text(x, self.y + 30 + 17 * index, line, "ink title", anchor="middle")
            height = max(height, 17 * len(lines))
        self.y += 30 + height

    def _title(self) -> None:
        for line in wrap(visible(self.ladder.title), max(20, int((self.width - 2 * self.margin) / CHAR))):
            self.text(self.margin, self.y + 14, line, "ink title")
            self.y += 22
        self.y += 6

    # ---------------------------------------------------------------- bars

    def _enter(self, side: Side, state: str, witness: Witness, y: float) -> None:
        """One end's state from `y` on."""
        bar = self.bars[side]
        if state == self.told[side] and (bar is None or bar.witness == witness):
            return
        self._close(side, y)
        if state not in ("", "CLOSED"):
            self.bars[side] = _Bar(y, state, witness)
        if state != self.told[side]:
            self.told[side] = state
            self.guilty.discard(side)
            self._state(side, y + 4)
            if state == "CLOSED":
                self.path(f"M{number(self.x[side] - 8)} {number(y)}h16", "plain")

    def _close(self, side: Side, y: float) -> None:
        bar = self.bars[side]
        self.bars[side] = None
        if bar is None or y <= bar.top:
            return
        self.used.add(bar.witness)
        self.bar(self.x[side] - BAR / 2, bar.top, BAR, y - bar.top, filled(bar.state, bar.witness))

    # ---------------------------------------------------------------- rows

    def _row(self, row: Row) -> None:
        if isinstance(row, Arrow):
            top, before = self.y, len(self.over)
            self._arrow(row)
            if row.frame:
                self.over[before:] = self._group(row, top, self.over[before:])
        elif isinstance(row, GhostArrow):
            self._ghost(row)
        elif isinstance(row, StepRow):
            self._step(row)
        elif isinstance(row, StateRow):
            self._stamp(row.time_ns, self.y + 15, row.side)
            self._enter(row.side, row.state, row.witness, self.y + 11)
            self.y += 24
        elif isinstance(row, Gap):
            self._gap(f"{wording.duration(row.duration_ns)} of silence")
        else:
            self._gap(f"… {wording.omitted(row.count, row.duration_ns)}")

    def _group(self, row: Arrow, top: float, shapes: list[str]) -> list[str]:
        """What belongs to one segment, so that a pointer finds it."""
        told = safe(wording.spoken(row, self.origin))
        if not self.live:
            return [f"<g><title>{told}</title>", *shapes, "</g>"]
        size = f'width="{number(self.width)}" height="{number(self.y - top)}"'
        return [
            f'<g class="segment" data-frame="{row.frame}" role="listitem" tabindex="-1" aria-label="{told}">',
            f'<rect class="hit" x="0" y="{number(top)}" {size}/>',
            *shapes,
            "</g>",
        ]

    def _above(self, row: Arrow | GhostArrow, ink: str) -> None:
        """The notation, and small behind it the notes, over the middle of the lane."""
        notation, small = (visible(text) for text in _label(row))
        room = int((self.lane - 30) / CHAR)
        lines = wrap(notation, room)
        for line in lines[:-1]:
            self.text(self.middle, self.y + 14, line, ink, anchor="middle")
            self.y += 16
        if small and _length(row) > self.lane - 30:
            self.text(self.middle, self.y + 14, lines[-1], ink, anchor="middle")
            self.y += 16
            for line in wrap(small, room):
                self.text(self.middle, self.y + 13, line, "dim", small=True, anchor="middle")
                self.y += 14
            self.y -= 16
            return
        note = f'<tspan dx="10" class="{"t-bad" if ink == "bad" else "t-dim"} small">{safe(small)}</tspan>'
        self.over.append(
            f'<text x="{number(self.middle)}" y="{number(self.y + 14)}" class="t-{ink}" text-anchor="middle">'
            f"{safe(lines[-1])}{note if small else ''}</text>"
        )

    def _shaft(
        self, from_client: bool, ink: str, extra: str = "", *, lost: bool = False
    ) -> tuple[float, float]:
        """The arrow itself; returns where it leaves and where it comes in.  A lost one ends on its way."""
        top, bottom = self.y + 20, self.y + 20 + SLANT
        way = 1 if from_client else -1
        start = self.x["client" if from_client else "server"] + way * (BAR / 2 + 1)
        end = self.x["server" if from_client else "client"] - way * (BAR / 2 + 1)
        if lost:
            self.used.add("lost")
            end -= way * self.lane * LOST_SHORT
            self.path(f"M{number(start)} {number(top)}L{number(end)} {number(bottom)}", ink, extra)
            self.cross(end, bottom)
            return top, bottom
        self.path(f"M{number(start)} {number(top)}L{number(end - way * 6)} {number(bottom)}", ink, extra)
        self.over.append(f'<path class="f-{ink}" d="M{number(end)} {number(bottom)}l{-way * 10} -4.5v9z"/>')
        return top, bottom

    def _arrow(self, row: Arrow) -> None:
        ink = wording.kind(row)
        self._above(row, ink)
        top, bottom = self._shaft(row.from_client, ink, lost=row.lost)
        self._stamp_arrow(row, top + 4)
        client, server = (top, bottom) if row.from_client else (bottom, top)
        self._enter("client", row.client_state, row.client_witness, client)
        self._enter("server", row.server_state, row.server_witness, server)
        self.y += 34
        self._marks(row)

    def _stamp_arrow(self, row: Arrow, y: float) -> None:
        if row.frame:
            self.text(self.frame_x, y, str(row.frame), "dim", small=True, anchor="end")
        self._stamp(row.time_ns, y)

    def _marks(self, row: Arrow) -> None:
        for mark in row.marks:
            self.used.add("mark")
            severity = {"error": "bad", "warning": "warn"}.get(mark.severity, "info")
            self._beneath(f"▲ {mark.code}", severity)

    def _ghost(self, row: GhostArrow) -> None:
        self.used.add("ghost")
        self._above(row, "bad")
        top, _ = self._shaft(row.from_client, "bad", " dashed")
        side: Side = "client" if row.from_client else "server"
        self.cross(self.x[side], top)
        self.guilty.add(side)
        self._state(side, top + 4, "bad title")
        self.y += 34 + self.under_ghost
        self._beneath(row.why, "bad")
        self.y += 4

    def _beneath(self, text: str, ink: str) -> None:
        for line in wrap(visible(text), int((self.lane - 30) / SMALL)):
            self.text(self.middle, self.y + 10, line, ink, small=True, anchor="middle")
            self.y += 15

    def _step(self, row: StepRow) -> None:
        self.used.add("step")
        self._stamp(row.time_ns, self.y + 15, row.side if row.side != "lab" else None)
        left, right = self.x["client"], self.x["server"]
        places: dict[str, tuple[float, Anchor]] = {"client": (left + 26, ""), "server": (right - 26, "end")}
        x, anchor = places.get(row.side, (self.middle, "middle"))
        for index, line in enumerate(wrap(visible(row.text), self._step_room())):
            if row.side != "lab" and not index:
                self.dot(left + 15 if row.side == "client" else right - 15, self.y + 11, "step")
            self.text(x, self.y + 15, line, "step", anchor=anchor)
            self.y += 18
        self.y += 4

    def _step_room(self) -> int:
        return int((self.lane - 50) / CHAR)

    def _gap(self, text: str) -> None:
        """Both lanes torn, and what the tear stands for."""
        self.y += 6
        for side, bar in list(self.bars.items()):
            x = self.x[side]
            self._close(side, self.y)
            zigzag = f"M{number(x)} {number(self.y)}l5 4l-10 8l10 8l-10 8l5 4"
            if bar:
                colour = COLOUR_OF_STATE.get(bar.state, "other")
                self.over.append(f'<path class="z-{colour}" d="{zigzag}"/>')
                self.bars[side] = _Bar(self.y + 32, bar.state, bar.witness)
                self._held(side)
        self.text(self.middle, self.y + 20, text, "dim", anchor="middle")
        self.y += 38

    def _held(self, side: Side) -> None:
        """The state that outlasts a gap, once more."""
        self._state(side, self.y + 20, "bad title" if side in self.guilty else "dim")


def _length(row: Arrow | GhostArrow) -> float:
    """Pixels of what stands above an arrow."""
    notation, small = _label(row)
    return cells(visible(notation)) * CHAR + (10 + cells(visible(small)) * SMALL if small else 0)


def _label(row: Arrow | GhostArrow) -> tuple[str, str]:
    if isinstance(row, Arrow):
        return wording.undirected(row.notation), wording.remarks(row)
    return wording.undirected(row.text), "never sent"
