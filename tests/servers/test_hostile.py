"""What one client does to the server costs no other client anything."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from testbed.servers import EchoServer, Limits, Phase, RpcServer, Server, query_call
from testbed.servers.rpc import call

from .peer import connected, descriptors, eventually, still_serves, until
from .test_endings import exchange, phases


async def answers(server: Server) -> None:
    """A well-behaved client gets its answer, soon."""
    async with asyncio.timeout(2), connected(server) as other:
        await other.send(query_call())
        assert len(await other.receive(254)) == 254


async def test_an_oversized_frame() -> None:
    async with RpcServer(limits=Limits(frame=1000)) as server, connected(server) as client:
        await client.send(b"\x7f\xff\xff\xff" + b"x" * 5000)
        await answers(server)
        told = await client.receive(4)
        reply = json.loads(await client.receive(int.from_bytes(told)))
        assert reply["error"]["code"] == -32600
        # The error is not lost to an RST, though most of what was sent is of no interest.
        assert await client.told() == b""


async def test_malformed_json_is_answered_and_the_connection_lives() -> None:
    async with RpcServer() as server, connected(server) as client:
        await client.send(b"\0\0\0\x05{nope")
        size = int.from_bytes(await client.receive(4))
        assert json.loads(await client.receive(size))["error"]["code"] == -32700
        await client.send(query_call())
        assert len(await client.receive(254)) == 254


async def test_a_slow_loris_is_cut_after_the_request_time() -> None:
    async with RpcServer(limits=Limits(request=0.4)) as server, connected(server) as client:
        began = time.monotonic()
        for byte in query_call()[:4]:
            await client.send(bytes([byte]))
            await answers(server)
        assert await client.told() == b""
        assert 0.35 < time.monotonic() - began < 5


async def test_requests_back_to_back_are_timed_one_by_one() -> None:
    async with RpcServer(limits=Limits(request=0.3)) as server, connected(server) as client:
        frame = query_call()
        await client.send(frame[:50])
        for _ in range(8):  # always in mid-request, 0.8 s in all, and never slow
            await asyncio.sleep(0.1)
            await client.send(frame[50:] + frame[:50])
            assert len(await client.receive(254)) == 254


async def test_an_idle_connection_is_closed_by_the_server() -> None:
    async with EchoServer(limits=Limits(idle=0.2)) as server, connected(server) as client:
        await exchange(client)
        assert await client.told() == b""
        client.sock.close()
        await client.in_states(server="TIME_WAIT", client="NONE")


async def test_a_client_that_vanishes_in_mid_frame() -> None:
    before = descriptors()
    async with RpcServer() as server:
        async with connected(server) as client:
            await client.send(query_call()[:50])
            await until(server, lambda it: phases(it) == [Phase.RECEIVING])
            client.reset()
        await answers(server)
        await until(server, lambda it: not it.connections)
    assert descriptors() == before


async def test_a_client_that_vanishes_in_mid_reply() -> None:
    async with RpcServer() as server:
        async with connected(server) as client:
            await client.send(call("sleep", [0.1]) + call("blob", [1_000_000]))
            await until(server, lambda it: phases(it) == [Phase.REPLYING])
            client.reset()
        await answers(server)
        await until(server, lambda it: not it.connections)


async def test_a_client_that_does_not_take_its_reply_is_reset() -> None:
    limits = Limits(write=0.3, frame=8 << 20)
    async with (
        RpcServer(limits=limits, send_buffer=4096) as server,
        connected(server, receive_buffer=4096) as client,
    ):
        await client.send(call("blob", [6 << 20]))
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        await answers(server)
        await until(server, lambda it: not it.connections)
        await client.in_states(server="NONE", client="NONE")


async def test_a_fault_in_a_handler_ends_that_connection_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        async with RpcServer() as server, connected(server) as bystander, connected(server) as client:
            await client.send(call("fail", ["boom"]))
            assert await client.told() == b""
            await bystander.send(query_call())
            assert len(await bystander.receive(254)) == 254
    (record,) = caplog.records
    assert "boom" in record.getMessage() and "rpc.py:" in record.getMessage()
    assert "\n" not in record.getMessage() and record.exc_info is None


async def test_a_flood_of_bytes_does_not_starve_the_others() -> None:
    async with EchoServer(prefix=b"") as server, connected(server) as flooder:

        async def flood() -> None:
            while True:
                await flooder.send(b"x" * 65536)

        async def drain() -> None:
            while await asyncio.get_running_loop().sock_recv(flooder.sock, 1 << 20):
                pass

        tasks = [asyncio.create_task(flood()), asyncio.create_task(drain())]
        try:
            for _ in range(10):
                async with asyncio.timeout(2), connected(server) as other:
                    await other.send(b"ping")
                    assert await other.receive(4) == b"ping"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """Let this process open so many descriptors more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    free = (number for number in range(soft) if number not in taken)
    limit = next(number for place, number in enumerate(free) if place == count)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_running_out_of_descriptors_is_no_end(caplog: pytest.LogCaptureFixture) -> None:
    async with EchoServer(ending="never") as server, AsyncExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(4)]
        with room_for(2):
            for client in clients:
                client.connect(server.address)
            await eventually(lambda: any("cannot accept" in text for text in caplog.messages))
            await until(server, lambda it: it.accepted >= 1)
            assert server.accepted < 4
        # Room again: the server takes up where it left off, without being told.
        await until(server, lambda it: it.accepted == 4)
    assert len(caplog.messages) == 1, "said once, not at each try"


async def test_still_serves_after_many_short_connections() -> None:
    async with EchoServer() as server:
        for _ in range(200):
            async with connected(server) as client:
                client.reset()
        await still_serves(server)
        await eventually(lambda: not server.connections)
