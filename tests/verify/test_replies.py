"""When a reply is whole: every case of RFC 9112, 6.3, in one piece and byte by byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.verify.dialogue import call
from testbed.verify.replies import HttpReader, Reader, Reply, RpcReader, SizedReader

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
UNBOUNDED = OK + b"\r\nhello"


def fed(reader: Reader, data: bytes, *, piece: int = 0) -> Reply:
    """`data` in one piece, or in pieces of `piece` bytes."""
    for start in range(0, len(data), piece or len(data) or 1):
        reader.feed(data[start : start + (piece or len(data))])
    return reader.reply


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize(
    ("data", "complete", "body", "last"),
    [
        (LENGTH, True, 5, False),
        (LENGTH[:-1], False, 4, False),
        (CHUNKED, True, 5, False),
        (CHUNKED[:-2], False, 5, False),
        (UNBOUNDED, False, 5, True),
        (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", True, 0, True),
        (OK + b"Content-Length: 0\r\nConnection: Keep-Alive, Close\r\n\r\n", True, 0, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, 0, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True, 0, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True, 0, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH, True, 5, False),
        (b"", False, 0, False),
    ],
)
def test_http(data: bytes, complete: bool, body: int, last: bool, piece: int) -> None:
    reply = fed(HttpReader(), data, piece=piece)
    assert (reply.complete, reply.body, reply.last, reply.problem) == (complete, body, last, "")
    assert reply.size == len(data)


@pytest.mark.parametrize(
    ("data", "complete"),
    [(UNBOUNDED, True), (LENGTH[:-1], False), (CHUNKED[:-2], False), (OK, False), (b"", False)],
)
def test_the_end_of_the_stream_completes_only_what_it_delimits(data: bytes, complete: bool) -> None:
    reader = HttpReader()
    reader.feed(data)
    reply = reader.eof()
    assert (reply.complete, reply.problem) == (complete, "")


def test_a_reply_to_head_has_no_body() -> None:
    assert fed(HttpReader("HEAD"), OK + b"Content-Length: 5\r\n\r\n").complete


def test_what_is_no_http_says_so() -> None:
    reply = fed(HttpReader(), b"-ERR unknown command\r\n\r\n")
    assert reply.problem and not reply.complete
    assert "no reply" in str(reply)


def test_the_keep_alive_field() -> None:
    reply = fed(HttpReader(), OK + b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n")
    assert reply.keep_alive == "timeout=5"


def test_what_follows_a_whole_reply_changes_nothing() -> None:
    reader = HttpReader()
    reader.feed(LENGTH)
    assert reader.feed(b"HTTP/1.1 408 Request Timeout\r\n\r\n").status == 200


def test_rpc() -> None:
    frame = call("echo", {"value": 1})
    assert fed(RpcReader(), frame, piece=3) == Reply(size=len(frame), complete=True, body=len(frame) - 4)
    assert not fed(RpcReader(), frame[:-1]).complete
    assert not fed(RpcReader(), frame[:3]).complete


def test_sized() -> None:
    assert fed(SizedReader(None), b"x").complete
    assert not fed(SizedReader(3), b"xx").complete
    assert fed(SizedReader(3), b"xxx", piece=1).complete


@pytest.mark.parametrize("make", [HttpReader, RpcReader, lambda: SizedReader(7)])
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_no_bytes_raise(make: Callable[[], Reader], data: bytes, cut: int) -> None:
    reader = make()
    reader.feed(data[:cut])
    reader.feed(data[cut:])
    assert reader.eof().size == len(data)
