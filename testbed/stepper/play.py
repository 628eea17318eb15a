"""The loop of looks and keys: the same on a terminal and by a script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from ..errors import ExperimentError
from ..net.hosts import Side
from ..render.ladder import Ladder
from .keys import Command, Press, press
from .session import SIDES, Done, End, Held, Look, Session
from .words import outcome

REDRAW_SECONDS: Final = 0.1
SCRIPT_SECONDS: Final = 30.0
"""How long a script waits for a segment that it is to deliver."""


PATIENCE_OF_ALL: Final = 120.0
"""How long ``a`` waits for the next segment: a scenario's own timers pass meanwhile."""


class View(NamedTuple):
    """All that is to be shown at one moment."""

    ladder: Ladder
    look: Look
    held: list[Held]
    marked: int
    last: Done | None
    message: str
    over: bool
    helping: bool


class Stepper:
    """Carries out keys on a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.message = ""
        self._marked = 0  # the number of the segment; 0: the oldest
        self._helping = False

    def view(self) -> View:
        """The present moment."""
        look = self.session.look()
        held = self.session.held(look)
        over = self.session.over and not held
        message = self.message
        if self.session.problem:
            message = f"the scenario broke off: {self.session.problem}"
        elif over:
            failed = self.session.failed
            message = (
                f"over, and not so that {failed[0].statement}" if failed else "the scenario is over; q leaves"
            )
        return View(
            self.session.ladder(),
            look,
            held,
            self._index(held),
            self.session.done[-1] if self.session.done else None,
            message,
            over,
            self._helping,
        )

    def _index(self, held: Sequence[Held]) -> int:
        ids = [one.event.id for one in held]
        return ids.index(self._marked) if self._marked in ids else 0

    async def press(self, key: Press, *, wait: float = 0.0) -> bool:
        """Carry out one key; False when it is the last.

        wait  how long to wait for a segment where one is needed and none is held
        """
        self.message = ""
        helping, self._helping = self._helping, False
        if key.command is Command.QUIT:
            return False
        if key.command is Command.HELP:
            self._helping = not helping
        elif key.command is Command.MARK:
            await self._mark(key.number)
        elif key.command is Command.ALL:
            while await self.session.until_held(PATIENCE_OF_ALL):
                await self._act("deliver", 0.0)
                await self.session.quiet()
        elif key.command is Command.GO_ON:
            await self.session.thaw()
        else:
            await self._act(str(key.command), wait)
        return True

    async def _mark(self, number: int) -> None:
        held = self.session.held(self.session.look())
        if number <= len(held):
            self._marked = held[number - 1].event.id
        else:
            self.message = f"there is no segment {number}"

    async def _act(self, action: str, wait: float) -> None:
        if wait:
            await self.session.until_held(wait)
        held = self.session.held(self.session.look())
        if held:
            self.message = outcome(await self.session.act(action, held[self._index(held)]))
            self._marked = 0
        elif self.session.over:
            self.message = "the scenario is over"
        else:
            self.message = "nothing is held: the programs have nothing to send"


async def interactive(
    session: Session, key: Callable[[float], Awaitable[str | None]], show: Callable[[View], None]
) -> None:
    """Show, take a key, do it; until one quits.

    key   waits so many seconds for the name of a key; None when none came
    """
    stepper = Stepper(session)
    await session.until_held(1.0)
    show(stepper.view())
    while True:
        name = await key(REDRAW_SECONDS)
        pressed = press(name) if name is not None else None
        if pressed is not None:
            if pressed.command is Command.ALL:
                await _all(stepper, show)
            elif not await stepper.press(pressed):
                return
            await session.quiet()
        show(stepper.view())


async def _all(stepper: Stepper, show: Callable[[View], None]) -> None:
    working = asyncio.ensure_future(stepper.press(Press(Command.ALL)))
    while not working.done():
        await asyncio.wait([working], timeout=REDRAW_SECONDS)
        show(stepper.view())
    await working


async def scripted(session: Session, keys: Sequence[Press]) -> None:
    """Press the keys of a script; each look is taken when nothing has moved for a moment.

    Error handling: ExperimentError for a key that wants a segment where none comes.
    """
    stepper = Stepper(session)
    for number, key in enumerate(keys, 1):
        if key.command in (Command.DELIVER, Command.DROP, Command.DUPLICATE, Command.MARK):
            there = await session.until_held(SCRIPT_SECONDS)
            await session.quiet()
            if not there:
                what = "the scenario is over" if session.over else f"none came in {SCRIPT_SECONDS:g} s"
                raise ExperimentError(f"key {number} of the script wants a segment: {what}")
        if not await stepper.press(key):
            return
        if key.command is Command.GO_ON:
            await session.finish(session.scenario.seconds * 1.5 + 60)
    await session.quiet()


# ---------------------------------------------------------------- as JSON


def to_json(session: Session, last: Look) -> dict[str, Any]:
    """The document ``testbed.step/1``."""
    return {
        "schema": "testbed.step/1",
        "scenario": session.scenario.name,
        "over": session.over,
        "problem": session.problem,
        "failed": [check.statement for check in session.failed],
        "steps": [_step(done) for done in session.done],
        "now": _look(last),
        "held": [one.event.line for one in session.held(last)],
        "standing": {side: standing(session, last, side) for side in SIDES},
    }


def standing(session: Session, last: Look, side: Side) -> list[str]:
    """The states of one end that stood still: those at which a step was decided on, and the last."""
    looks = [*(done.before for done in session.done), last]
    states = [str(look.end(side).state) for look in looks]
    return [state for at, state in enumerate(states) if not at or states[at - 1] != state]


def _step(done: Done) -> dict[str, Any]:
    event = done.held.event
    return {
        "action": done.action,
        "segment": event.line,
        "fate": str(event.fate),
        "receiver": done.held.receiver,
        "expected": {
            "state": str(done.held.expected),
            "events": [str(edge.event) for edge in done.held.edges],
            "sections": [edge.section for edge in done.held.edges],
        },
        "before": _look(done.before),
        "after": _look(done.after),
        "outcome": outcome(done),
    }


def _look(look: Look) -> dict[str, Any]:
    return {"time_ns": look.time_ns, **{side: _end(look.end(side), look.time_ns) for side in SIDES}}


def _end(end: End, now: int) -> dict[str, Any]:
    told: dict[str, Any] = {"state": str(end.state), "for_ms": round((now - end.since_ns) / 1e6, 3)}
    if end.socket is not None:
        told |= {
            "rqueue": end.socket.rqueue,
            "wqueue": end.socket.wqueue,
            "timer": end.socket.timer.name,
            "timer_ms": end.socket.timer_ms,
            "retransmits": end.socket.retransmits,
            "held": bool(end.socket.inode),
        }
    return told
