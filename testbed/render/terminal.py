"""A ladder as text, 80 columns and up: made to be read in a terminal and pasted into a bug report.

     time      state  lane          notation and notes                lane  state
     0.000000   SYN_SENT ┊──────── S 0:0(0) ──────────────────────────────▶┊ SYN_RECEIVED

Two or more columns (CJK) are reckoned with; a character that has none is spelled out
(`escape.visible`).  Nothing is lost to narrowness: what does not fit on its arrow stands above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from . import wording
from .escape import cells, clip, visible, wrap
from .ladder import Arrow, Gap, GhostArrow, Ladder, Row, Side, StateRow, StepRow, Witness

if TYPE_CHECKING:
    from rich.text import Text

NARROWEST = 60
"""Columns; a narrower width is drawn as this."""

STATE = 12
"""The most columns of a state's name: SYN_RECEIVED, the longest, has 12."""

BESIDE = 4
"""Columns of an arrow that its label leaves free, blanks and head among them."""

WIDEST_LANE = 84
LOST_SHORT = 3
"""Columns by which the arrow of a lost segment falls short; no label leaves less (`_Drawing._offset`)."""
FRAMES_FROM = 96
"""From this width on there is room for the frame numbers, whatever else there is."""

STYLES = {
    "title": "bold",
    "end": "bold",
    "time": "dim",
    "frame": "dim",
    "state": "cyan",
    "bar": "cyan",
    "plain": "",
    "syn": "green",
    "fin": "bold yellow",
    "rst": "bold red",
    "keepalive": "magenta",
    "note": "dim",
    "step": "blue",
    "gap": "dim",
    "ghost": "red",
    "guilty": "bold red",
    "error": "bold red",
    "warning": "yellow",
    "info": "blue",
    "legend": "dim",
}
"""rich's style of each kind of text.  Eight terminal colours only: the user's theme decides the shades."""

