"""Is this reply whole?  Bytes in, an answer out; pure, split the stream where you like.

A reader is fed what the server sent, in order, and says after each piece how the reply stands.  It
is told of the end of the stream too: a reply that is delimited by the close (RFC 9112, 6.3, rule 8)
is whole only then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import h11

RPC_HEADER = 4
"""Bytes of an RPC frame's length, big-endian."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a reply stands.

    size        its bytes so far, headers included
    complete    the whole of it is there
    body        bytes of its body
    status      HTTP's; None before the status line, and for other protocols
    last        it says `Connection: close` (or is HTTP/1.0 without keep-alive, or delimited by the close)
    keep_alive  the value of a `Keep-Alive` field, "" without one
    problem     why it cannot be a reply at all
    """

    size: int = 0
    complete: bool = False
    body: int = 0
    status: int | None = None
    last: bool = False
    keep_alive: str = ""
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.size} bytes that are no reply ({self.problem})"
        if not self.size:
            return "nothing"
        what = (
            f"{self.size} bytes" if self.status is None else f"{self.status} with {self.body} bytes of body"
        )
        return what if self.complete else f"an incomplete reply ({what})"


class Reader(ABC):
    """Reads one reply."""

    def __init__(self) -> None:
        self.reply = Reply()

    def feed(self, data: bytes) -> Reply:
        """Take more; returns how the reply stands."""
        self.reply = replace(self.reply, size=self.reply.size + len(data))
        if data and not self.reply.problem:
            self._take(data)
        return self.reply

    def eof(self) -> Reply:
        """The stream is over."""
        return self.reply

    @abstractmethod
    def _take(self, data: bytes) -> None:
        """Bring `reply` up to date."""


class HttpReader(Reader):
    """HTTP/1.1 (RFC 9112), read by h11; interim replies are passed over."""

    def __init__(self, method: str = "GET") -> None:
        super().__init__()
        self._http = h11.Connection(h11.CLIENT)
        self._http.send(h11.Request(method=method, target="/", headers=[("Host", "testbed")]))
        self._http.send(h11.EndOfMessage())

    def _take(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            self._events()
        except h11.RemoteProtocolError as error:
            if not self.reply.complete:
                self.reply = replace(self.reply, problem=str(error))

    def eof(self) -> Reply:
        if self.reply.status is not None and not self.reply.complete and not self.reply.problem:
            try:
                self._http.receive_data(b"")
                self._events()
            except h11.RemoteProtocolError:
                pass  # cut short: it stays incomplete
        return self.reply

    def _events(self) -> None:
        while not self.reply.complete:
            event = self._http.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return
            if isinstance(event, h11.Response):
                self.reply = _head(event, self.reply.size)
            elif isinstance(event, h11.Data):
                self.reply = replace(self.reply, body=self.reply.body + len(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.reply = replace(self.reply, complete=True)


def _head(response: h11.Response, size: int) -> Reply:
    """What the status line and the fields say."""
    fields: dict[bytes, bytes] = {}
    for name, value in response.headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    options = {word.strip().lower() for word in fields.get(b"connection", b"").split(b",")}
    bounded = b"content-length" in fields or b"transfer-encoding" in fields
    old = response.http_version < b"1.1" and b"keep-alive" not in options
    bare = response.status_code in (204, 304)
    return Reply(
        size,
        status=response.status_code,
        last=b"close" in options or old or not (bounded or bare),
        keep_alive=fields.get(b"keep-alive", b"").decode("latin-1"),
    )


class RpcReader(Reader):
    """A frame: four bytes of length, and so many bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._head = b""

    def _take(self, data: bytes) -> None:
        self._head = (self._head + data)[:RPC_HEADER]
        if len(self._head) == RPC_HEADER:
            body = int.from_bytes(self._head, "big")
            got = self.reply.size - RPC_HEADER
            self.reply = replace(self.reply, body=min(got, body), complete=got >= body)


class SizedReader(Reader):
    """A reply of which only the size is known; with `size` None any bytes at all are one."""

    def __init__(self, size: int | None) -> None:
        super().__init__()
        self._size = size

    def _take(self, data: bytes) -> None:
        got = self.reply.size
        self.reply = replace(self.reply, body=got, complete=got >= (1 if self._size is None else self._size))
