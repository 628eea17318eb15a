"""The RPC server of the 2333 experiment: 104 bytes out, 254 back, "query result: ChiuSinYing 75 success".

A frame is a 4-byte big-endian length and a JSON-RPC 2.0 body.  `query_call()` is the experiment's request;
the sizes are those of plain, complete messages, and a test holds them to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

from .command import run_command
from .conversation import Command, Conversation, Hangup, Send
from .framing import FrameDecoder, FrameTooLarge, encode_frame
from .jsonrpc import INVALID_REQUEST, Answer, Dispatcher, InvalidParams, Method, Param, encode, error_reply
from .listener import Server
from .options import Limits

__all__ = ["RpcConversation", "RpcServer", "call", "main", "query_call"]

_SCORES = MappingProxyType(
    {
        (row["name"], row["course"], row["year"]): row
        for row in (
            {
                "id": 20190117,
                "name": "ChiuSinYing",
                "course": "TCP",
                "year": 2019,
                "score": 75,
                "passed": True,
            },
            {
                "id": 20190118,
                "name": "ChiuSinYing",
                "course": "IP",
                "year": 2019,
                "score": 58,
                "passed": False,
            },
        )
    }
)


def call(method: str, params: Any = None, number: int | str | None = 1) -> bytes:
    """A request's frame; without `number` a notification."""
    request: dict[str, Any] = {"jsonrpc": "2.0"}
    if number is not None:
        request["id"] = number
    request["method"] = method
    if params is not None:
        request["params"] = params
    return encode_frame(encode(request))


def query_call(number: int = 1) -> bytes:
    """The experiment's request: 104 bytes with its length, drawing 254 (a `number` of one digit)."""
    return call("query", {"name": "ChiuSinYing", "course": "TCP", "year": 2019}, number)


class RpcConversation(Conversation):
    """Frames in, frames out, in order."""

    __slots__ = ("_decoder", "_dispatcher")

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._decoder = FrameDecoder(limits.frame)
        self._dispatcher = Dispatcher(_methods(limits), limits.frame)

    def feed(self, data: bytes) -> Iterator[Command]:
        try:
            for body in self._decoder.feed(data):
                self.completed += 1
                reply = yield from self._dispatcher.answer(body)
                if reply is not None:
                    yield Send(encode_frame(reply))
        except FrameTooLarge as error:
            # Where the next frame begins cannot be reached without reading all of this one.
            yield Send(encode_frame(error_reply(INVALID_REQUEST, str(error))))
            yield Hangup(str(error))

    @property
    def mid_request(self) -> bool:
        return self._decoder.pending > 0


@dataclass(eq=False)
class RpcServer(Server):
    """A `Server` that speaks JSON-RPC: `query`, `echo`, `sleep`, `blob`, `fail`."""

    usual_port: ClassVar[int] = 2333

    def converse(self) -> Conversation:
        return RpcConversation(self.limits)


# -- the methods -------------------------------------------------------------------------------------


def _query(name: str, course: str, year: int) -> Answer:
    row = _SCORES.get((name, course, year))
    if row is None:
        return Answer(
            {"message": f"query result: {name} not found", "row_count": 0, "row": None, "columns": []}
        )
    return Answer(
        {
            "message": f"query result: {name} {row['score']} success",
            "row_count": 1,
            "row": row,
            "columns": list(row),
        }
    )


def _echo(value: Any) -> Answer:
    return Answer(value)


def _sleep(limits: Limits, seconds: float) -> Answer:
    if not 0 <= seconds <= limits.pause:
        raise InvalidParams(f"seconds must be 0 to {limits.pause:g}")
    return Answer({"slept": seconds}, after=float(seconds))


def _blob(limits: Limits, size: int) -> Answer:
    if not 0 <= size <= limits.frame:
        raise InvalidParams(f"size must be 0 to {limits.frame}")
    return Answer("x" * size)


def _fail(message: str) -> Answer:
    raise RuntimeError(message)


def _methods(limits: Limits) -> tuple[Method, ...]:
    number = (int, float)
    anything = (str, int, float, bool, list, dict, type(None))
    return (
        Method(
            "query",
            (Param("name", (str,)), Param("course", (str,), "TCP"), Param("year", (int,), 2019)),
            _query,
        ),
        Method("echo", (Param("value", anything),), _echo),
        Method("sleep", (Param("seconds", number),), partial(_sleep, limits)),
        Method("blob", (Param("size", (int,)),), partial(_blob, limits)),
        # What a fault in a handler does: this connection ends, with one line in the log.
        Method("fail", (Param("message", (str,), "as asked"),), _fail),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    return run_command(RpcServer, argv)


if __name__ == "__main__":
    sys.exit(main())
