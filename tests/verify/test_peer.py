"""A check's client against the kernel: it vanishes, it reads nothing, it tells what it was told."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import psutil

from testbed.kernel import SockDiag
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State
from testbed.verify.dialogue import Dialogue, Request
from testbed.verify.options import SocketOptions, read_options
from testbed.verify.peer import Peer
from testbed.verify.stage import Stage


@contextmanager
def listening() -> Iterator[tuple[socket.socket, Any]]:
    """A listener, and as much of a stage as a peer needs."""
    with socket.create_server(("127.0.0.1", 0)) as listener, SockDiag() as kernel:
        stage = SimpleNamespace(
            address=listener.getsockname(),
            kernel=kernel,
            dialogue=Dialogue("tcp"),
            plan=SimpleNamespace(tls=False),
        )
        yield listener, stage


async def connected(listener: socket.socket, stage: Any, **options: Any) -> tuple[Peer, socket.socket]:
    peer = Peer(cast(Stage, stage), 1, **options)
    assert await peer.connect() == "connected"
    server, _ = listener.accept()
    return peer, server


async def eventually(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_one_that_vanishes_answers_nothing(network: PrivateNetwork) -> None:
    """The server's kernel sees no acknowledgment: it sends its bytes again, as to a host without power."""
    with listening() as (listener, stage):
        peer, server = await connected(listener, stage)
        with server:
            peer.vanish()
            server.send(b"is anybody there?")
            await eventually(lambda: peer.kernel is not None and peer.kernel.retransmits > 0)
            row = peer.kernel
            assert row is not None
            assert (row.state, row.wqueue) == (State.ESTABLISHED, 17)
        peer.close()


async def test_it_tells_replies_and_ends(network: PrivateNetwork) -> None:
    with listening() as (listener, stage):
        peer, server = await connected(listener, stage)
        asked = await peer.ask(Request(b"12345"), size=3)
        assert server.recv(10) == b"12345"
        assert not await peer.replied(asked, 0.01)
        server.send(b"abc")
        assert await peer.replied(asked, 10)
        assert (asked.request_begins, asked.request_ends, asked.begins, asked.ends) == (0, 5, 0, 3)
        assert not await peer.over(0.01)
        server.close()
        assert await peer.over(10)
        assert peer.ended == "EOF"
        peer.close()


async def test_what_it_does_not_read_lies_in_its_kernel(network: PrivateNetwork) -> None:
    with listening() as (listener, stage):
        peer = Peer(cast(Stage, stage), 1, receive_buffer=4096)
        assert await peer.connect(read=False) == "connected"
        server, _ = listener.accept()
        with server:
            assert peer.waiting == 0
            server.send(b"abc")
            await eventually(lambda: peer.waiting == 3)
            assert peer.received == 0
            peer.read()
            await eventually(lambda: peer.received == 3 and peer.waiting == 0)
        peer.close()


async def test_silence_is_the_kernels_and_not_the_programs(network: PrivateNetwork) -> None:
    """A client that is kept from its processor reads late; what it reads came no later for that."""
    with listening() as (listener, stage):
        peer, server = await connected(listener, stage)
        asked = await peer.ask(Request(b"x"), size=3)
        assert server.recv(10) == b"x"
        server.send(b"abc")
        time.sleep(0.3)
        assert await peer.replied(asked, 10)
        assert peer.silence >= 0.29
        server.close()
        assert await peer.over(10)
        assert peer.silent_for >= 0.29
        peer.close()


async def test_pouring_into_a_server_that_does_not_read_stalls(network: PrivateNetwork) -> None:
    with listening() as (listener, stage):
        peer, server = await connected(listener, stage)
        with server:
            assert await peer.pour(1000, stall=5) == "sent"
            assert await peer.pour(64 << 20, stall=0.2) == "stalled"
        peer.close()


async def test_a_reset_is_told(network: PrivateNetwork) -> None:
    with listening() as (listener, stage):
        peer, server = await connected(listener, stage)
        await peer.send(b"unread")
        await eventually(lambda: peer.kernel is not None and peer.kernel.rqueue == 6)
        server.close()
        assert await peer.over(10)
        assert peer.ended == "ECONNRESET"
        peer.half_close()  # on a connection that is gone: no news
        peer.close()


def test_the_options_of_a_socket_are_the_kernels(network: PrivateNetwork) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 61), (socket.TCP_KEEPINTVL, 7), (socket.TCP_KEEPCNT, 3)):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        sock.setsockopt(socket.IPPROTO_TCP, 18, 2500)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        before = psutil.Process().num_fds()
        found = read_options(os.getpid(), sock.fileno())
        assert psutil.Process().num_fds() == before
    assert found is not None
    assert found == SocketOptions(keepalive=True, idle=61, interval=7, probes=3, user_timeout=2.5, linger=0)
    assert found.gives_up == 61 + 21


def test_options_of_nothing() -> None:
    assert read_options(os.getpid(), 9999) is None
    assert read_options(2**22 + 1, 3) is None, "no process has this number"
