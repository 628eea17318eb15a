"""What must be noted at the moment it happens, because no trace of it is left afterwards.

    how a handler ended      at which line it returned, or what it raised; what it caught last
    where a socket connected at which line of the user's

While a `Watch` is on, three things are in place, each as light as its purpose allows:

    a task factory    around the loop's own.  It notes where each task was created, and holds on to
                      the frame of a task that was given a connection until its done-callback has
                      run, because a frame that has ended still knows its last line.  Its locals
                      live one step of the loop longer for it.
    an audit hook     for socket.connect.  Python can remove none, so it is added once, by the first
                      watch, and does nothing while no watch is on.
    sys.monitoring    (3.12 and later) the event of a caught exception.  Nothing else tells of an
                      exception that was swallowed; it costs nothing where none is caught.

Only places and words are kept, no object of the program.
"""

from __future__ import annotations

import asyncio
import dis
import gc
import socket
import sys
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, CoroutineType, FrameType, FunctionType, TracebackType
from typing import Any, Self

from . import place
from .objects import Pair, attributes, pair_of
from .place import Place, Whose, whose

_PLAIN = frozenset(
    {type(None), bool, bytes, dict, float, int, list, set, str, tuple, CodeType, FrameType, FunctionType}
)
"""What most coroutines refer to, and no connection is."""

_MOST = 10_000
"""Ended handlers that are remembered, the latest ones."""


@dataclass(slots=True)
class Caught:
    """An exception that a handler's code caught.

    what    its class and text: ``ValueError: no number``
    raised  the innermost line of the user's that it came from
    came_up the line where it came up in the function that caught it
    classes the names of its classes
    """

    what: str
    raised: Place
    came_up: Place
    classes: tuple[str, ...]


@dataclass(slots=True)
class Handler:
    """A task that was given a connection: where it began, and how it ended.

    last    where it returned, or was left by what it raised; None while it runs
    raised  what it ended with: ``ValueError: no number``, ``CancelledError``; empty: it returned
    caught  what it caught last; known from 3.12 on
    """

    task: str
    began: Place
    last: Place | None = None
    raised: str = ""
    caught: Caught | None = None


