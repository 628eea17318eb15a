"""RFC 9293's Figure 5 as a picture: the states in its arrangement, each edge coloured by what is known of it.

The RST edges of section 3.10.7, which Figure 5 leaves out, are two signs in each box: an RST taken there,
an RST sent from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal, NamedTuple

from ..tcp.states import Edge, Event, State
from .svg.palette import COLOUR_OF_STATE, style_sheet

Standing = Literal["walked", "wire only", "not walked", "not in Linux"]


class DrawnEdge(NamedTuple):
    """An edge, what is known of it, and more to show where a pointer rests on it."""

    edge: Edge
    standing: Standing
    told: str


INK: Mapping[Standing, tuple[str, bool]] = {
    "walked": ("syn", False),
    "wire only": ("warn", False),
    "not walked": ("bad", True),
    "not in Linux": ("dim", True),
}
"""The ink of an edge, and whether it is dashed."""

LEGEND: Mapping[Standing, str] = {
    "walked": "seen walked by the kernel",
    "wire only": "seen on the wire only",
    "not walked": "not walked",
    "not in Linux": "not in Linux",
}

S, E = State, Event
WIDTH, HEIGHT = 920, 970
BOX = 132, 54
LEFT, MIDDLE, RIGHT = 150, 460, 770
CENTRES: Mapping[State, tuple[int, int]] = {
    S.CLOSED: (MIDDLE, 90),
    S.LISTEN: (MIDDLE, 215),
    S.SYN_RECEIVED: (LEFT, 345),
    S.SYN_SENT: (RIGHT, 345),
    S.ESTABLISHED: (MIDDLE, 455),
    S.FIN_WAIT_1: (LEFT, 575),
    S.CLOSE_WAIT: (RIGHT, 575),
    S.FIN_WAIT_2: (LEFT, 725),
    S.CLOSING: (MIDDLE, 695),
    S.LAST_ACK: (RIGHT, 695),
    S.TIME_WAIT: (MIDDLE, 825),
}
CLOSED_AGAIN = RIGHT, 825
"""Figure 5 draws CLOSED twice."""


class Route(NamedTuple):
    """How an edge runs: the points of its line, and where its words stand."""

    points: tuple[tuple[int, int], ...]
    text: tuple[int, int]
    anchor: Literal["", "middle", "end"] = ""


ROUTES: Mapping[tuple[State, Event], Route] = {
    (S.CLOSED, E.PASSIVE_OPEN): Route(((440, 117), (440, 188)), (430, 156), "end"),
    (S.LISTEN, E.CLOSE_UNUSED): Route(((480, 188), (480, 117)), (490, 156)),
    (S.CLOSED, E.SEND_SYN): Route(((526, 84), (790, 84), (790, 318)), (690, 76), "middle"),
    (S.SYN_SENT, E.CLOSE_UNUSED): Route(((735, 318), (735, 100), (526, 100)), (725, 290), "end"),
    (S.LISTEN, E.RECEIVE_SYN): Route(((430, 242), (430, 333), (216, 333)), (320, 325), "middle"),
    (S.LISTEN, E.SEND_SYN): Route(((490, 242), (490, 333), (704, 333)), (600, 325), "middle"),
    (S.SYN_SENT, E.RECEIVE_SYN): Route(((704, 347), (216, 347)), (460, 365), "middle"),
    (S.SYN_RECEIVED, E.RECEIVE_ACK_OF_SYN): Route(((216, 360), (300, 455), (394, 455)), (284, 420)),
    (S.SYN_SENT, E.RECEIVE_SYN_ACK): Route(((704, 360), (620, 455), (526, 455)), (636, 420), "end"),
    (S.SYN_RECEIVED, E.RECEIVE_RST): Route(((110, 318), (110, 215), (394, 215)), (250, 207), "middle"),
    (S.SYN_RECEIVED, E.SEND_FIN): Route(((110, 372), (110, 548)), (120, 450)),
    (S.ESTABLISHED, E.SEND_FIN): Route(((430, 482), (430, 556), (216, 556)), (330, 548), "middle"),
    (S.ESTABLISHED, E.RECEIVE_FIN): Route(((490, 482), (490, 575), (704, 575)), (600, 567), "middle"),
    (S.FIN_WAIT_1, E.RECEIVE_ACK_OF_FIN): Route(((110, 602), (110, 698)), (120, 655)),
    (S.FIN_WAIT_1, E.RECEIVE_FIN): Route(((216, 574), (480, 574), (480, 668)), (385, 590), "middle"),
    (S.FIN_WAIT_1, E.RECEIVE_FIN_ACK_OF_FIN): Route(
        ((216, 592), (290, 592), (290, 812), (394, 812)), (300, 755)
    ),
    (S.FIN_WAIT_2, E.RECEIVE_FIN): Route(((150, 752), (150, 832), (394, 832)), (250, 850), "middle"),
    (S.CLOSE_WAIT, E.SEND_FIN): Route(((780, 602), (780, 668)), (790, 640)),
    (S.CLOSING, E.RECEIVE_ACK_OF_FIN): Route(((480, 722), (480, 798)), (490, 765)),
    (S.LAST_ACK, E.RECEIVE_ACK_OF_FIN): Route(((780, 722), (780, 798)), (790, 765)),
    (S.TIME_WAIT, E.TIMEOUT_2MSL): Route(((526, 825), (704, 825)), (615, 817), "middle"),
}

WORDS: Mapping[Event, str] = {E.CLOSE_UNUSED: "CLOSE", E.TIMEOUT_2MSL: "2 MSL", E.SEND_FIN: "CLOSE, send FIN"}
"""Where the picture has a shorter word than the table."""


def draw(edges: Sequence[DrawnEdge], title: str, footnote: str = "") -> str:
    """The picture as the text of an SVG 1.1 file, in light and dark colours."""
    shapes: list[str] = []
    resets: dict[State, list[DrawnEdge]] = {}
    for drawn in edges:
        route = ROUTES.get((drawn.edge.state, drawn.edge.event))
        if route is not None:
            shapes += _edge(drawn, route)
        elif drawn.edge.event in (E.RECEIVE_RST, E.SEND_RST):
            resets.setdefault(drawn.edge.state, []).append(drawn)
    for state, centre in (*CENTRES.items(), (S.CLOSED, CLOSED_AGAIN)):
        shapes += _box(state, centre)
    for state, rows in resets.items():
        for drawn in rows:
            shapes += _reset(drawn, CENTRES[state])
    shapes += _legend()
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} viewBox="0 0 {WIDTH} {HEIGHT}">',
            f"<title>{escape(title)}</title>",
            f"<style>{style_sheet()}</style>",
            f'<rect class="paper" {size}/>',
            _text(30, 38, title, "ink", " title"),
            *shapes,
            _text(30, HEIGHT - 26, footnote, "dim", " small"),
            "</svg>",
            "",
        )
    )


def _text(x: float, y: float, text: str, ink: str, extra: str = "", anchor: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}" class="t-{ink}{extra}"{where}>{escape(text)}</text>'


def _line(points: Sequence[tuple[int, int]], standing: Standing) -> str:
    """A line with rounded corners, and its head."""
    ink, dashed = INK[standing]
    (x, y), *between, end = points
    path = f"M{x} {y}"
    before = points[0]
    for corner, after in zip(between, points[2:], strict=True):
        into, out = _towards(corner, before, 12), _towards(corner, after, 12)
        path += f"L{into[0]} {into[1]}Q{corner[0]} {corner[1]} {out[0]} {out[1]}"
        before = corner
    short = _towards(end, before, 8)
    path += f"L{short[0]} {short[1]}"
    back = _towards(end, before, 11)
    aside = ((back[1] - end[1]) * 0.42, (end[0] - back[0]) * 0.42)
    head = (
        f"M{end[0]} {end[1]}L{back[0] + aside[0]:.1f} {back[1] + aside[1]:.1f}"
        f"L{back[0] - aside[0]:.1f} {back[1] - aside[1]:.1f}z"
    )
    dashes = " dashed" if dashed else ""
    return f'<path class="l-{ink}{dashes}" d="{path}"/><path class="f-{ink}" d="{head}"/>'


def _towards(start: tuple[int, int], to: tuple[int, int], by: float) -> tuple[float, float]:
    """The point `by` pixels from `start` towards `to`."""
    across, down = to[0] - start[0], to[1] - start[1]
    length = (across**2 + down**2) ** 0.5 or 1.0
    return round(start[0] + across * by / length, 1), round(start[1] + down * by / length, 1)


def _edge(drawn: DrawnEdge, route: Route) -> list[str]:
    ink, _ = INK[drawn.standing]
    words = WORDS.get(drawn.edge.event, str(drawn.edge.event))
    if drawn.edge.event is E.SEND_FIN and drawn.edge.state is S.CLOSE_WAIT:
        words = "CLOSE, send FIN"
    lines = words.split(", ") if drawn.edge.event is E.RECEIVE_FIN_ACK_OF_FIN else [words]
    x, y = route.text
    label = [
        _text(x, y + 15 * row, line, "ink" if ink == "syn" else ink, " small", route.anchor)
        for row, line in enumerate(lines)
    ]
    told = f"<title>{escape(f'{drawn.edge.state} to {drawn.edge.next}: {drawn.told}')}</title>"
    return [f"<g>{told}{_line(route.points, drawn.standing)}{''.join(label)}</g>"]


def _box(state: State, centre: tuple[int, int]) -> list[str]:
    x, y = centre[0] - BOX[0] // 2, centre[1] - BOX[1] // 2
    colour = COLOUR_OF_STATE.get(state, "other")
    return [
        f'<rect class="paper" x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="7"/>',
        f'<rect class="z-{colour}" x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="7"/>',
        f'<rect class="s-{colour}" x="{x}" y="{y + 8}" width="4" height="{BOX[1] - 16}"/>',
        _text(
            centre[0],
            centre[1] + (5 if state in (S.CLOSED, S.LISTEN) else -5),
            state,
            "ink",
            " title",
            "middle",
        ),
    ]


def _reset(drawn: DrawnEdge, centre: tuple[int, int]) -> list[str]:
    """In the box: an arrow down for an RST that is taken there, up for one that is sent from there."""
    taken = drawn.edge.event is E.RECEIVE_RST
    x, top = centre[0] + (-46 if taken else 10), centre[1] + 6
    ink, _ = INK[drawn.standing]
    points = ((x, top), (x, top + 13))
    told = escape(f"{drawn.edge.event} in {drawn.edge.state}: {drawn.told}")
    word = _text(x + 8, top + 11, "RST", ink, " small")
    line = _line(points if taken else points[::-1], drawn.standing)
    return [f"<g><title>{told}</title>{line}{word}</g>"]


def _legend() -> list[str]:
    shapes, x, y = [], 30, HEIGHT - 80
    for standing, words in LEGEND.items():
        shapes.append(_line(((x, y - 4), (x + 34, y - 4)), standing))
        shapes.append(_text(x + 42, y, words, "dim", " small"))
        x += 42 + int(len(words) * 6.7) + 26
    words = "in a box: an RST that is taken there (down), sent from there (up)"
    return [*shapes, _text(30, y + 24, words, "dim", " small")]
