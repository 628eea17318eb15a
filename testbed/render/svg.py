"""A ladder as one SVG file that opens in any viewer, light or dark, and loads nothing.

Only what old viewers know too: shapes, text, patterns, classes.  The colours stand in one style
sheet, a second set under ``prefers-color-scheme: dark``; a viewer that ignores it shows the light
one.  Every text passes `escape.visible` and is escaped for XML.

    time | state | bar ------ lane ------ bar | state

The bars are the states: solid where the kernel told them, hatched where the segments imply them.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from . import wording
from .escape import cells, visible, wrap
from .ladder import Arrow, Gap, GhostArrow, Ladder, Row, Side, StateRow, StepRow, Witness

CHAR = 7.9
"""Pixels of one character of the 13-pixel monospace font, a little more than most have."""
SMALL = 6.7
"""The same for the 11-pixel one."""

MARGIN = 24
BAR = 8
STATE_CHARS = 13
NARROWEST_LANE, WIDEST_LANE = 400, 560
SLANT = 7
"""Pixels that an arrow falls from its sender to its receiver: time runs down."""

LOST_SHORT = 0.12
"""Part of the lane by which the arrow of a lost segment falls short."""

COLOURS: dict[str, tuple[str, str]] = {
    "opening": ("#bf8700", "#d29922"),
    "open": ("#1a7f37", "#3fb950"),
    "closing": ("#0969da", "#58a6ff"),
    "owing": ("#bc4c00", "#f0883e"),
    "waiting": ("#8250df", "#bc8cff"),
    "other": ("#6e7781", "#8b949e"),
}
"""The colour of a bar, in light and in dark."""

COLOUR_OF_STATE = {
    "LISTEN": "opening",
    "SYN_SENT": "opening",
    "SYN_RECEIVED": "opening",
    "ESTABLISHED": "open",
    "FIN_WAIT_1": "closing",
    "FIN_WAIT_2": "closing",
    "CLOSING": "closing",
    "LAST_ACK": "closing",
    "CLOSE_WAIT": "owing",
    "TIME_WAIT": "waiting",
}

INK: dict[str, tuple[str, str]] = {
    "ink": ("#1f2328", "#e6edf3"),
    "dim": ("#656d76", "#8d96a0"),
    "plain": ("#424a53", "#c9d1d9"),
    "syn": ("#1a7f37", "#3fb950"),
    "fin": ("#0969da", "#58a6ff"),
    "rst": ("#cf222e", "#ff7b72"),
    "keepalive": ("#8250df", "#bc8cff"),
    "bad": ("#cf222e", "#ff7b72"),
    "warn": ("#9a6700", "#d29922"),
    "info": ("#0969da", "#58a6ff"),
    "step": ("#57606a", "#adbac7"),
}
"""The colour of text (``t-NAME``) and of lines (``l-NAME``), in light and in dark."""

PAPER = ("#ffffff", "#0d1117")
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"


def draw(ladder: Ladder) -> str:
    """The ladder as the text of an SVG 1.1 file."""
    return _Picture(ladder).drawn()


class _Bar(NamedTuple):
    """What one lane shows from `top` on."""

    top: float
    state: str
    witness: Witness


class _Picture:
    """One ladder on its way to shapes, from the top down; `y` is where the next row begins."""

    def __init__(self, ladder: Ladder) -> None:
        self.ladder = ladder
        self.origin = ladder.origin_ns
        rows = ladder.rows
        stamps = [
            wording.seconds(row.time_ns - self.origin)
            for row in rows
            if isinstance(row, (Arrow, StepRow, StateRow))
        ]
        labels = [self._length(row) for row in rows if isinstance(row, (Arrow, GhostArrow))]
        lane = min(max([NARROWEST_LANE, *(length + 70 for length in labels)]), WIDEST_LANE)
        self.time_x = MARGIN + max([7, *map(len, stamps)]) * CHAR
        state = STATE_CHARS * CHAR + 14
        self.x: dict[Side, float] = {"client": self.time_x + state}
        self.x["server"] = self.x["client"] + lane
        self.width = self.x["server"] + state + MARGIN
        self.lane = lane
        self.y = float(MARGIN)
        self.under: list[str] = []  # the bars, drawn before what crosses them
        self.over: list[str] = []
        self.bars: dict[Side, _Bar | None] = {"client": None, "server": None}
        self.told: dict[Side, str] = {"client": "", "server": ""}
        self.guilty: set[Side] = set()
        self.used: set[str] = set()

    def drawn(self) -> str:
        """The file."""
        self._header()
        for row in self.ladder.rows:
            self._row(row)
        self.y += 12
        for side in self.bars:
            self._close(side, self.y)
        self._legend()
        width, height = _number(self.width), _number(self.y + MARGIN)
        size = f'width="{width}" height="{height}"'
        name = self.ladder.title or f"{self.ladder.client} and {self.ladder.server}"
        return "\n".join(
            (
                '<?xml version="1.0" encoding="UTF-8"?>',
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} viewBox="0 0 {width} {height}">',
                f"<title>{_safe(name)}</title>",
                f"<style>{style_sheet()}</style>",
                f"<defs>{''.join(_hatch(colour) for colour in COLOURS)}</defs>",
                f'<rect class="paper" {size}/>',
                *self.under,
                *self.over,
                "</svg>",
                "",
            )
        )

    # -------------------------------------------------------------- pieces

    def _text(
        self, x: float, y: float, text: str, ink: str, *, small: bool = False, anchor: str = ""
    ) -> None:
        classes = f"t-{ink} small" if small else f"t-{ink}"
        where = f' text-anchor="{anchor}"' if anchor else ""
        self.over.append(
            f'<text x="{_number(x)}" y="{_number(y)}" class="{classes}"{where}>{_safe(text)}</text>'
        )

    def _path(self, points: str, ink: str, extra: str = "") -> None:
        self.over.append(f'<path class="l-{ink}{extra}" d="{points}"/>')

    def _stamp(self, time_ns: int, y: float) -> None:
        self._text(self.time_x, y, wording.seconds(time_ns - self.origin), "dim", anchor="end")

    def _length(self, row: Arrow | GhostArrow) -> float:
        """Pixels of what stands above an arrow."""
        notation, small = _label(row)
        return cells(visible(notation)) * CHAR + (10 + cells(visible(small)) * SMALL if small else 0)

    def _state(self, side: Side, y: float, ink: str = "ink") -> None:
        out = -1 if side == "client" else 1
        text = wrap(visible(self.told[side]), STATE_CHARS)[0]
        self._text(self.x[side] + out * 14, y, text, ink, anchor="end" if side == "client" else "")

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
                x = self.x[side]
                self._path(f"M{_number(x - 8)} {_number(y)}h16", "plain")

    def _close(self, side: Side, y: float) -> None:
        bar = self.bars[side]
        self.bars[side] = None
        if bar is None or y <= bar.top:
            return
        self.used.add(bar.witness)
        colour = COLOUR_OF_STATE.get(bar.state, "other")
        self.under.append(
            f'<rect x="{_number(self.x[side] - BAR / 2)}" y="{_number(bar.top)}" width="{BAR}"'
            f' height="{_number(y - bar.top)}" class="{_filled(colour, bar.witness)}"/>'
        )

    # ---------------------------------------------------------------- rows

    def _header(self) -> None:
        if self.ladder.title:
            for line in wrap(visible(self.ladder.title), max(20, int((self.width - 2 * MARGIN) / CHAR))):
                self._text(MARGIN, self.y + 14, line, "ink title")
                self.y += 22
            self.y += 6
        self._text(self.time_x, self.y + 30, "seconds", "dim", small=True, anchor="end")
        names: tuple[tuple[Side, str], ...] = (("client", self.ladder.client), ("server", self.ladder.server))
        room = max(12, int((self.lane / 2 + STATE_CHARS * CHAR - 20) / CHAR))
        height = 0
        for side, name in names:
            # A name is centred over its lane, or leans on the edge of the picture where it is long.
            lines = wrap(visible(name), room)
            half = max(cells(line) for line in lines) * CHAR / 2
            x = self.x[side]
            x = max(x, self.time_x + 20 + half) if side == "client" else min(x, self.width - MARGIN - half)
            self._text(x, self.y + 12, side, "dim", small=True, anchor="middle")
            for index, line in enumerate(lines):
                self._text(x, self.y + 30 + 17 * index, line, "ink title", anchor="middle")
            height = max(height, 17 * len(lines))
        self.y += 30 + height

    def _row(self, row: Row) -> None:
        if isinstance(row, Arrow):
            self._arrow(row)
        elif isinstance(row, GhostArrow):
            self._ghost(row)
        elif isinstance(row, StepRow):
            self._step(row)
        elif isinstance(row, StateRow):
            self._stamp(row.time_ns, self.y + 15)
            self._enter(row.side, row.state, row.witness, self.y + 11)
            self.y += 24
        elif isinstance(row, Gap):
            self._gap(f"{wording.duration(row.duration_ns)} of silence")
        else:
            self._gap(f"… {wording.omitted(row.count, row.duration_ns)}")

    def _above(self, row: Arrow | GhostArrow, ink: str) -> None:
        """The notation, and small behind it the notes, over the middle of the lane."""
        notation, small = (visible(text) for text in _label(row))
        middle = (self.x["client"] + self.x["server"]) / 2
        room = int((self.lane - 30) / CHAR)
        lines = wrap(notation, room)
        for line in lines[:-1]:
            self._text(middle, self.y + 14, line, ink, anchor="middle")
            self.y += 16
        if small and self._length(row) > self.lane - 30:
            self._text(middle, self.y + 14, lines[-1], ink, anchor="middle")
            self.y += 16
            for line in wrap(small, room):
                self._text(middle, self.y + 13, line, "dim", small=True, anchor="middle")
                self.y += 14
            self.y -= 16
            return
        note = f'<tspan dx="10" class="{"t-bad" if ink == "bad" else "t-dim"} small">{_safe(small)}</tspan>'
        self.over.append(
            f'<text x="{_number(middle)}" y="{_number(self.y + 14)}" class="t-{ink}" text-anchor="middle">'
            f"{_safe(lines[-1])}{note if small else ''}</text>"
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
            self._path(f"M{_number(start)} {_number(top)}L{_number(end)} {_number(bottom)}", ink, extra)
            self._cross(end, bottom)
            return top, bottom
        self._path(f"M{_number(start)} {_number(top)}L{_number(end - way * 6)} {_number(bottom)}", ink, extra)
        self.over.append(f'<path class="f-{ink}" d="M{_number(end)} {_number(bottom)}l{-way * 10} -4.5v9z"/>')
        return top, bottom

    def _arrow(self, row: Arrow) -> None:
        ink = wording.kind(row)
        self._above(row, ink)
        top, bottom = self._shaft(row.from_client, ink, lost=row.lost)
        self._stamp(row.time_ns, top + 4)
        client, server = (top, bottom) if row.from_client else (bottom, top)
        self._enter("client", row.client_state, row.client_witness, client)
        self._enter("server", row.server_state, row.server_witness, server)
        self.y += 34
        for mark in row.marks:
            self.used.add("mark")
            severity = {"error": "bad", "warning": "warn"}.get(mark.severity, "info")
            self._beneath(f"▲ {mark.code}", severity)

    def _ghost(self, row: GhostArrow) -> None:
        self.used.add("ghost")
        self._above(row, "bad")
        top, _ = self._shaft(row.from_client, "bad", " dashed")
        side: Side = "client" if row.from_client else "server"
        self._cross(self.x[side], top)
        self.guilty.add(side)
        self._state(side, top + 4, "bad title")
        self.y += 34
        self._beneath(row.why, "bad")
        self.y += 4

    def _cross(self, x: float, y: float) -> None:
        cross = f"M{_number(x - 7)} {_number(y - 7)}l14 14m0 -14l-14 14"
        self.over.append(f'<path class="halo" d="{cross}"/>')
        self._path(cross, "bad", " thick")

    def _beneath(self, text: str, ink: str) -> None:
        middle = (self.x["client"] + self.x["server"]) / 2
        for line in wrap(visible(text), int((self.lane - 30) / SMALL)):
            self._text(middle, self.y + 10, line, ink, small=True, anchor="middle")
            self.y += 15

    def _step(self, row: StepRow) -> None:
        self.used.add("step")
        self._stamp(row.time_ns, self.y + 15)
        left, right = self.x["client"], self.x["server"]
        x, anchor = {
            "client": (left + 26, ""),
            "server": (right - 26, "end"),
        }.get(row.side, ((left + right) / 2, "middle"))
        for index, line in enumerate(wrap(visible(row.text), int((self.lane - 50) / CHAR))):
            if row.side != "lab" and not index:
                dot = left + 15 if row.side == "client" else right - 15
                self.over.append(
                    f'<circle class="f-step" cx="{_number(dot)}" cy="{_number(self.y + 11)}" r="4"/>'
                )
            self._text(x, self.y + 15, line, "step", anchor=anchor)
            self.y += 18
        self.y += 4

    def _gap(self, text: str) -> None:
        """Both lanes torn, and what the tear stands for."""
        self.y += 6
        for side, bar in list(self.bars.items()):
            x = self.x[side]
            self._close(side, self.y)
            zigzag = f"M{_number(x)} {_number(self.y)}l5 4l-10 8l10 8l-10 8l5 4"
            colour = COLOUR_OF_STATE.get(bar.state, "other") if bar else ""
            if bar:
                self.over.append(f'<path class="z-{colour}" d="{zigzag}"/>')
                self.bars[side] = _Bar(self.y + 32, bar.state, bar.witness)
                self._state(side, self.y + 20, "bad title" if side in self.guilty else "dim")
        self._text((self.x["client"] + self.x["server"]) / 2, self.y + 20, text, "dim", anchor="middle")
        self.y += 38

    # -------------------------------------------------------------- legend

    def _legend(self) -> None:
        """What the signs that occur mean."""
        signs = [
            (f'<rect width="{BAR}" height="14" class="s-closing"/>', "state seen by the kernel", "kernel"),
            (f'<rect width="{BAR}" height="14" class="h-closing"/>', "state the segments imply", "wire"),
            ('<path class="l-bad dashed" d="M0 7h22"/>', "never sent", "ghost"),
            (
                '<path class="l-plain" d="M0 7h12"/><path class="l-bad" d="M11 3l8 8m0 -8l-8 8"/>',
                "did not arrive",
                "lost",
            ),
            ('<circle class="f-step" cx="4" cy="7" r="4"/>', "program", "step"),
            ('<path class="f-dim" d="M0 11l5 -9l5 9z"/>', "finding", "mark"),
        ]
        self.y += 16
        x = float(MARGIN)
        for shape, text, key in signs:
            if key not in self.used:
                continue
            indent = 28 if key in ("ghost", "lost") else 16
            length = indent + len(text) * SMALL + 22
            if x + length > self.width and x > MARGIN:
                x, self.y = float(MARGIN), self.y + 20
            self.over.append(f'<g transform="translate({_number(x)} {_number(self.y)})">{shape}</g>')
            self._text(x + indent, self.y + 11, text, "dim", small=True)
            x += length
        if x > MARGIN:
            self.y += 20
        flags = "   ".join(f"{letter} {word}" for letter, word in wording.flags_used(self.ladder.rows))
        if flags:
            self._text(MARGIN, self.y + 11, flags, "dim", small=True)
            self.y += 16


def _label(row: Arrow | GhostArrow) -> tuple[str, str]:
    if isinstance(row, Arrow):
        return wording.undirected(row.notation), wording.remarks(row)
    return wording.undirected(row.text), "never sent"


def _safe(text: str) -> str:
    return escape(visible(text), quote=True)


def _number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def _filled(colour: str, witness: Witness) -> str:
    return f"{'s' if witness == 'kernel' else 'h'}-{colour}"


def _hatch(colour: str) -> str:
    return (
        f'<pattern id="hatch-{colour}" width="5" height="5" patternUnits="userSpaceOnUse"'
        f' patternTransform="rotate(45)"><rect class="s-{colour}" width="2" height="5"/></pattern>'
    )


def style_sheet() -> str:
    """Both sets of colours.  No custom properties: not every viewer of SVG knows them."""
    rules = [
        f"text{{font:13px {FONT};white-space:pre}}.small{{font-size:11px}}.title{{font-weight:700}}",
        ".dashed{stroke-dasharray:7 5}",
        _colour_rules(0),
        *(f".h-{name}{{fill:url(#hatch-{name})}}" for name in COLOURS),
        ".thick{stroke-width:2.6}",
        f"@media(prefers-color-scheme:dark){{{_colour_rules(1)}.thick{{stroke-width:2.6}}}}",
    ]
    return "".join(rules)


def _colour_rules(scheme: int) -> str:
    line = "fill:none;stroke-width:1.4;stroke:"
    rules = [f".paper{{fill:{PAPER[scheme]}}}.halo{{stroke:{PAPER[scheme]};stroke-width:6}}"]
    for name, colours in COLOURS.items():
        rules.append(f".s-{name}{{fill:{colours[scheme]}}}")
        rules.append(f".h-{name}{{stroke:{colours[scheme]};stroke-width:.8}}")
        rules.append(f".z-{name}{{{line}{colours[scheme]}}}")
    for name, colours in INK.items():
        rules.append(f".t-{name}{{fill:{colours[scheme]}}}")
        rules.append(f".l-{name}{{{line}{colours[scheme]}}}.f-{name}{{fill:{colours[scheme]}}}")
    return "".join(rules)
