"""Places in source files: whose they are, and what the source says around them."""

from __future__ import annotations

import ast
import enum
import functools
import inspect
import linecache
import os
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

_OURS = str(Path(__file__).resolve().parents[3]) + os.sep
_STDLIB = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_INSTALLED = tuple({sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib")})
_LOOP = str(Path(inspect.getfile(__import__("asyncio"))).parent / "events.py")


class Whose(enum.IntEnum):
    """Whose code a file is; the lower, the more likely it is what its reader can change."""

    USERS = 0
    INSTALLED = 1
    OURS = 2
    PYTHONS = 3


@functools.cache
def whose(file: str) -> Whose:
    """Whose code `file` is."""
    if file.startswith("<"):
        return Whose.PYTHONS
    if file.startswith(_OURS + "testbed" + os.sep):
        return Whose.OURS
    if file.startswith(_INSTALLED) or {"site-packages", "dist-packages"} & set(Path(file).parts):
        return Whose.INSTALLED
    return Whose.PYTHONS if file.startswith(_STDLIB) else Whose.USERS


class Place(NamedTuple):
    """A line of a source file; `function` is the qualified name of what it is in, or of what begins there."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        """``app.py:34``, as a terminal makes a link of it; a library's by its name in the library."""
        if self.whose in (Whose.USERS, Whose.PYTHONS):
            near = os.path.relpath(self.file)
            return f"{self.file if near.startswith('..') else near}:{self.line}"
        root = next((root for root in (*_INSTALLED, _OURS) if self.file.startswith(root)), "")
        return f"{self.file.removeprefix(root)}:{self.line}"

    @property
    def code(self) -> str:
        """The line itself; empty where there is no source."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def whose(self) -> Whose:
        """Whose code it is."""
        return whose(self.file)


# ---------------------------------------------------------------- places of things


def of_frame(frame: FrameType, line: int | None = None) -> Place:
    """Where a frame is, or `line` of its file."""
    code = frame.f_code
    return Place(code.co_filename, line or frame.f_lineno or code.co_firstlineno, short(code.co_qualname))


def of_code(code: CodeType) -> Place:
    """Where a function begins."""
    return Place(code.co_filename, _def_line(code), short(code.co_qualname))


def of_callable(function: object) -> Place | None:
    """Where a function, method, partial or callable object begins; None where it is not Python."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if isinstance(code, CodeType):
        return of_code(code)
    for cls in type(function).__mro__:
        code = getattr(vars(cls).get("__call__"), "__code__", None)
        if isinstance(code, CodeType):
            return of_code(code)
    return None


def of_class(cls: type) -> Place | None:
    """Where a class begins; None where it is not Python."""
    try:
        file = inspect.getfile(cls)
        line = inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return None
    return Place(file, line, short(cls.__qualname__))


def short(qualname: str) -> str:
    """A qualified name without the functions it was defined in."""
    return qualname.rpartition("<locals>.")[2]


def best(frames: Iterable[FrameType]) -> FrameType | None:
    """Of frames, outermost first, the innermost one of the code that its reader can change."""
    found = list(frames)
    return min(reversed(found), key=lambda frame: whose(frame.f_code.co_filename), default=None)


def caller(frame: FrameType | None) -> Place | None:
    """The nearest line of the user's that led to `frame`, within the same step of the event loop."""
    while frame is not None and frame.f_code.co_filename != _LOOP:
        if whose(frame.f_code.co_filename) is Whose.USERS:
            return of_frame(frame)
        frame = frame.f_back
    return None


# ---------------------------------------------------------------- what the source says

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _nodes(file: str) -> tuple[ast.stmt | ast.ExceptHandler, ...]:
    """The statements of a file; none where it has changed into something else, or is no Python."""
    try:
        return _parsed(file)
    except (SyntaxError, ValueError, RecursionError, SystemError):
        return ()  # SystemError: 3.11, when a finaliser parses in the middle of it (python/cpython#106905)


@functools.lru_cache(maxsize=8)
def _parsed(file: str) -> tuple[ast.stmt | ast.ExceptHandler, ...]:
    tree = ast.parse("".join(linecache.getlines(file)))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.stmt | ast.ExceptHandler))


