"""The listener: addresses, options, arguments, and what an exception leaves behind."""

from __future__ import annotations

import os
import socket

import pytest

from testbed.servers import EchoServer, KeepAlive, Limits, Server

from .peer import connected, descriptors, eventually
from .test_endings import exchange


async def test_keepalive_buffers_and_nodelay_are_on_each_connection() -> None:
    server = EchoServer(keepalive=KeepAlive(15, 14, 8), receive_buffer=8192, send_buffer=16384)
    async with server, connected(server) as client:
        await exchange(client)
        with socket.socket(fileno=os.dup(server.connections[0].descriptor)) as sock:

            def option(level: int, name: int) -> int:
                return sock.getsockopt(level, name)

            assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
            assert option(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 14
            assert option(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 8
            assert option(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert option(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 8192
            assert option(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 16384


async def test_keepalive_is_off_unless_asked_for() -> None:
    async with EchoServer() as server, connected(server) as client:
        await exchange(client)
        with socket.socket(fileno=os.dup(server.connections[0].descriptor)) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_addresses(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    async with EchoServer(host) as server, connected(server) as client:
        await exchange(client)
        assert server.port == server.address[1] > 0
        (info,) = server.connections
        assert info.peer == client.name
        assert (info.bytes_received, info.bytes_sent) == (7, 18)


async def test_a_port_in_use_is_an_oserror_and_leaves_nothing_open() -> None:
    async with EchoServer() as server:
        before = descriptors()
        with pytest.raises(OSError, match="Address already in use"):
            async with EchoServer(port=server.port):
                pass
        assert descriptors() == before


async def test_reuse_address_tells_bind_beside_time_wait() -> None:
    async with EchoServer(ending="server-first") as server:
        async with connected(server) as client:
            await exchange(client)
            assert await client.told() == b""
        await client.in_states(server="TIME_WAIT", client="NONE")
    with pytest.raises(OSError, match="Address already in use"):
        async with EchoServer(port=server.port, reuse_address=False):
            pass
    async with EchoServer(port=server.port):
        pass


async def test_backlog_n_holds_n_plus_one() -> None:
    # Connected with a time-out and not with `connected`: the third handshake is never answered.
    async with EchoServer(ending="accept-never", backlog=1) as server:
        queued = [socket.create_connection(server.address, timeout=1) for _ in range(2)]
        with pytest.raises(TimeoutError):
            socket.create_connection(server.address, timeout=0.2)
        for client in queued:
            client.close()


async def test_an_exception_in_the_block_closes_everything() -> None:
    before = descriptors()
    with pytest.raises(ZeroDivisionError):
        async with EchoServer(ending="never") as server, connected(server) as client:
            await exchange(client)
            raise ZeroDivisionError
    assert descriptors() == before


async def test_plain_echoes_unchanged() -> None:
    async with EchoServer(prefix=b"") as server, connected(server) as client:
        await client.send(b"hello\r\n")
        client.finish()
        assert await client.told() == b"hello\r\n"


async def test_connections_come_in_the_order_of_accept() -> None:
    async with EchoServer() as server:
        async with connected(server) as first, connected(server) as second:
            await exchange(first)
            await exchange(second)
            assert [info.peer for info in server.connections] == [first.name, second.name]
        await eventually(lambda: not server.connections)


def test_an_address_before_the_start_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = EchoServer().address


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ending": "rude"}, "no ending called 'rude'"),
        ({"port": 65536}, "port must be 0 to 65535"),
        ({"backlog": -1}, "backlog must be"),
        ({"delay": -1}, "delay must not be negative"),
        ({"linger": float("nan")}, "linger must not be negative"),
        ({"receive_buffer": 0}, "receive_buffer must be"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, object], message: str) -> None:
    make: type[Server] = EchoServer
    with pytest.raises(ValueError, match=message):
        make(**arguments)  # type: ignore[arg-type]


def test_option_values_out_of_range() -> None:
    with pytest.raises(ValueError, match="keepalive idle must be 1 to 32767, not 0"):
        KeepAlive(idle=0)
    with pytest.raises(ValueError, match="limit idle must be more than 0"):
        Limits(idle=0)
    with pytest.raises(ValueError, match="limit frame must be at least 1"):
        Limits(frame=0)
