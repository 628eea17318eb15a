"""What is watched, to be read: an event as a line, the connections as a table, the account as words.

Everything here makes lines of rich's Text and prints nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from rich.text import Text

from ..findings.phrases import count
from ..kernel.diag_socket import DiagSocket, Timer
from ..kernel.owners import Owner
from ..kernel.readings import readings
from ..kernel.sample import name_of
from ..render.escape import cells, clip, visible, wrap
from ..render.wording import duration
from ..tcp.states import State
from .connections import End
from .events import Account, CloseWait, Ending, Event, Kind
from .ledger import OF_TIMERS

_BAD, _ODD, _FINE, _QUIET = "bold red", "yellow", "green", "dim"

STYLES: Final[dict[Kind, str]] = {
    Kind.FOUND: _QUIET,
    Kind.OPENED: _FINE,
    Kind.STATE: "",
    Kind.UNANSWERED: _ODD,
    Kind.LEAK: _BAD,
    Kind.GONE: _ODD,
    Kind.CLOSED: _FINE,
    Kind.RESET: _BAD,
    Kind.EXPIRED: _ODD,
    Kind.FAILED: _ODD,
    Kind.ENDED: _ODD,
    Kind.HELD: _BAD,
    Kind.EXPLAINED: "cyan",
}

STATE_STYLES: Final[dict[State, str]] = {
    State.ESTABLISHED: _FINE,
    State.CLOSE_WAIT: _ODD,
    State.TIME_WAIT: _QUIET,
    State.LISTEN: _QUIET,
}

TIMERS: Final[dict[Timer, str]] = {
    Timer.NONE: "",
    Timer.RETRANSMISSION: "resend",
    Timer.KEEPALIVE: "keepalive",
    Timer.TIME_WAIT: "ends",
    Timer.WINDOW_PROBE: "probe",
    Timer.OTHER: "other",
}

ENDING: Final = frozenset({Kind.CLOSED, Kind.RESET, Kind.EXPIRED, Kind.FAILED, Kind.ENDED})

MANY_FOUND: Final = 10
"""Connections that are there already: of more than that only those are told that do not simply go on."""

ENDINGS: Final[dict[Ending, str]] = {
    Ending.ORDERLY: "closed in order",
    Ending.RESET: "reset",
    Ending.EXPIRED: "given up by the kernel",
    Ending.FAILED: "never came about",
    Ending.UNSEEN: "over, nobody saw how",
    Ending.OPEN: "still open",
}

HolderOf = Callable[[int], Owner | None]


# ---------------------------------------------------------------- an event


def line(event: Event, *, ascii_only: bool = False) -> Text:
    """One line, as long as it needs to be: when, which connection, which end, and what happened."""
    both = "<->" if ascii_only else "↔"
    where = f"{name_of(event.local)} {both} {name_of(event.remote)}"
    if event.kind is Kind.EXPLAINED:
        return Text.assemble(
            (clock(event.time_ns), _QUIET),
            f"  #{event.connection or '-'} ",
            (str(event.kind), STYLES[event.kind]),
            f" {visible(event.text, ascii_only=ascii_only)}",
        )
    text = Text.assemble(
        (clock(event.time_ns), _QUIET), f"  #{event.connection} {event.side or 'end'} {where}  "
    )
    said = "" if event.kind is Kind.STATE else str(event.kind)
    if event.kind is Kind.RESET and not event.certain:
        said = "probably reset"
    if event.reset_by is not None:
        said = f"{said} by the {event.reset_by}"
    text.append(said, STYLES[event.kind])
    text.append(f"{' ' if said else ''}{_how(event, '->' if ascii_only else '→')}")
    if event.text:
        text.append(f": {visible(event.text, ascii_only=ascii_only)}")
    if event.holder is not None:
        text.append(f"; {held_by(event.holder)}", "bold" if event.kind is Kind.LEAK else "")
    return text


def condensed(events: Sequence[Event]) -> list[Event]:
    """Those worth a line each: of states that went by between two looks only what they led to, and no
    ESTABLISHED of a connection that was said to be open."""
    many = sum(event.kind is Kind.FOUND for event in events) > MANY_FOUND
    if many:
        events = [e for e in events if e.kind is not Kind.FOUND or e.state is not State.ESTABLISHED]
    over = {event.connection for event in events if event.kind in ENDING}
    events = [e for e in events if e.kind is not Kind.STATE or e.state is not State.ESTABLISHED]
    last = {(e.connection, e.local): e for e in events if e.kind is Kind.STATE}
    return [
        e
        for e in events
        if e.kind is not Kind.STATE or (e.connection not in over and last[e.connection, e.local] is e)
    ]


def _how(event: Event, arrow: str) -> str:
    """The states, and the time spent in the one that is over (or, of a leak, lasts)."""
    spent = ""
    if event.spent_ns is not None:
        spent = f" {'>' if event.at_least else ''}{lasting(event.spent_ns)}"
    if event.before is None:
        return f"{event.state or 'for'}{spent}"
    return f"{event.before}{spent} {arrow} {event.state or 'gone'}"


def lasting(ns: int) -> str:
    """A length of time: below a second in ms."""
    return duration(ns) if ns >= 950_000_000 else f"{max(0, ns) / 1e6:.3g} ms"


def held_by(holder: Owner) -> str:
    """``process 4711 (python app.py), descriptor 7``."""
    command = f" ({visible(holder.command)})" if holder.command else ""
    return f"process {holder.pid}{command}, descriptor {holder.fd}"


def clock(time_ns: int) -> str:
    """The time of day here: ``14:03:59.120``."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1_000_000:03d}"


