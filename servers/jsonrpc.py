"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification): a body in, the reply's body out, or none.

Pure but for what a method asks for: an `Answer` may have to wait, which is yielded as a `Pause`.
The section numbers below are the specification's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from .conversation import Command, Pause

__all__ = [
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "REPLY_TOO_LARGE",
    "Answer",
    "Dispatcher",
    "InvalidParams",
    "Method",
    "Param",
    "encode",
    "error_reply",
]

Json = Any  # what json.loads returns; a recursive alias would say no more to the reader

# Section 5.1.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
#: Ours, from the range that 5.1 leaves to servers.
REPLY_TOO_LARGE = -32001

_MESSAGES = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    REPLY_TOO_LARGE: "Reply too large",
}
_REQUIRED = object()


class InvalidParams(Exception):
    """Raised by a method (or by the check before it) whose params do not fit; the client is told why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A method's result, to be sent `after` so many seconds."""

    result: Json
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: its name, the JSON types it may have, and its default, if it may be left out."""

    name: str
    types: tuple[type, ...]
    default: Json = _REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    """A row of a server's method table.  `run` takes the params in the order in which they are listed."""

    name: str
    params: tuple[Param, ...]
    run: Callable[..., Answer]

    def bind(self, given: Json) -> list[Json]:
        """Params by position or by name (4.2) as `run` takes them, or InvalidParams."""
        named: Mapping[str, Json]
        if isinstance(given, list):
            if len(given) > len(self.params):
                raise InvalidParams(f"at most {len(self.params)} params, got {len(given)}")
            named = {param.name: value for param, value in zip(self.params, given, strict=False)}
        else:
            named = given
            unknown = named.keys() - {param.name for param in self.params}
            if unknown:
                raise InvalidParams(f"no param called {min(unknown)!r}")
        bound = []
        for param in self.params:
            value = named.get(param.name, param.default)
            if value is _REQUIRED:
                raise InvalidParams(f"param {param.name!r} is missing")
            # bool is an int to Python, not to JSON.
            if not isinstance(value, param.types) or (isinstance(value, bool) and bool not in param.types):
                raise InvalidParams(f"param {param.name!r} has the wrong type")
            bound.append(value)
        return bound


class Dispatcher:
    """Answers bodies from a method table.  A reply of more than `limit` bytes becomes an error."""

    __slots__ = ("_limit", "_methods")

    def __init__(self, methods: Iterable[Method], limit: int) -> None:
        self._methods = {method.name: method for method in methods}
        self._limit = limit

    def answer(self, body: bytes) -> Generator[Command, None, bytes | None]:
        """The reply to one body; None when nothing in it wants one (4.1, 6)."""
        try:
            request = _decode(body)
        except (ValueError, RecursionError):
            # RecursionError: nested deeper than the decoder goes.  The stack has unwound; nothing is harmed.
            return error_reply(PARSE_ERROR)
        if not isinstance(request, list):
            return (yield from self._call(request, self._limit))
        if not request:
            return error_reply(INVALID_REQUEST, "an empty batch")
        replies: list[bytes] = []
        room = self._limit
        for call in request:
            reply = yield from self._call(call, room)
            if reply is not None:
                replies.append(reply)
                # Else a small batch of large calls would buy a reply without bounds.
                room -= len(reply)
        return b"[" + b",".join(replies) + b"]" if replies else None

    def _call(self, request: Json, room: int) -> Generator[Command, None, bytes | None]:
        if not _is_request(request):
            return error_reply(INVALID_REQUEST)
        number = request.get("id")
        wanted = "id" in request
        method = self._methods.get(request["method"])
        if method is None:
            return error_reply(METHOD_NOT_FOUND, request["method"], number) if wanted else None
        if room <= 0:
            return error_reply(REPLY_TOO_LARGE, None, number) if wanted else None
        try:
            answer = method.run(*method.bind(request.get("params", [])))
        except InvalidParams as error:
            return error_reply(INVALID_PARAMS, str(error), number) if wanted else None
        if answer.after:
            yield Pause(answer.after)
        if not wanted:
            return None
        reply = encode({"jsonrpc": "2.0", "id": number, "result": answer.result})
        return reply if len(reply) <= room else error_reply(REPLY_TOO_LARGE, None, number)


def error_reply(code: int, detail: str | None = None, number: Json = None) -> bytes:
    """An error's body (5.1); `number` is the request's id, null where none could be made out (5)."""
    error: dict[str, Json] = {"code": code, "message": _MESSAGES[code]}
    if detail is not None:
        error["data"] = detail[:200]
    return encode({"jsonrpc": "2.0", "id": number, "error": error})


def encode(value: Json) -> bytes:
    """The one spelling of JSON used here: no spaces, ASCII, members in the order given."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _is_request(request: Json) -> bool:
    """Section 4."""
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
        return False
    number = request.get("id")
    return (
        isinstance(request.get("method"), str)
        and isinstance(request.get("params", []), list | dict)
        and (number is None or (isinstance(number, str | int | float) and not isinstance(number, bool)))
    )


def _decode(body: bytes) -> Json:
    # json.loads would also guess UTF-16 and 32 (not RFC 8259, 8.1) and take NaN and Infinity (not section 6).
    return json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number out of range")  # it could not be sent back
    return number
