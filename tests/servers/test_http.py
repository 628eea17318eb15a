"""HTTP/1.1: what is answered, what is refused, and how it says that it closes."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.servers import HttpServer, Limits, Phase
from testbed.servers.conversation import Hangup, Pause, Send
from testbed.servers.http import HttpConversation

from .peer import connected, until
from .test_endings import phases

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


def conversation(limits: Limits | None = None, **options: Any) -> HttpConversation:
    return HttpConversation(limits or Limits(), date=lambda: DATE, **options)


def say(raw: bytes, limits: Limits | None = None, **options: Any) -> tuple[bytes, bool]:
    """What is sent to these bytes, and whether the server hangs up."""
    commands = list(conversation(limits, **options).feed(raw))
    sent = b"".join(command.data for command in commands if isinstance(command, Send))
    return sent, any(isinstance(command, Hangup) for command in commands)


def request(target: str, method: str = "GET", *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *fields, "", ""]).encode() + body


def test_hello_world() -> None:
    sent, hung_up = say(GET)
    assert sent == (
        b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\n\r\nHello World!"
    )
    assert not hung_up


def test_head_and_body_leave_together() -> None:
    assert len(list(conversation().feed(GET))) == 1


@given(st.lists(st.integers(0, 200), max_size=6))
def test_requests_survive_any_split(cuts: list[int]) -> None:
    stream = GET + request("/upload", "POST", "Content-Length: 5", body=b"hello") + GET
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    talk = conversation()
    sent = b""
    for a, b in pairwise(edges):
        for command in talk.feed(stream[a:b]):
            assert isinstance(command, Send)
            sent += command.data
    assert sent.count(b"HTTP/1.1 200 OK") == 3
    assert sent.count(b"Hello World!") == 2
    assert b"5 bytes received" in sent
    assert talk.completed == 3 and not talk.mid_request


@given(st.binary(max_size=300))
def test_no_bytes_break_it(noise: bytes) -> None:
    talk = conversation()
    list(talk.feed(noise + b"\r\n\r\n"))
    list(talk.feed(b"more\r\n\r\n"))


@pytest.mark.parametrize(
    ("raw", "status", "hangs_up"),
    [
        (request("/nothing"), 404, False),
        (request("//["), 400, False),
        (request("/", "POST", "Content-Length: 2", body=b"ab"), 405, False),
        (request("/upload"), 405, False),
        (request("/slow?seconds=never"), 400, False),
        (request("/slow?seconds=nan"), 400, False),
        (request("/large?bytes=-1"), 400, False),
        (request("/large?bytes=1e30"), 400, False),
        (b"nonsense\r\n\r\n", 400, True),
        (b"GET / HTTP/1.1\r\n\r\n", 400, True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400, True),
        (request("/upload", "POST", "Content-Length: 1001"), 413, True),
        (request("/upload", "POST", "Transfer-Encoding: chunked", body=b"3e9\r\n" + b"x" * 1001), 413, True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2000, 431, True),
    ],
)
def test_refusals(raw: bytes, status: int, hangs_up: bool) -> None:
    sent, hung_up = say(raw, Limits(frame=1000, header=1000))
    assert sent.startswith(f"HTTP/1.1 {status} ".encode())
    assert sent.count(b"HTTP/1.1") == 1
    assert (b"Connection: close" in sent) is hangs_up is hung_up


def test_405_says_what_is_allowed() -> None:
    assert b"Allow: POST, PUT\r\n" in say(request("/upload"))[0]


def test_head_is_get_without_the_body() -> None:
    sent, _ = say(request("/", "HEAD"))
    assert b"Content-Length: 12\r\n" in sent and sent.endswith(b"\r\n\r\n")
    sent, _ = say(request("/large?bytes=1000000000", "HEAD"))
    assert b"Content-Length: 1000000000\r\n" in sent and sent.endswith(b"\r\n\r\n")


def test_connection_close_is_honoured() -> None:
    sent, hung_up = say(request("/", "GET", "Connection: close") + GET)
    assert sent.count(b"Hello World!") == 1 and b"Connection: close" in sent and hung_up


def test_http_1_0_is_closed_unless_asked() -> None:
    _, hung_up = say(b"GET / HTTP/1.0\r\n\r\n")
    assert hung_up


def test_slow_learns_during_the_pause_that_it_is_the_last() -> None:
    talk = conversation()
    commands = talk.feed(request("/slow?seconds=1.5"))
    assert next(commands) == Pause(1.5)
    talk.last = True
    reply = next(commands)
    assert isinstance(reply, Send) and b"Connection: close" in reply.data
    assert isinstance(next(commands), Hangup)


def test_large_is_made_as_it_is_sent() -> None:
    talk = conversation()
    sizes = [
        len(command.data)
        for command in talk.feed(request("/large?bytes=200000"))
        if isinstance(command, Send)
    ]
    assert len(sizes) > 3 and sum(sizes) > 200_000


def test_expect_100_continue() -> None:
    talk = conversation()
    raw = request("/upload", "POST", "Content-Length: 5", "Expect: 100-continue")
    (interim,) = talk.feed(raw)
    assert isinstance(interim, Send) and interim.data.startswith(b"HTTP/1.1 100 ")
    (reply,) = talk.feed(b"hello")
    assert isinstance(reply, Send) and reply.data.endswith(b"5 bytes received\n")


def test_early_reply_answers_at_the_header() -> None:
    sent, hung_up = say(
        request("/upload", "POST", "Content-Length: 500000", body=b"x" * 10), early_reply=True
    )
    assert sent.startswith(b"HTTP/1.1 200 OK") and b"Connection: close" in sent and hung_up
    assert say(GET, early_reply=True)[1] is False


def test_a_request_that_does_not_arrive_in_time_is_told_408() -> None:
    talk = conversation()
    assert list(talk.feed(GET[:20])) == [] and talk.mid_request
    reply, hangup = talk.overdue()
    assert isinstance(reply, Send) and reply.data.startswith(b"HTTP/1.1 408 ")
    assert isinstance(hangup, Hangup) and not talk.mid_request


async def test_keep_alive_until_the_idle_time_is_up() -> None:
    async with HttpServer(limits=Limits(idle=0.2)) as server, connected(server) as client:
        for _ in range(2):
            await client.send(GET)
            assert (await client.receive(len(say(GET)[0]))).endswith(b"Hello World!")
        assert await client.told() == b""
        client.sock.close()
        await client.in_states(server="TIME_WAIT", client="NONE")


async def test_a_slow_header_is_told_408_and_closed() -> None:
    async with HttpServer(limits=Limits(request=0.2)) as server, connected(server) as client:
        await client.send(GET[:10])
        told = await client.told()
        assert isinstance(told, bytes) and told.startswith(b"HTTP/1.1 408 ")


async def test_a_stop_says_connection_close_on_the_reply_under_way() -> None:
    async with HttpServer() as server, connected(server) as client:
        await client.send(request("/slow?seconds=0.3"))
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        stopping = asyncio.create_task(server.stop())
        told = await client.told()
        assert isinstance(told, bytes)
        assert b"Connection: close" in told and told.endswith(b"Hello World!")
        client.sock.close()
        await stopping


async def test_a_lingering_close_loses_nothing_of_an_early_reply() -> None:
    async with HttpServer(early_reply=True) as server, connected(server) as client:
        await client.send(request("/upload", "POST", "Content-Length: 300000", body=b"x" * 100_000))
        await client.send(b"x" * 200_000)
        told = await client.told()
        assert isinstance(told, bytes) and told.endswith(b"0 bytes received\n")


async def test_without_lingering_an_early_reply_is_followed_by_a_reset() -> None:
    async with HttpServer(early_reply=True, ending="unread") as server, connected(server) as client:
        await client.send(request("/upload", "POST", "Content-Length: 300000"))
        assert (await client.receive(12)) == b"HTTP/1.1 200"
        with pytest.raises(ConnectionError):
            while True:
                await client.send(b"x" * 100_000)


async def test_close_with_unsent_data_loses_none() -> None:
    async with HttpServer(send_buffer=1 << 20) as server, connected(server, receive_buffer=4096) as client:
        await client.send(request("/large?bytes=3000000", "GET", "Connection: close"))
        told = await client.told()
        assert isinstance(told, bytes) and told.endswith(b"x" * 1000)
        assert len(told.partition(b"\r\n\r\n")[2]) == 3_000_000