def _innermost(file: str, line: int, *kinds: type[ast.AST]) -> ast.stmt | ast.ExceptHandler | None:
    """The innermost node of these kinds that covers `line`."""
    covering = [n for n in _nodes(file) if isinstance(n, kinds) and n.lineno <= line <= (n.end_lineno or 0)]
    return max(covering, key=lambda node: node.lineno, default=None)


def _def_line(code: CodeType) -> int:
    """The line of ``def``: a decorated function's code begins with its decorators."""
    for node in _nodes(code.co_filename):
        if isinstance(node, _FUNCTIONS) and code.co_firstlineno in (d.lineno for d in node.decorator_list):
            return node.lineno
    return code.co_firstlineno


def except_clause_around(place: Place) -> Place | None:
    """The ``except`` clause that a line is in, within its own function."""
    node = _innermost(place.file, place.line, ast.ExceptHandler, *_FUNCTIONS)
    return place._replace(line=node.lineno) if isinstance(node, ast.ExceptHandler) else None


def except_clause_for(place: Place, classes: Iterable[str]) -> Place | None:
    """The clause that takes an exception of these classes which comes up at `place`."""
    names = set(classes)
    tries = [
        node
        for node in _nodes(place.file)
        if isinstance(node, ast.Try | ast.TryStar)
        and node.body[0].lineno <= place.line <= (node.body[-1].end_lineno or 0)
    ]
    for node in sorted(tries, key=lambda node: node.lineno, reverse=True):  # innermost first
        for handler in node.handlers:
            if handler.type is None or names & set(_class_names(handler.type)):
                return place._replace(line=handler.lineno)
    return None


def _class_names(node: ast.expr) -> Iterator[str]:
    for part in node.elts if isinstance(node, ast.Tuple) else [node]:
        yield ast.unparse(part).rpartition(".")[2]


def closes_of_its_last_argument(function: Place) -> list[Place]:
    """Where the function that begins there calls ``close()`` of its last argument: a callback's writer."""
    node = _innermost(function.file, function.line, *_FUNCTIONS)
    if not isinstance(node, _FUNCTIONS):
        return []
    arguments = [*node.args.posonlyargs, *node.args.args]
    last = arguments[: len(arguments) - len(node.args.defaults)][-1:]
    return [
        function._replace(line=call.lineno)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) in [f"{one.arg}.close" for one in last]
    ]


def binding_of_global(file: str, name: str) -> int | None:
    """The line that first gives a global its value."""
    inner = [
        range(node.lineno, (node.end_lineno or 0) + 1)
        for node in _nodes(file)
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef))
    ]
    lines = (line for line in _bindings(file, name, ast.Name) if not any(line in body for body in inner))
    return min(lines, default=None)


def binding_of_local(place: Place, name: str) -> int | None:
    """The line that first gives a local of the function around `place` its value; ``def`` for an argument."""
    function = _innermost(place.file, place.line, *_FUNCTIONS)
    if function is None:
        return None
    body = range(function.lineno, (function.end_lineno or 0) + 1)
    lines = (line for line in _bindings(place.file, name, ast.Name) if line in body)
    return min(lines, default=function.lineno)


def binding_of_attribute(cls: type, name: str) -> Place | None:
    """The line of its class that first gives an attribute its value; else the class's own."""
    start = of_class(cls)
    if start is None:
        return None
    node = _innermost(start.file, start.line, ast.ClassDef)
    body = range(start.line, ((node.end_lineno if node else 0) or 0) + 1)
    lines = [line for line in _bindings(start.file, name, ast.Attribute) if line in body]
    lines += [line for line in _bindings(start.file, name, ast.Name) if line in body]
    return start._replace(line=min(lines, default=start.line))


def _bindings(file: str, name: str, kind: type[ast.Name] | type[ast.Attribute]) -> Iterator[int]:
    """The lines of the statements that give such a name, or an attribute of that name, a value."""
    for node in _nodes(file):
        for target in _targets(node):
            for part in ast.walk(target):
                if isinstance(part, kind) and (part.id if isinstance(part, ast.Name) else part.attr) == name:
                    yield node.lineno


def _targets(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Assign(targets=targets):
            return targets
        case ast.AnnAssign(target=target) | ast.For(target=target) | ast.AsyncFor(target=target):
            return [target]
        case ast.With(items=items) | ast.AsyncWith(items=items):
            return [item.optional_vars for item in items if item.optional_vars]
    return []