T = TypeVar("T")
Piece = tuple[str, str]
Line = list[Piece]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What a ladder is drawn with; each takes one column (`ellipsis`: any number)."""

    kernel: str
    wire: str
    ended: str
    dash: str
    right: str
    left: str
    ghost: str
    guilty: str
    gap: str
    step: str
    point: str
    ellipsis: str


UNICODE = Glyphs("┃", "┊", "┴", "─", "▶", "◀", "╌", "✗", "⋮", "●", "▲", "…")
ASCII = Glyphs("|", ":", "+", "-", ">", "<", ".", "X", "~", "*", "^", "...")


def draw(
    ladder: Ladder,
    width: int = 80,
    *,
    colour: bool = True,
    ascii_only: bool = False,
    legend: bool = True,
) -> Text:
    """The ladder as rich Text, each line at most `width` columns (60 at the least).

    `ascii_only` where the output's encoding has no ``┃`` or ``▶``; `legend`: say below what the signs mean.
    """
    from rich.text import Text  # 38 ms, and who pastes plain text does without

    text = Text(no_wrap=True, overflow="ignore", end="")
    for line in _Drawing(ladder, width, ascii_only).lines(legend=legend):
        for piece, style in _trimmed(line):
            text.append(piece, STYLES[style] if colour else "")
        text.append("\n")
    text.rstrip()
    return text


def plain(ladder: Ladder, width: int = 80, ascii_only: bool = False) -> str:
    """The same without any colour; lines end in ``\\n``, no blanks before it."""
    lines = _Drawing(ladder, width, ascii_only).lines()
    return "".join("".join(piece for piece, _ in _trimmed(line)) + "\n" for line in lines)


def _trimmed(line: Line) -> Line:
    """`line` without blanks at its end."""
    kept = list(line)
    while kept and not kept[-1][0].rstrip(" "):
        kept.pop()
    if kept:
        kept[-1] = (kept[-1][0].rstrip(" "), kept[-1][1])
    return kept


class _Drawing:
    """One ladder on its way to lines: the columns, and what both bars show at the present row."""

    def __init__(self, ladder: Ladder, width: int, ascii_only: bool) -> None:
        self.ladder = ladder
        self.ascii_only = ascii_only
        self.glyphs = ASCII if ascii_only else UNICODE
        self.width = max(width, NARROWEST)
        self.origin = ladder.origin_ns
        times = [row.time_ns for row in ladder.rows if isinstance(row, (Arrow, StepRow, StateRow))]
        stamps = [cells(wording.seconds(time_ns - self.origin)) for time_ns in times]
        self.time = max([8, *stamps])
        self.state = self._state_columns()
        self.frame_head, self.frame = self._frame_column()
        self.lane = self._lane_beside(self.frame)
        self.offset = self._offset()
        self.bars: dict[Side, Piece] = {"client": (" ", "bar"), "server": (" ", "bar")}
        self.told: dict[Side, str] = {"client": "", "server": ""}
        self.used: set[str] = {"frame"} if self.frame_head == "# " else set()

    def lines(self, *, legend: bool = True) -> Iterator[Line]:
        """The whole drawing."""
        yield from self._header()
        for row in self.ladder.rows:
            yield from self._row(row)
        if legend:
            yield from self._legend()

    # ------------------------------------------------------------- columns

    def _visible(self, text: str) -> str:
        return visible(text, ascii_only=self.ascii_only)

    def _lane_beside(self, frame: int) -> int:
        """Columns of the lane where the frames' numbers take `frame`."""
        # frame time _ state _ bar LANE bar _ state
        room = self.width - frame - self.time - sum(self.state.values()) - 5
        return max(12, min(room, WIDEST_LANE))  # 12 with the longest times there are

    def _state_columns(self) -> dict[Side, int]:
        """Columns of both ends' states, as many as those that occur take."""
        columns: dict[Side, int] = {"client": 0, "server": 0}
        for row in self.ladder.rows:
            states: dict[Side, str] = {}
            if isinstance(row, Arrow):
                states = {"client": row.client_state, "server": row.server_state}
            elif isinstance(row, StateRow):
                states = {row.side: row.state}
            for side, state in states.items():
                columns[side] = max(columns[side], min(STATE, cells(self._visible(state))))
        return columns

    def _frame_column(self) -> tuple[str, int]:
        """What stands above the frames' numbers, and their columns with the blanks behind them: none where
        a label would have to leave its arrow for them."""
        frames = [len(str(row.frame)) for row in self.ladder.rows if isinstance(row, Arrow) and row.frame]
        digits = max(frames, default=0)
        if self.width >= FRAMES_FROM:
            return "frame  ", max(5, digits) + 2
        labels = [
            cells(text)
            for row in self.ladder.rows
            if isinstance(row, (Arrow, GhostArrow))
            for text in self._texts(row)
        ]

        def on_arrows(lane: int) -> int:
            return sum(length <= lane - BESIDE for length in labels)

        without, beside = self._lane_beside(0), self._lane_beside(digits + 1)
        fits = beside == without - digits - 1 and on_arrows(beside) == on_arrows(without)
        return ("# ", digits + 1) if digits and fits else ("", 0)

    def _offset(self) -> int:
        """Where labels begin in the lane: as far left as the widest that fits one line asks for."""
        fitting = [
            cells(label)
            for row in self.ladder.rows
            if isinstance(row, (Arrow, GhostArrow))
            and cells(label := self._label(row)[0]) <= self.lane - BESIDE
        ]
        widest = max(fitting, default=0)
        return max(1, min((self.lane - widest) // 2, self.lane - widest - BESIDE + 1))

    def _texts(self, row: Arrow | GhostArrow) -> tuple[str, str]:
        """An arrow's notation, alone and with the notes behind it."""
        if isinstance(row, Arrow):
            notation, small = row.notation, wording.remarks(row)
        else:
            notation, small = row.text, "never sent"
        notation = self._visible(wording.undirected(notation))
        return notation, f"{notation}  {self._visible(small)}" if small else notation

    def _label(self, row: Arrow | GhostArrow) -> tuple[str, str]:
        """What stands on the arrow: its notation, and small behind it the notes if there is room."""
        notation, whole = self._texts(row)
        return (whole, "") if cells(whole) <= self.lane - BESIDE else (notation, whole[len(notation) + 2 :])

    def _line(
        self,
        lane: Line,
        *,
        time_ns: int | None = None,
        frame: int = 0,
        states: dict[Side, Piece] | None = None,
        bars: dict[Side, Piece] | None = None,
    ) -> Line:
        """A full line: `lane` padded to its width, between both bars and both states."""
        states = states or {}
        bars = {**self.bars, **(bars or {})}
        stamp = "" if time_ns is None else wording.seconds(time_ns - self.origin)
        left, left_style = states.get("client", ("", "state"))
        right, right_style = states.get("server", ("", "state"))
        left = clip(left, self.state["client"], self.glyphs.ellipsis)
        right = clip(right, self.state["server"], self.glyphs.ellipsis)
        blanks = " " * self.frame_head.count(" ")
        number = str(frame) if frame and self.frame else ""
        return [
            (f"{number}{blanks}".rjust(self.frame), "frame"),
            (f"{stamp:>{self.time}} ", "time"),
            (" " * (self.state["client"] - cells(left)), "state"),
            (left, left_style),
            (" ", "state"),
            bars["client"],
            *lane,
            (" " * (self.lane - sum(cells(text) for text, _ in lane)), "plain"),
            bars["server"],
            (" ", "state"),
            (right, right_style),
        ]

    # ---------------------------------------------------------------- rows

    def _header(self) -> Iterator[Line]:
        if self.ladder.title:
            for text in wrap(self._visible(self.ladder.title), self.width):
                yield [(text, "title")]
            yield []
        before = self.frame + self.time + 1
        room = self.width - before
        client, server = (
            f"{side} {self._visible(name)}".rstrip()
            for side, name in (("client", self.ladder.client), ("server", self.ladder.server))
        )
        heads = self.frame_head.rjust(self.frame) + "seconds".rjust(self.time) + " "
        used = min(room, sum(self.state.values()) + self.lane + 4)
        if cells(client) + cells(server) + 2 <= used:
            gap = used - cells(client) - cells(server)
            yield [(heads, "time"), (client, "end"), (" " * gap, "plain"), (server, "end")]
            return
        first = True
        for name in (client, server):
            for text in wrap(name, room):
                yield [(heads if first else " " * before, "time"), (text, "end")]
                first = False

    def _row(self, row: Row) -> Iterator[Line]:
        if isinstance(row, Arrow):
            yield from self._arrow(row)
        elif isinstance(row, GhostArrow):
            yield from self._ghost(row)
        elif isinstance(row, StepRow):
            yield from self._step(row)
        elif isinstance(row, StateRow):
            state = self._enter(row.side, row.state, row.witness)
            yield self._line([], time_ns=row.time_ns, states=state)
            self._settle()
        elif isinstance(row, Gap):
            bar = (self.glyphs.gap, "gap")
            text = f"{self.glyphs.gap} {wording.duration(row.duration_ns)} of silence"
            yield self._line(self._centred(text), states=self._held(), bars={"client": bar, "server": bar})
        else:
            text = f"{self.glyphs.ellipsis} {wording.omitted(row.count, row.duration_ns)}"
            yield self._line(self._centred(text), states=self._held())

    def _held(self) -> dict[Side, Piece]:
        """Both ends' states once more, where they outlast a gap."""
        return {
            side: ("" if state == "CLOSED" else state, "guilty" if self.bars[side][1] == "guilty" else "gap")
            for side, state in self.told.items()
        }

    def _centred(self, text: str) -> Line:
        text = clip(text, self.lane, self.glyphs.ellipsis)
        return [(" " * ((self.lane - cells(text)) // 2), "plain"), (text, "gap")]

    def _enter(self, side: Side, state: str, witness: Witness) -> dict[Side, Piece]:
        """Turn to what an end shows from this row on; its name, if it is another one than before."""
        state = self._visible(state)
        changed = state != self.told[side]
        style = "bar" if changed or self.bars[side][1] != "guilty" else "guilty"
        if state == "CLOSED":
            self.bars[side] = (self.glyphs.ended if changed else " ", "bar")
        else:
            self.bars[side] = (self.glyphs.kernel if witness == "kernel" else self.glyphs.wire, style)
            if state:
                self.used.add(witness)
        self.told[side] = state
        return {side: (state, "state")} if changed else {}

    def _settle(self) -> None:
        """A lane that ended has no bar below."""
        for side, (bar, style) in self.bars.items():
            if bar == self.glyphs.ended:
                self.bars[side] = (" ", style)

    def _arrow(self, row: Arrow) -> Iterator[Line]:
        states = self._enter("client", row.client_state, row.client_witness)
        states |= self._enter("server", row.server_state, row.server_witness)
        style = wording.kind(row)
        label, small = self._label(row)
        noted = bool(wording.remarks(row)) and not small
        lines: Iterable[Line] = self._shaft(label, row.from_client, self.glyphs.dash, style, noted)
        if row.lost:
            self.used.add("lost")
            lines = [self._lost(lane, row.from_client) for lane in lines]
        for first, lane in _with_first(lines):
            stamp, frame, names = (row.time_ns, row.frame, states) if first else (None, 0, None)
            yield self._line(lane, time_ns=stamp, frame=frame, states=names)
            self._settle()
        if small:
            yield from self._beneath(small, "note", self.offset)
        for mark in row.marks:
            self.used.add("mark")
            severity = mark.severity if mark.severity in ("error", "warning") else "info"
            yield from self._beneath(f"{self.glyphs.point} {self._visible(mark.code)}", severity, self.offset)

    def _lost(self, lane: Line, from_client: bool) -> Line:
        """An arrow that ends before its receiver.  Lines above it that carry its label stay as they are."""
        head = self.glyphs.right if from_client else self.glyphs.left
        at = -1 if from_client else 0
        text, style = lane[at]
        if not (text.endswith(head) if from_client else text.startswith(head)):
            return lane
        cross = (self.glyphs.guilty, "guilty")
        short = min(LOST_SHORT, len(text))  # nearly all of the arrow may be its label
        rest = [(text[:-short], style), cross] if from_client else [cross, (text[short:], style)]
        blank = (" " * (short - 1), "plain")
        return [*lane[:-1], *rest, blank] if from_client else [blank, *rest, *lane[1:]]

    def _ghost(self, row: GhostArrow) -> Iterator[Line]:
        self.used.add("ghost")
        label, small = self._label(row)
        side: Side = "client" if row.from_client else "server"
        debt = {side: (self.told[side], "guilty")}
        guilty = {side: (self.glyphs.guilty, "guilty")}
        lines = self._shaft(label, row.from_client, self.glyphs.ghost, "ghost", False)
        for first, lane in _with_first(lines):
            yield self._line(lane, states=debt if first else None, bars=guilty)
        # From here on the lane itself is the fault: it should have ended.
        self.bars[side] = (self.bars[side][0], "guilty")
        for text in (small, self._visible(row.why)):
            if text:
                yield from self._beneath(text, "ghost", 1)

    def _step(self, row: StepRow) -> Iterator[Line]:
        self.used.add("step")
        lines = wrap(self._visible(row.text), self.lane - 3)
        middle = max(0, (self.lane - max(map(cells, lines)) - 2) // 2)
        for first, line in _with_first(lines):
            mark = self.glyphs.step if first else " "
            stamp = row.time_ns if first else None
            if row.side == "client":
                lane = [(f"{mark} {line}", "step")]
            elif row.side == "server":
                lane = [(" " * (self.lane - 2 - cells(line)), "plain"), (f"{line} {mark}", "step")]
            else:
                lane = [(" " * middle, "plain"), (f"{mark} {line}", "step")]
            yield self._line(lane, time_ns=stamp)

    def _beneath(self, text: str, style: str, offset: int) -> Iterator[Line]:
        """A small text under an arrow, moved to the left as far as it needs to stay on one line."""
        offset = min(offset, max(1, self.lane - 1 - cells(text)))
        for line in wrap(text, self.lane - offset - 1):
            yield self._line([(" " * offset, "plain"), (line, style)])

    def _shaft(self, label: str, from_client: bool, dash: str, style: str, noted: bool) -> Iterator[Line]:
        """The arrow across the lane with its label on it; above it where it is too long for that."""
        glyphs = self.glyphs
        if cells(label) > self.lane - BESIDE:
            for line in wrap(label, self.lane - 2):
                yield [(" ", "plain"), (line, style)]
            before, text, after = self.lane, "", 0
        else:
            before, text = self.offset, f" {label} "
            before = min(before, self.lane - cells(text) - 1)
            after = self.lane - before - cells(text)
        left, right = dash * before, dash * after
        if from_client:
            left, right = (left, right[:-1] + glyphs.right) if text else (left[:-1] + glyphs.right, "")
        else:
            left = glyphs.left + left[1:]
        notation, _, small = text.partition("  ") if noted else (text, "", "")
        pieces = [(left, style), (notation, style)]
        if noted:
            pieces.append((f"  {small}", "note"))
        yield [*pieces, (right, style)]

    # -------------------------------------------------------------- legend

    def _legend(self) -> Iterator[Line]:
        """What the signs that occur mean, in as few lines as hold it."""
        glyphs = self.glyphs
        known = (
            ("kernel", f"{glyphs.kernel} state seen by the kernel"),
            ("wire", f"{glyphs.wire} state the segments imply"),
            ("ghost", f"{glyphs.ghost * 2}{glyphs.guilty} never sent"),
            ("lost", f"{glyphs.dash * 2}{glyphs.guilty} did not arrive"),
            ("step", f"{glyphs.step} program"),
            ("frame", "# frame"),
            ("mark", f"{glyphs.point} finding"),
        )
        signs = [text for key, text in known if key in self.used]
        flags = [f"{letter} {word}" for letter, word in wording.flags_used(self.ladder.rows)]
        if signs or flags:
            yield []
        for kind in (signs, flags):
            line = ""
            for sign in kind:
                if line and cells(line) + 3 + cells(sign) > self.width:
                    yield [(line, "legend")]
                    line = ""
                line = f"{line}   {sign}" if line else sign
            if line:
                yield [(line, "legend")]


def _with_first(items: Iterable[T]) -> Iterator[tuple[bool, T]]:
    """Each item, and whether it is the first."""
    for index, item in enumerate(items):
        yield index == 0, item
