"""How to talk to a server: what is sent, and how its reply is recognised.  Pure.

A `Request` may come in two parts: `rest` is held back until the check sends it, which makes a request
that is under way for as long as one likes, whatever the server's handlers do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from .plan import Plan
from .replies import HttpReader, Reader, RpcReader, SizedReader

UPLOAD_SIZE: Final = 2 << 20
"""Bytes of a body that most servers refuse before they have all of it (1 MiB is a usual limit)."""

HELD_BACK: Final = 16
"""Bytes of body that an unfinished request still owes."""


class Request(NamedTuple):
    """What a client sends: `first` at once, `rest` when the check says so."""

    first: bytes
    rest: bytes = b""
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A protocol as a client speaks it; None where it has no such thing.

    request   draws a short reply and leaves the connection open
    last      draws a reply, after which the server should close
    slow      draws a reply after a while: a request that is under way meanwhile
    held      a request that stays under way until its rest is sent
    stalled   the beginning of a request, of which nothing more comes
    dribble   what can be sent byte by byte after `stalled`, without ever completing the request
    upload    the head of a request with `UPLOAD_SIZE` bytes of body, which are to follow
    large     draws a reply that no socket buffer holds
    """

    protocol: str
    request: Request | None = None
    last: Request | None = None
    slow: Request | None = None
    held: Request | None = None
    stalled: bytes | None = None
    dribble: bytes = b""
    upload: Request | None = None
    large: Request | None = None

    def reader(self, request: Request | None = None, size: int | None = None) -> Reader:
        """What recognises the reply; `size` is that of an earlier reply to the same request, if known."""
        if self.protocol == "http":
            return HttpReader(request.method if request else "GET")
        if self.protocol == "rpc":
            return RpcReader()
        return SizedReader(size)


def dialogue_of(plan: Plan, host: str) -> Dialogue:
    """The dialogue that the plan asks for, with a server at `host`."""
    return _MAKERS[plan.protocol](plan, f"[{host}]" if ":" in host else host)


# ---- HTTP/1.1


def _http(plan: Plan, host: str) -> Dialogue:
    authority = f"{host}:{plan.port}"

    def head(method: str, path: str, *fields: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {authority}", "User-Agent: testbed", "Accept: */*"]
        return "\r\n".join([*lines, *fields, "", ""]).encode("latin-1")

    request = Request(plan.request or head("GET", plan.path))
    body = plan.body if plan.body is not None else b"x" * (2 * HELD_BACK)
    post = ("Content-Type: application/octet-stream", f"Content-Length: {len(body)}")
    keep = max(0, len(body) - HELD_BACK)
    return Dialogue(
        "http",
        request=request,
        last=None if plan.request else Request(head("GET", plan.path, "Connection: close")),
        slow=_slow(plan, head),
        held=Request(head("POST", plan.path, *post) + body[:keep], body[keep:], "POST") if body else None,
        stalled=head("GET", plan.path)[:-2] + b"X-Stalled: ",
        dribble=b"x" * 64,
        upload=Request(head("POST", plan.path, post[0], f"Content-Length: {UPLOAD_SIZE}"), method="POST"),
        large=Request(head("GET", plan.large_path)) if plan.large_path else None,
    )


def _slow(plan: Plan, head: object) -> Request | None:
    if plan.slow_request is not None:
        return Request(plan.slow_request)
    if plan.slow_path is None:
        return None
    assert callable(head)
    return Request(head("GET", plan.slow_path))


# ---- RPC: four bytes of length and JSON-RPC 2.0


def frame(body: bytes) -> bytes:
    """`body` behind its length."""
    return len(body).to_bytes(4, "big") + body


def call(method: str, params: object) -> bytes:
    """A JSON-RPC 2.0 request as a frame."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return frame(json.dumps(message, separators=(",", ":")).encode())


def _rpc(plan: Plan, host: str) -> Dialogue:
    plain = plan.request or call("echo", {"value": "testbed"})
    return Dialogue(
        "rpc",
        request=Request(plain),
        slow=Request(plan.slow_request or call("sleep", {"seconds": 1.0})),
        held=Request(plain[:-1], plain[-1:]),
        stalled=plain[: len(plain) // 2],
        upload=Request(UPLOAD_SIZE.to_bytes(4, "big")),
        large=None if plan.request else Request(call("blob", {"size": 1 << 19})),
    )


# ---- any other


def _tcp(plan: Plan, host: str) -> Dialogue:
    return Dialogue(
        "tcp",
        request=Request(plan.request if plan.request is not None else b"hello\r\n"),
        slow=Request(plan.slow_request) if plan.slow_request is not None else None,
    )


def _none(plan: Plan, host: str) -> Dialogue:
    return Dialogue("none")


Protocol = Literal["http", "rpc", "tcp", "none"]
_MAKERS: Final = {"http": _http, "rpc": _rpc, "tcp": _tcp, "none": _none}
PROTOCOLS: Final = tuple(_MAKERS)
