"""One screen: the ladder so far, what is held, both kernels, and what RFC 9293 says comes next.

Everything below the ladder has its place; the ladder gets the lines that are left, its newest rows.
"""

from __future__ import annotations

from typing import Final

from rich.text import Text

from ..net.hosts import Side
from ..render import terminal
from ..render.escape import cells, clip, visible
from .keys import KEYS
from .play import View
from .session import SIDES, Held
from .words import cause, consequence, queues, remark, upcoming

MOST_HELD: Final = 5
LEAST_LADDER: Final = 3


class Screen:
    """What is stepped through, how wide and high, and with which signs."""

    def __init__(
        self, title: str, width: int, height: int, *, colour: bool = True, ascii_only: bool = False
    ) -> None:
        self.title = title
        self.width = max(width, terminal.NARROWEST)
        self.height = height
        self.colour = colour
        self.ascii_only = ascii_only
        self.arrow = "->" if ascii_only else "→"
        self.rule = "-" if ascii_only else "─"
        self.mark = ">" if ascii_only else "▸"

    def draw(self, view: View) -> Text:
        """The whole screen, at most `height` lines; the last one has no end."""
        below = self._help() if view.helping else [*self._held(view), *self._kernels(view)]
        below += [self._line(view.message, "bold" if view.message else ""), self._keys()]
        room = max(LEAST_LADDER, self.height - len(below))
        lines = [*self._ladder(view, room), *below]
        return Text("\n", end="", no_wrap=True, overflow="crop").join(lines[-self.height :])

    # ------------------------------------------------------------ parts

    def _line(self, text: str, style: str = "") -> Text:
        shown = clip(visible(text, ascii_only=self.ascii_only), self.width, "...")
        return Text(shown, style if self.colour else "", no_wrap=True)

    def _heading(self, text: str) -> Text:
        line = f"{self.rule * 2} {text} "
        return self._line(line + self.rule * (self.width - cells(line)), "dim")

    def _ladder(self, view: View, room: int) -> list[Text]:
        """Its header, and as many of its newest lines as there is room for."""
        drawn = terminal.draw(
            view.ladder, self.width, colour=self.colour, ascii_only=self.ascii_only, legend=False
        )
        header, *rows = drawn.split("\n")
        top = [self._line(self.title, "bold"), header]
        rows = rows[-(room - len(top)) :]
        return [*top, *rows, *[Text() for _ in range(room - len(top) - len(rows))]]

    def _held(self, view: View) -> list[Text]:
        lines = [self._heading("held by the link: it arrives when you deliver it")]
        if not view.held:
            lines.append(self._line("   nothing", "dim"))
        shown = view.held[:MOST_HELD]
        wide = max((cells(one.event.line) for one in shown), default=0)
        for index, one in enumerate(shown):
            lines.append(self._one_held(index, one, index == view.marked, wide))
        if len(view.held) > len(shown):
            lines.append(self._line(f"   and {len(view.held) - len(shown)} more", "dim"))
        return lines

    def _one_held(self, index: int, held: Held, marked: bool, wide: int) -> Text:
        sign = self.mark if marked else " "
        said = f"{sign}{index + 1} {held.event.line:<{wide}}   {consequence(held, self.arrow)}"
        section = f"RFC 9293 {held.edges[-1].section}" if held.edges else ""
        for remarks in (
            (cause(held), remark(held)),
            (section, remark(held)),
            (remark(held),),
            (section,),
            (),
        ):
            more = "; ".join(filter(None, remarks))
            line = f"{said}   ({more})" if more else said
            if cells(line) <= self.width:
                break
        return self._line(line, "bold" if marked else "")

    def _kernels(self, view: View) -> list[Text]:
        lines = [self._heading("what both kernels say, and what RFC 9293 says can come next")]
        for side in SIDES:
            lines += self._end(view, side)
        return lines

    def _end(self, view: View, side: Side) -> list[Text]:
        end = view.look.end(side)
        first = Text(f"{side:6} ", no_wrap=True)
        first.append(f"{end.state:12}", "bold cyan" if self.colour else "")
        first.append("  " + queues(end))
        first.truncate(self.width, overflow="crop")
        for sections in (True, False):
            coming = f"{'':6} {' | '.join(upcoming(end, self.arrow, sections=sections))}"
            if cells(coming) <= self.width:
                break
        return [first, self._line(coming, "dim")]

    def _help(self) -> list[Text]:
        lines = [self._heading("keys")]
        lines += [self._line(f"  {key.label:6} {key.what}") for key in KEYS]
        lines.append(self._line(""))
        lines += [
            self._line(text, "dim")
            for text in (
                "Every segment is held. The kernels' timers go on: what they send again is",
                "counted, not queued. States are sock_diag's, what comes next is RFC 9293's.",
            )
        ]
        return lines

    def _keys(self) -> Text:
        line = Text(no_wrap=True)
        for key in KEYS:
            line.append(key.label, "reverse" if self.colour else "")
            line.append(f" {key.brief}  ")
        line.truncate(self.width, overflow="crop")
        return line