class Watch:
    """Notes what happens in the running loop, from entering to leaving; a plain context manager."""

    def __init__(self) -> None:
        self._handlers: dict[Pair, Handler] = {}
        self._of_task: weakref.WeakKeyDictionary[asyncio.Task[Any], Handler] = weakref.WeakKeyDictionary()
        self._created: weakref.WeakKeyDictionary[asyncio.Task[Any], Place] = weakref.WeakKeyDictionary()
        self._connected: weakref.WeakKeyDictionary[socket.socket, Place] = weakref.WeakKeyDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: Callable[..., Any] | None = None
        self._factory: Callable[..., Any] | None = None
        self.task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.current_task()
        self._before = self._loop.get_task_factory()
        self._factory = self._make_task
        self._loop.set_task_factory(self._factory)
        _start(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _stop(self)
        assert self._loop is not None
        if self._loop.get_task_factory() is self._factory:
            self._loop.set_task_factory(self._before)
        # else somebody has put another one around ours, which goes on passing tasks through

    # ------------------------------------------------------------ what was noted

    def handler(self, pair: Pair) -> Handler | None:
        """The last task that was given this connection."""
        return self._handlers.get(pair)

    def connected(self, sock: socket.socket) -> Place | None:
        """Where this socket was connected."""
        return self._connected.get(sock)

    # ------------------------------------------------------------ tasks

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Future[Any]:
        frame = coro.cr_frame if self in _watching and type(coro) is CoroutineType else None
        pair = _given(coro) if frame and whose(frame.f_code.co_filename) is not Whose.PYTHONS else None
        task = (
            _TASK(coro, loop=loop, **options) if self._before is None else self._before(loop, coro, **options)
        )
        if frame is None or not isinstance(task, asyncio.Task):
            return task
        created = place.caller(sys._getframe(1)) or self._current_created()
        if created is not None:
            self._created[task] = created
        if pair is not None:
            while len(self._handlers) >= _MOST:
                del self._handlers[next(iter(self._handlers))]
            handler = Handler(task.get_name(), place.of_frame(frame, frame.f_code.co_firstlineno))
            self._handlers[pair] = self._of_task[task] = handler
            task.add_done_callback(_Ending(handler, frame))
        return task

    def _current_created(self) -> Place | None:
        task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
        return None if task is None else self._created.get(task)

    def note_connect(self, sock: socket.socket, frame: FrameType) -> None:
        """A socket is about to connect."""
        at = place.caller(frame) or self._current_created()
        if at is not None:
            self._connected[sock] = at

    def note_caught(self, code: CodeType, error: BaseException, *, leaves: bool) -> None:
        """`error` was caught in the function of `code`, where its traceback begins.

        leaves  but it only leaves the coroutine, each of which has such a handler around all of it
        """
        task = asyncio.current_task()
        handler = None if task is None else self._of_task.get(task)
        first = error.__traceback__
        if handler is not None and leaves:
            handler.caught = None
            return
        if handler is None or first is None or first.tb_frame.f_code is not code:
            return
        raised = came_up = place.of_frame(first.tb_frame, first.tb_lineno)
        while first is not None:
            if whose(first.tb_frame.f_code.co_filename) is Whose.USERS:
                raised = place.of_frame(first.tb_frame, first.tb_lineno)
            first = first.tb_next
        classes = tuple(cls.__name__ for cls in type(error).__mro__)
        handler.caught = Caught(_words(error), raised, came_up, classes)


class _NamedTask(asyncio.Task[Any]):
    """Python 3.13.0 to 3.13.2 name a factory's task "None" where its creator gave it no name."""

    def set_name(self, value: object) -> None:
        if value is not None:
            super().set_name(value)


_NamedTask.__name__ = _NamedTask.__qualname__ = "Task"  # as it is seen in a repr
_TASK = _NamedTask if (3, 13) <= sys.version_info < (3, 13, 3) else asyncio.Task


class _Ending:
    """A done-callback that reads the last line off the frame, and lets go of it."""

    def __init__(self, handler: Handler, frame: FrameType) -> None:
        self.handler = handler
        self.frame: FrameType | None = frame

    def __call__(self, task: asyncio.Task[Any]) -> None:
        frame, self.frame = self.frame, None
        if frame is None:
            return
        self.handler.last = place.of_frame(frame)
        # task.exception() would mark it as retrieved, and asyncio's own word about it be lost
        error = getattr(task, "_exception", None)
        self.handler.raised = "CancelledError" if task.cancelled() else _words(error) if error else ""


def _given(coro: CoroutineType[Any, Any, Any]) -> Pair | None:
    """The connection that is among the arguments of a coroutine, or an attribute of one of them."""
    # not the frame's f_locals: they would keep them alive before 3.13
    arguments = [thing for thing in gc.get_referents(coro) if type(thing) not in _PLAIN]
    for argument in arguments:
        if (pair := pair_of(argument)) is not None:
            return pair
    for argument in arguments:
        for _, value in attributes(argument):
            if type(value) not in _PLAIN and (pair := pair_of(value)) is not None:
                return pair
    return None


def _words(error: BaseException) -> str:
    """The class and text of an exception, in one line; one that cannot tell its text does no harm."""
    return traceback.format_exception_only(error)[-1].strip().partition("\n")[0]


# ---------------------------------------------------------------- process-wide hooks

_watching: list[Watch] = []
_hooked = False
_tool: int | None = None


def _start(watch: Watch) -> None:
    global _hooked
    if not _hooked:
        sys.addaudithook(_audit)
        _hooked = True
    if not _watching:
        _monitor()
    _watching.append(watch)


def _stop(watch: Watch) -> None:
    _watching.remove(watch)
    if not _watching:
        _stop_monitoring()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching and isinstance(arguments[0], socket.socket):
        for watch in tuple(_watching):
            watch.note_connect(arguments[0], sys._getframe(1))


_LEAVING = dis.opmap.get("CALL_INTRINSIC_1")
"""How the handler begins that makes a RuntimeError of a StopIteration; every other saves the exception."""


def _caught(code: CodeType, offset: int, error: BaseException) -> None:
    """A function caught an exception.  Asked of the user's code alone: asyncio catches many of its own."""
    if whose(code.co_filename) is not Whose.USERS or asyncio._get_running_loop() is None:
        return
    if not isinstance(error, StopIteration | StopAsyncIteration | GeneratorExit):
        leaves = code.co_code[offset] == _LEAVING
        for watch in tuple(_watching):
            watch.note_caught(code, error, leaves=leaves)


if sys.version_info >= (3, 12):

    def _monitor() -> None:
        """Ask for caught exceptions, under the first number that no other tool has."""
        global _tool
        for number in (4, 3):  # without a purpose of their own (sys.monitoring, "Tool identifiers")
            if sys.monitoring.get_tool(number) is None:
                sys.monitoring.use_tool_id(number, "tcp-testbed")
                event = sys.monitoring.events.EXCEPTION_HANDLED
                sys.monitoring.register_callback(number, event, _caught)
                sys.monitoring.set_events(number, event)
                _tool = number
                return

    def _stop_monitoring() -> None:
        global _tool
        if _tool is not None:
            sys.monitoring.set_events(_tool, 0)
            sys.monitoring.free_tool_id(_tool)
            _tool = None
else:

    def _monitor() -> None:
        """Python 3.11 cannot tell of caught exceptions."""

    def _stop_monitoring() -> None:
        pass