def wrapped(text: Text, width: int, indent: int = 14) -> list[Text]:
    """`text` as lines of at most `width` columns, all but the first set in."""
    if cells(text.plain) <= width:
        return [text]
    plain = text.plain
    at = len(plain) - len(plain.lstrip())
    first = wrap(plain[at:], width - at)[0]
    at += len(first)
    lines = [text[:at]]
    for piece in wrap(plain[at:].lstrip(), width - indent):
        start = plain.index(piece, at)
        at = start + len(piece)
        lines.append(Text(" " * indent).append_text(text[start:at]))
    return lines


# ---------------------------------------------------------------- the table


class Column(NamedTuple):
    """A column: its title and its cells; set to the right, left out where the table is narrower."""

    title: str
    cell: Callable[[End, HolderOf, int], str]
    right: bool = False
    from_width: int = 0


def _local(end: End, holder: HolderOf, now: int) -> str:
    return name_of(end.local)


def _spent(end: End, holder: HolderOf, now: int) -> str:
    return (">" if end.at_least else "") + short(now - end.since_ns)


def _queues(end: End, holder: HolderOf, now: int) -> str:
    return f"{end.row.rqueue}/{end.row.wqueue}"


def _timer(end: End, holder: HolderOf, now: int) -> str:
    if end.row.timer is Timer.NONE:
        return ""
    tries = f" x{end.row.retransmits}" if end.row.retransmits else ""
    return f"{TIMERS[end.row.timer]} {short(end.row.timer_ms * 1_000_000)}{tries}"


def _holder(end: End, holder: HolderOf, now: int) -> str:
    owner = holder(end.row.inode)
    if owner is not None:
        return f"{owner.pid} {visible(owner.command or '')}".rstrip()
    if end.row.inode:
        return "?"
    return "" if end.row.small else "nobody"


def _reading(end: End, holder: HolderOf, now: int) -> str:
    return ", ".join(r.code for r in readings(end.row) if r.code not in OF_TIMERS)


COLUMNS: Final[tuple[Column, ...]] = (
    Column("#", lambda end, holder, now: str(end.connection.number), right=True),
    Column("local", _local),
    Column("remote", lambda end, holder, now: name_of(end.remote)),
    Column("state", lambda end, holder, now: str(end.state)),
    Column("for", _spent, right=True),
    Column("in/out", _queues, right=True),
    Column("timer", _timer),
    Column("reading", _reading, from_width=100),
    Column("holder", _holder),
)


def short(ns: int) -> str:
    """A length of time in at most 6 columns: ``0.3s``, ``59s``, ``12m05``, ``3h07``, ``12d``."""
    seconds = max(0, ns) / 1e9
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86400}d"


def rank(end: End) -> tuple[int, int, int]:
    """What wants looking at comes first: leaks, CLOSE_WAIT, other closing states, then the newest."""
    state, number = end.state, end.connection.number
    if end.leak:
        return 0, end.since_ns, number
    if state is State.CLOSE_WAIT or end.unanswered:
        return 1, end.since_ns, number
    place = 4 if state is State.TIME_WAIT else 3 if state is State.ESTABLISHED else 2
    return place, -end.since_ns, number


def shown(ends: Iterable[End], rows: int, *, everything: bool = False) -> tuple[list[End], int]:
    """The ends for a table of `rows` lines, by rank, and how many are left out.  TIME_WAIT is shown
    where everything is."""
    wanted = [end for end in ends if everything or end.state is not State.TIME_WAIT]
    wanted.sort(key=rank)
    return wanted[:rows], max(0, len(wanted) - rows)


