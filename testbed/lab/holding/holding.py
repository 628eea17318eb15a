"""Who holds one connection in this process: all that is known, as clues of a place and a few words each."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Any, NamedTuple

from ...findings import Clue
from ...findings.phrases import count
from ...findings.table import Side
from ...tcp.states import State
from . import place
from .keepers import Kept, keeper
from .objects import Objects, Pair, find
from .place import Place, Whose
from .tasks import Waiting, holders
from .watch import Caught, Handler, Watch

_LONGEST = 72
"""Characters of a source line, or of an exception's text, that are quoted."""

_MOST = 3
"""Tasks that are named, and calls of close()."""


class End(NamedTuple):
    """One end of a connection, as the kernel shows it: its own address first in `pair`."""

    side: Side
    pair: Pair
    state: State


class Holding(NamedTuple):
    """Who holds one end of a connection, in this process.

    waiting   the tasks that hold it, and where they wait; none, or of a kind: the user's before others'
    handler   the task that was given it, and how that ended; None where that was not watched
    kept      when no task holds it, what keeps it alive; None: nothing
    accepted  the callback or protocol class that accepted it; None for a client's end
    opened    where it was connected; None for a server's end, and where that was not watched
    unsent    bytes still to be sent by a transport that the program has closed; None: it has not
    """

    waiting: tuple[Waiting, ...] = ()
    handler: Handler | None = None
    kept: Kept | None = None
    accepted: Place | None = None
    opened: Place | None = None
    unsent: int | None = None

    @property
    def clues(self) -> tuple[Clue, ...]:
        """What is known, each with its line; the one to be changed comes first."""
        return tuple(Clue(str(at), words) for at, words in self._lines())

    @property
    def whose(self) -> Whose:
        """Whose code the clues point into, at best."""
        return min((at.whose for at, _ in self._lines()), default=Whose.PYTHONS)

    def _lines(self) -> Iterator[tuple[Place, str]]:
        for waiting in self.waiting:
            yield _waits(waiting)
        if not self.waiting and self.handler is not None and self.handler.last is not None:
            yield from _ended(self.handler, self.handler.last, self.unsent)
            if self.accepted is not None and self.accepted.function == self.handler.began.function:
                closes = place.closes_of_its_last_argument(self.accepted) if self.unsent is None else []
                yield from ((close, f"{_quoted(close)} was not reached") for close in closes[:_MOST])
        if self.opened is not None:
            yield self.opened, f"opened in {self.opened.function}{_after_colon(self.opened)}"
        if self.kept is not None:
            yield from _keeps(self.kept)
        if self.accepted is not None:
            alone = not self.waiting and self.kept is None
            nobody = "; nothing in the program refers to it any more" if alone else ""
            yield self.accepted, f"accepted by {self.accepted.function}{nobody}"
        elif self.waiting and self.waiting[0].started.function != self.waiting[0].at.function:
            yield self.waiting[0].started, f"the task began in {self.waiting[0].started.function}"


def _waits(waiting: Waiting) -> tuple[Place, str]:
    if not waiting.begun:
        return waiting.at, f"task {waiting.task!r} holds it and has not begun to run"
    where = _quoted(waiting.at) or waiting.awaits or waiting.at.function
    return waiting.at, f"task {waiting.task!r} holds it and waits in {where}"


def _ended(handler: Handler, last: Place, unsent: int | None) -> Iterator[tuple[Place, str]]:
    name, after = handler.began.function, f" after {_quoted(last)}" if last.code else ""
    if handler.raised:
        yield last, f"{name} ended{after} with {_cut(handler.raised)}"
        return
    clause = place.except_clause_around(last)
    within = f", in {_quoted(clause)}," if clause and clause.code else ""
    closed = "without closing it"
    if unsent is not None:
        closed = f"and closed it, {count(unsent, 'byte')} still unsent"
    yield last, f"{name} returned{after}{within} {closed}"
    if handler.caught is not None and unsent is None:
        yield handler.caught.raised, _swallowed(handler.caught)


def _swallowed(caught: Caught) -> str:
    clause = place.except_clause_for(caught.came_up, caught.classes)
    return f"{_quoted(caught.raised) or caught.raised.function} raised {_cut(caught.what)}; " + (
        f"it was caught at {clause}" if clause else f"{caught.came_up.function} caught it"
    )


def _keeps(kept: Kept) -> Iterator[tuple[Place, str]]:
    if kept.path == kept.name:
        yield kept.at, f"`{kept.path}`, {kept.kind}, keeps it alive"
    else:
        yield kept.at, f"`{kept.path}` keeps it alive; `{kept.name}` is {kept.kind}"
    if kept.owned is not None and kept.owned != kept.at:
        yield kept.owned, f"it lies in `{kept.owner}`"


def _quoted(at: Place) -> str:
    """The source line, in backticks; empty where there is no source."""
    return f"`{_cut(at.code)}`" if at.code else ""


def _after_colon(at: Place) -> str:
    return f": {_quoted(at)}" if at.code else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


# ---------------------------------------------------------------- looking


def look(ends: Collection[End], watch: Watch) -> dict[Pair, Holding]:
    """Who holds each of these ends in this process; one of which the process has nothing is left out.

    The task that entered the lab is the test's own: it is no holder, but its locals may be keepers.

    The collector rests meanwhile.  After the peer's FIN asyncio's loop no longer refers to a stream's
    transport: a handler that waits for what nobody else knows is garbage then, and the next collection
    closes its connection.  That shall not be one which looking for it has brought about.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        found, tasks = find({end.pair for end in ends})
        others = [task for task in tasks if task is not watch.task and task is not _current()]
        return {end.pair: _holding(end, found[end.pair], others, watch) for end in ends if end.pair in found}
    finally:
        if enabled:
            gc.enable()


def _holding(end: End, objects: Objects, tasks: list[asyncio.Task[Any]], watch: Watch) -> Holding:
    found = holders(tasks, objects.all())
    waiting = tuple(one for one in found if one.at.whose == found[0].at.whose)[:_MOST]
    closing = [transport for transport in objects.transports if transport.is_closing()]
    opened = [at for sock in objects.sockets if (at := watch.connected(sock)) is not None]
    return Holding(
        waiting=waiting,
        handler=watch.handler(end.pair),
        kept=None if waiting else keeper(objects.all(), _running()),
        accepted=_accepted_by(objects) if end.side == "server" else None,
        opened=opened[0] if opened and end.side == "client" else None,
        unsent=closing[0].get_write_buffer_size() if closing else None,
    )


def _accepted_by(objects: Objects) -> Place | None:
    """The callback of `asyncio.start_server`, or the class of a protocol."""
    for protocol in objects.protocols:
        # no public name tells the callback of a stream's protocol
        callback = getattr(protocol, "_client_connected_cb", None)
        at = place.of_class(type(protocol)) if callback is None else place.of_callable(callback)
        if at is not None and (callback is not None or at.whose is not Whose.PYTHONS):
            return at
    return None


def _current() -> asyncio.Task[Any] | None:
    return asyncio.current_task() if asyncio._get_running_loop() is not None else None


def _running() -> Iterator[FrameType]:
    """The frames of all functions that run now, in every thread."""
    for innermost in sys._current_frames().values():
        frame: FrameType | None = innermost
        while frame is not None:
            yield frame
            frame = frame.f_back
