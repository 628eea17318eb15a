"""Who keeps an object alive: the way to it from a name in the program, as one would write it.

    keeper([writer])   ->   Kept("pool.idle[0]", "a local of test_fetch", app.py:31, ...)

The search goes from the object upwards, through those that refer to it, level by level, until it
meets a global of a module, a local of a coroutine or of a running function, or a variable that a
function closes over.  The nearest name of the user's own code wins.  What only the event loop refers
to, or nothing at all but itself in a circle, has no keeper.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from types import FrameType, FunctionType, ModuleType
from typing import NamedTuple

from . import place
from .objects import attributes, is_a, module_of, namespace_of
from .place import Place, Whose
from .tasks import SUSPENDED, frame_of, is_suspended

_LEVELS = 12
_WIDEST = 5000
_CONTAINERS = (list, tuple, dict, set, frozenset)
_MACHINERY = ("asyncio.", "_asyncio", "uvloop", "concurrent.", "threading", __package__)


class Kept(NamedTuple):
    """What keeps an object alive.

    path   the way to it: ``pool.idle[0]``, ``app.LEFT[1]``
    kind   what the name at its beginning is: ``a global``, ``a local of test_fetch``
    name   that name: ``app.LEFT``, ``pool``
    at     the line that gives that name its value
    owner  the attribute on the way and its class: ``Pool.idle``; empty where there is none
    owned  the line that gives the attribute its value
    """

    path: str
    kind: str
    name: str
    at: Place
    owner: str = ""
    owned: Place | None = None


class _Step(NamedTuple):
    """How one object refers to another: `text` is ``.idle`` or ``[0]``, and empty where none is written.

    of         the class whose attribute it is
    namespace  the other is the ``__dict__`` of this one: its keys are attributes, of `of`
    """

    to: int
    text: str
    name: str = ""
    of: type | None = None
    namespace: bool = False


_Steps = dict[int, _Step | None]
"""By the identity of an object: its step towards what is kept; None for that itself."""


def keeper(things: Iterable[object], running: Iterable[FrameType] = ()) -> Kept | None:
    """Who keeps one of `things` alive; None when no name of the program leads to any.

    running  the frames of functions that run now: the collector knows nothing of their locals
    """
    level = list(things)
    steps: _Steps = {id(thing): None for thing in level}
    met = [level]  # kept, or an identity might be another object's by the time it is compared
    known: dict[int, tuple[FrameType, str]] = {
        id(value): (frame, name)
        for frame in running
        if place.whose(frame.f_code.co_filename) is Whose.USERS
        for name, value in frame.f_locals.items()
    }
    hidden = {id(met), id(steps), id(known)}
    fallback: Kept | None = None
    for _ in range(_LEVELS):
        above: list[object] = []
        for thing in level:
            kept = _named(thing, steps, known)
            if kept is None:
                above.append(thing)
            elif kept.at.whose is Whose.USERS:
                return kept
            elif kept.at.whose is not Whose.PYTHONS:  # those are the loop's own
                fallback = fallback or kept
        met.append(above)
        level = _above(above, steps, hidden | {id(one) for one in met})
        met.append(level)
    return fallback


def _above(level: list[object], steps: _Steps, hidden: set[int]) -> list[object]:
    """Those that refer to one of `level` and were not met before; how they do is noted in `steps`."""
    here = {id(thing): order for order, thing in enumerate(level)}
    found: list[object] = []
    for thing in gc.get_referrers(*level) if level else ():
        if id(thing) in steps or id(thing) in hidden or not _leads_on(thing):
            continue
        step = min(_steps(thing, here), key=lambda step: here[step.to], default=None)
        if step is not None and len(found) < _WIDEST:
            steps[id(thing)] = step
            found.append(thing)
    return found


def _leads_on(thing: object) -> bool:
    kind = type(thing)
    if issubclass(kind, (*_CONTAINERS, *SUSPENDED, type)):
        return True
    return not issubclass(kind, ModuleType | FrameType) and not module_of(kind).startswith(_MACHINERY)


def _steps(thing: object, here: dict[int, int]) -> Iterator[_Step]:
    """How `thing` refers to those of `here`.  Containers are read as what they are, whatever their class."""
    if is_a(thing, list):
        yield from _places(list.__iter__(thing), here)
    elif is_a(thing, tuple):
        yield from _places(tuple.__iter__(thing), here)
    elif is_a(thing, dict):
        for key, value in list(dict.items(thing)):
            if id(value) in here:
                yield _Step(id(value), f"[{_key(key)}]", key if type(key) is str else "")
            elif id(key) in here:
                yield _Step(id(key), "")
    else:
        for name, value in attributes(thing):
            if id(value) in here:
                yield _Step(id(value), f".{name}", name, type(thing))
        of = thing if is_a(thing, type) else type(thing)
        for part in gc.get_referents(thing):  # the members of a set; a class's or an object's own namespace
            if id(part) in here:
                own = type(part) is dict and (of is thing or part is namespace_of(thing))
                yield _Step(id(part), "", of=of, namespace=own)


def _places(members: Iterator[object], here: dict[int, int]) -> Iterator[_Step]:
    return (_Step(id(member), f"[{n}]") for n, member in enumerate(members) if id(member) in here)


def _key(key: object) -> str:
    return repr(key) if type(key) in (str, int, bytes) and len(repr(key)) < 40 else "..."


# ---------------------------------------------------------------- names


def _named(thing: object, steps: _Steps, known: dict[int, tuple[FrameType, str]]) -> Kept | None:
    """What is kept, by a name that `thing` is or has; None where it neither is nor has one."""
    way = _way(thing, steps)
    if id(thing) in known:
        frame, name = known[id(thing)]
        return _local(frame, name, way)
    if is_suspended(thing):
        suspended = frame_of(thing)
        for name, value in suspended.f_locals.items() if suspended else ():
            for n, step in enumerate(way):
                if suspended and id(value) == step.to:
                    return _local(suspended, name, way[n + 1 :])
    elif is_a(thing, FunctionType):
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
            for n, step in enumerate(way):
                if id(cell) == step.to:
                    at = place.of_code(thing.__code__)
                    return _kept(name, f"a variable that {at.function} closes over", at, way[n + 2 :])
    elif is_a(thing, type) and len(way) > 1:
        bound = place.binding_of_attribute(thing, way[1].name)
        if bound is not None:
            return _kept(f"{thing.__name__}.{way[1].name}", "a class attribute", bound, way[2:])
    elif type(thing) is dict and "__builtins__" in thing and isinstance(thing.get("__name__"), str) and way:
        file = thing.get("__file__") or "?"
        line = place.binding_of_global(file, way[0].name) or 1
        return _kept(
            f"{thing['__name__']}.{way[0].name}", "a global", Place(file, line, way[0].name), way[1:]
        )
    return None


def _way(thing: object, steps: _Steps) -> list[_Step]:
    """The steps from `thing` to what is kept."""
    way: list[_Step] = []
    step = steps[id(thing)]
    while step is not None:
        way.append(step)
        step = steps[step.to]
    return way


def _local(frame: FrameType, name: str, way: list[_Step]) -> Kept:
    at = place.of_frame(frame)
    bound = place.binding_of_local(at, name)
    return _kept(name, f"a local of {at.function}", at._replace(line=bound or at.line), way)


def _kept(name: str, kind: str, at: Place, way: list[_Step]) -> Kept:
    """Write the way down.  The attribute told of is the last one of a class of the user's."""
    path, owner, owned = name, "", None
    above: _Step | None = None
    for step in way:
        of = above.of if above is not None and above.namespace else step.of
        attribute = step.name if above is None or above.namespace or step.of else ""
        path += f".{step.name}" if above is not None and above.namespace else step.text
        if of is not None and attribute:
            line = place.binding_of_attribute(of, attribute)
            if line is not None and line.whose is Whose.USERS:
                owner, owned = f"{of.__name__}.{attribute}", line
        above = step
    return Kept(path, kind, name, at, owner, owned)