def table(
    ends: Sequence[End], holder: HolderOf, now_ns: int, width: int, *, ascii_only: bool = False
) -> list[Text]:
    """The ends as rows under a heading, cut to `width` columns.

    Where all are of one address (`only_host`) only their ports are told.  Room goes first to what is
    short; the holder gets what is left, and addresses are cut before it has nothing.
    """
    columns = [column for column in COLUMNS if width >= column.from_width]
    grid = [[column.title for column in columns]]
    host = only_host(ends)
    inside = all(end.remote[0] == host for end in ends)
    for end in ends:
        cells_of_row = [column.cell(end, holder, now_ns) for column in columns]
        if host:
            cells_of_row[1] = f":{end.local[1]}"
        if inside:
            cells_of_row[2] = f":{end.remote[1]}"
        grid.append(cells_of_row)
    widths = _fitted([max(cells(row[n]) for row in grid) for n in range(len(columns))], width)
    dots = "..." if ascii_only else "…"
    lines = []
    for number, row in enumerate(grid):
        text = Text()
        for column, content, room in zip(columns, row, widths, strict=True):
            content = clip(content, room, dots)
            gap = " " * (room - cells(content))
            style = "bold" if number == 0 else _style(ends[number - 1], column.title)
            text.append(gap + content if column.right else content + gap, style)
            text.append(" ")
        text.rstrip()
        text.truncate(width)
        lines.append(text)
    return lines


def only_host(ends: Sequence[End]) -> str | None:
    """The address that all these ends are at; None where they are at several."""
    hosts = {end.local[0] for end in ends}
    return hosts.pop() if len(hosts) == 1 else None


_SMALLEST_HOLDER: Final = 12
_SMALLEST_ADDRESS: Final = 12


def _fitted(natural: list[int], width: int) -> list[int]:
    """Widths that with a blank between them fill no more than `width`."""
    widths = list(natural)
    over = sum(widths) + len(widths) - 1 - width
    for at, least in (
        (-1, _SMALLEST_HOLDER),
        (2, _SMALLEST_ADDRESS),
        (1, _SMALLEST_ADDRESS),
        (-2, 6),
        (-1, 0),
    ):
        if over <= 0:
            break
        cut = min(over, max(0, widths[at] - least))
        widths[at] -= cut
        over -= cut
    return widths


def _style(end: End, title: str) -> str:
    if end.leak:
        return _BAD
    if title == "state":
        return STATE_STYLES.get(end.state, "cyan") if end.state else ""
    if title == "timer" and end.row.retransmits:
        return _ODD
    return ""


def heading(subject: str, ends: Iterable[End], width: int, *, ascii_only: bool = False) -> Text:
    """What is watched, and how many ends there are in which state."""
    states = Counter(end.state for end in ends if end.state is not None)
    told = ", ".join(
        f"{n} {state}" for state, n in sorted(states.items(), key=lambda item: (-item[1], item[0]))
    )
    body = f"{subject}: {told or 'no connection'}"
    return Text(clip(body, width, "..." if ascii_only else "…"), "reverse")


def listeners(rows: Sequence[DiagSocket], holder: HolderOf, width: int) -> list[Text]:
    """Listening sockets, each with those that wait for accept()."""
    lines = []
    for row in rows:
        owner = holder(row.inode)
        by = f"  {owner.pid} {visible(owner.command or '')}".rstrip() if owner else ""
        full = any(reading.code == "backlog-full" for reading in readings(row))
        said = clip(f"LISTEN {name_of(row.local)}  {row.rqueue} of {row.wqueue} wait for accept(){by}", width)
        lines.append(Text(said, _BAD if full else _QUIET))
    return lines


# ---------------------------------------------------------------- the account


def account(told: Account) -> list[Text]:
    """The end: how many, how they ended, who kept what open."""
    endings = ", ".join(f"{n:,} {ENDINGS[ending]}" for ending, n in told.endings.items() if n)
    head = f"{count(told.connections, 'connection')} in {duration(int(told.seconds * 1e9))}"
    lines = [Text(f"{head}{': ' if endings else ''}{endings}", "bold")]
    known = {side: n for side, n in told.resets_by.items() if side is not None}
    if told.endings[Ending.RESET]:
        unknown = told.resets_by.get(None, 0)
        parts = [f"{n:,} by the {side}" for side, n in known.items()]
        parts += [f"{unknown:,} by whom is not known"] if unknown else []
        lines.append(Text(f"  resets: {', '.join(parts)}"))
    if told.leaked:
        lines.append(Text(f"  leaked: {count(told.leaked, 'connection')}, {len(told.leaks)} still", _BAD))
        lines += [Text(f"    {_stay(leak)}") for leak in told.leaks]
    if told.held:
        lines.append(Text(f"  descriptors open after their connections' end: {told.held:,}", _BAD))
    if told.longest is not None and told.longest not in told.leaks:
        lines.append(Text(f"  longest CLOSE_WAIT: {_stay(told.longest)}"))
    lines += [Text(f"  {note}", _QUIET) for note in told.notes]
    return lines


def _stay(stay: CloseWait) -> str:
    spent = f"{'more than ' if stay.at_least else ''}{lasting(stay.spent_ns)}"
    by = held_by(stay.holder) if stay.holder else "holder not known" if stay.inode else "held by nobody"
    ends = f"{name_of(stay.local)} from {name_of(stay.remote)}"
    return f"#{stay.connection} {ends}: {spent}{'' if stay.ended else ' and still'}, {by}"
