"""The HTTP server of the 4000 experiment: GET /, `Hello World!`, close.  HTTP/1.1 by h11 (RFC 9112).

    GET, HEAD  /                  Hello World!
    GET, HEAD  /slow?seconds=1    the same, so much later
    GET, HEAD  /large?bytes=N     N bytes (1 MiB unless told)
    POST, PUT  /upload            reads a body and says how long it was; with `early_reply` it answers at
                                  the header and hangs up while the client still sends

How it closes is RFC 9112, 9.6: it says `Connection: close` on the last reply, and the ending does the rest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import h11

from .command import run_command
from .conversation import Command, Conversation, Hangup, Pause, Send
from .listener import Server
from .options import Limits

__all__ = ["HttpConversation", "HttpServer", "main"]

_CHUNK = 64 << 10
_LARGEST = 1 << 30

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


class _Refused(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Page:
    """What a handler decides: the body's size, where it comes from, and how long it takes."""

    size: int
    body: Callable[[], Iterator[bytes]]
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class _Route:
    """A row of the routing table."""

    methods: tuple[str, ...]
    handle: Callable[[dict[str, str], int, Limits], _Page]


class HttpConversation(Conversation):
    """One connection of HTTP/1.1.  `date` makes the Date field: the clock is the caller's."""

    __slots__ = ("_date", "_early_reply", "_http", "_limits", "_over", "_received", "_request")

    def __init__(self, limits: Limits, *, early_reply: bool = False, date: Callable[[], str]) -> None:
        super().__init__()
        self._limits = limits
        self._early_reply = early_reply
        self._date = date
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header)
        self._request: h11.Request | None = None
        self._received = 0
        self._over = False

    @property
    def mid_request(self) -> bool:
        if self._over:
            return False
        state = self._http.their_state
        return state is h11.SEND_BODY or (state is h11.IDLE and bool(self._http.trailing_data[0]))

    def feed(self, data: bytes) -> Iterator[Command]:
        if self._over:
            return
        try:
            self._http.receive_data(data)
            yield from self._events()
        except h11.RemoteProtocolError as error:
            yield from self._refuse(error.error_status_hint, str(error))
        except _Refused as refusal:
            yield from self._refuse(refusal.status, str(refusal))

    def overdue(self) -> Iterator[Command]:
        return self._refuse(408, "the request did not arrive in time")

    def _events(self) -> Iterator[Command]:
        while not self._over:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    yield self._send(h11.InformationalResponse(status_code=100, headers=[]))
                return
            match event:
                case h11.Request():
                    self._request, self._received = event, 0
                    self._check_announced(event)
                    if self._early_reply and _path(event) == "/upload":
                        yield from self._answer(event, close=True)
                        yield from self._hang_up("replied before the body")
                case h11.Data():
                    self._received += len(event.data)
                    self._check_size(self._received)
                case h11.EndOfMessage():
                    assert self._request is not None
                    self.completed += 1
                    yield from self._answer(self._request)
                    if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                        yield from self._hang_up("Connection: close")
                        return
                    self._request = None
                    self._http.start_next_cycle()
                case _:  # PAUSED or ConnectionClosed: a protocol we do not speak follows
                    yield from self._hang_up("nothing more to be said")

    def _check_announced(self, request: h11.Request) -> None:
        """Refuse what says it is too long, before any of it is read."""
        for name, value in request.headers:
            if name == b"content-length":
                self._check_size(int(value))

    def _check_size(self, size: int) -> None:
        if size > self._limits.frame:
            raise _Refused(413, f"at most {self._limits.frame} bytes")

    def _answer(self, request: h11.Request, *, close: bool = False) -> Iterator[Command]:
        method = request.method.decode("ascii")
        headers: list[tuple[str, str]] = []
        try:
            route = _ROUTES.get(_path(request))
            if route is None:
                raise _Refused(404, "no such page")
            if method not in route.methods:
                headers.append(("Allow", ", ".join(route.methods)))
                raise _Refused(405, f"not {method}")
            status, page = 200, route.handle(_query(request), self._received, self._limits)
        except _Refused as refusal:
            status, page = refusal.status, _text(f"{refusal}\n")
        if page.after:
            yield Pause(page.after)
        # Only now, after the pause, is it known whether this reply is the connection's last.
        yield from self._page(status, page, headers, close=close or self.last, bare=method == "HEAD")

    def _page(
        self, status: int, page: _Page, headers: list[tuple[str, str]], *, close: bool, bare: bool = False
    ) -> Iterator[Command]:
        headers = [
            ("Date", self._date()),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(page.size)),
            *headers,
        ]
        if close:
            headers.append(("Connection", "close"))
        head = self._http.send(h11.Response(status_code=status, headers=headers, reason=_REASONS[status]))
        assert head is not None
        for chunk in () if bare else page.body():
            # Header and first chunk in one segment, as a server that buffers sends them.
            yield Send(head + (self._http.send(h11.Data(data=chunk)) or b""))
            head = b""
        rest = head + (self._http.send(h11.EndOfMessage()) or b"")
        if rest:
            yield Send(rest)

    def _refuse(self, status: int, why: str) -> Iterator[Command]:
        """Answer a request that cannot be read to its end, and hang up: where the next begins is unknown."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            yield from self._page(status, _text(f"{why}\n"), [], close=True)
        yield from self._hang_up(why)

    def _hang_up(self, why: str) -> Iterator[Command]:
        self._over = True
        yield Hangup(why)

    def _send(self, event: h11.InformationalResponse) -> Send:
        return Send(self._http.send(event) or b"")


# -- the pages ---------------------------------------------------------------------------------------


def _text(text: str) -> _Page:
    body = text.encode()
    return _Page(len(body), lambda: iter((body,)))


def _hello(query: dict[str, str], received: int, limits: Limits) -> _Page:
    return _text("Hello World!")


def _slow(query: dict[str, str], received: int, limits: Limits) -> _Page:
    seconds = _number(query, "seconds", 1.0, limits.pause)
    page = _text("Hello World!")
    return _Page(page.size, page.body, after=seconds)


def _large(query: dict[str, str], received: int, limits: Limits) -> _Page:
    size = int(_number(query, "bytes", 1 << 20, _LARGEST))

    def body() -> Iterator[bytes]:
        chunk = b"x" * _CHUNK
        for start in range(0, size, _CHUNK):
            yield chunk[: size - start]

    return _Page(size, body)


def _upload(query: dict[str, str], received: int, limits: Limits) -> _Page:
    return _text(f"{received} bytes received\n")


_ROUTES = {
    "/": _Route(("GET", "HEAD"), _hello),
    "/slow": _Route(("GET", "HEAD"), _slow),
    "/large": _Route(("GET", "HEAD"), _large),
    "/upload": _Route(("POST", "PUT"), _upload),
}


def _number(query: dict[str, str], name: str, usual: float, most: float) -> float:
    try:
        value = float(query.get(name, usual))
    except ValueError:
        raise _Refused(400, f"{name} is no number") from None
    if not 0 <= value <= most:
        raise _Refused(400, f"{name} must be 0 to {most:g}")
    return value


def _path(request: h11.Request) -> str:
    return _split(request)[0]


def _query(request: h11.Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(_split(request)[1], max_num_fields=20).items()}


def _split(request: h11.Request) -> tuple[str, str]:
    # h11 lets only visible ASCII through; a target such as `//[` is still no URL.
    try:
        parts = urlsplit(request.target.decode("ascii"))
    except ValueError:
        raise _Refused(400, "the target is no URL") from None
    return parts.path, parts.query


# -- the server --------------------------------------------------------------------------------------


@dataclass(eq=False)
class HttpServer(Server):
    """A `Server` that speaks HTTP/1.1; closes idle connections after 5 s unless `limits` say otherwise."""

    usual_port: ClassVar[int] = 4000

    limits: Limits = field(default_factory=lambda: Limits(idle=5.0))
    _: KW_ONLY
    early_reply: bool = False

    def converse(self) -> Conversation:
        return HttpConversation(
            self.limits, early_reply=self.early_reply, date=partial(formatdate, usegmt=True)
        )

    @classmethod
    def add_own_options(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--early-reply", action="store_true", help="answer /upload before its body")

    @classmethod
    def own_arguments(cls, options: argparse.Namespace) -> dict[str, Any]:
        return {"early_reply": options.early_reply}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    return run_command(HttpServer, argv)


if __name__ == "__main__":
    sys.exit(main())
