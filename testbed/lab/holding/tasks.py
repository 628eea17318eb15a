"""The tasks that hold a connection, and the line where each of them waits.

A task holds a connection when a local of one of its coroutines is an object of it, or has one as
an attribute (``self.writer``) or in a tuple (``reader, writer``).  A list or a dict of connections
holds them for somebody else: `keepers` says for whom.

A suspended coroutine's locals are read through the collector: to ask its frame for them would,
before 3.13, leave a copy of them with the frame that keeps them alive.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Iterable, Iterator
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from . import place
from .objects import attributes, is_a
from .place import Place

_DEEPEST = 100
"""How many coroutines of one task are looked at."""

SUSPENDED = (CoroutineType, GeneratorType, AsyncGeneratorType)
if TYPE_CHECKING:
    Suspended = CoroutineType[Any, Any, Any] | GeneratorType[Any, Any, Any] | AsyncGeneratorType[Any, Any]


class Waiting(NamedTuple):
    """A task that holds a connection.

    task     its name
    at       the innermost line of the code that its reader can change
    awaits   what the coroutine that stands there awaits, by its qualified name: ``Queue.get``
    started  where the task's own coroutine begins
    begun    whether that has run at all
    """

    task: str
    at: Place
    awaits: str
    started: Place
    begun: bool


def holders(tasks: Iterable[asyncio.Task[Any]], objects: Iterable[object]) -> list[Waiting]:
    """Which of `tasks` hold one of `objects`; those that can be changed come first."""
    wanted = {id(thing) for thing in objects}
    found = []
    for task in tasks:
        chain = list(coroutines(task))
        if any(_holds(coroutine, wanted) for coroutine in chain):
            waiting = _waiting(task, chain)
            if waiting is not None:
                found.append(waiting)
    return sorted(found, key=lambda waiting: waiting.at.whose)


def coroutines(task: asyncio.Task[Any]) -> Iterator[Suspended]:
    """A task's coroutine, what that awaits, and so on inwards, as long as it is Python."""
    awaited: object = task.get_coro()
    for _ in range(_DEEPEST):
        if not is_suspended(awaited):
            # await of something else: of an `async for`, or of what an __await__ returned
            inside = [thing for thing in gc.get_referents(awaited) if is_suspended(thing)]
            if not inside or is_a(awaited, asyncio.Future):
                return
            awaited = inside[0]
        yield awaited
        awaited = _awaited(awaited)
        if awaited is None:
            return


def is_suspended(thing: object) -> TypeGuard[Suspended]:
    """Whether it is a coroutine or a generator."""
    return type(thing) in SUSPENDED


def frame_of(coroutine: Suspended) -> FrameType | None:
    """The frame of a coroutine or generator; None when it has ended."""
    if isinstance(coroutine, CoroutineType):
        return coroutine.cr_frame
    return coroutine.ag_frame if isinstance(coroutine, AsyncGeneratorType) else coroutine.gi_frame


def _awaited(coroutine: Suspended) -> object:
    if isinstance(coroutine, CoroutineType):
        return coroutine.cr_await
    return coroutine.ag_await if isinstance(coroutine, AsyncGeneratorType) else coroutine.gi_yieldfrom


def _holds(coroutine: Suspended, wanted: set[int]) -> bool:
    return any(
        id(local) in wanted or any(id(part) in wanted for part in _parts(local))
        for local in gc.get_referents(coroutine)
    )


def _parts(local: object) -> Iterator[object]:
    """The members of a tuple; the attributes of any other object, but not of the coroutine's own code."""
    if type(local) in (CodeType, FunctionType):
        return
    if is_a(local, tuple):
        yield from tuple.__iter__(local)
    else:
        for _, value in attributes(local):
            yield value


def _waiting(task: asyncio.Task[Any], chain: list[Suspended]) -> Waiting | None:
    frames = [frame for coroutine in chain if (frame := frame_of(coroutine)) is not None]
    at = place.best(frames)
    if at is None:
        return None
    inner = frames[frames.index(at) + 1 :]
    awaits = place.short(inner[0].f_code.co_qualname) if inner else ""
    first = chain[0]
    begun = not isinstance(first, CoroutineType) or inspect.getcoroutinestate(first) != inspect.CORO_CREATED
    return Waiting(task.get_name(), place.of_frame(at), awaits, place.of_code(frames[0].f_code), begun)
