"""Each ending: what the client is told, and what the kernel says of the server's socket."""

from __future__ import annotations

import asyncio
import time

import pytest

from testbed.servers import ENDINGS, EchoServer, Phase, RpcServer, Server, find_ending
from testbed.servers.rpc import call

from .peer import Peer, connected, descriptors, eventually, still_serves, until

HELLO = b"hello\r\n"
REPLY = b"server got:hello\r\n"


async def exchange(client: Peer) -> None:
    await client.send(HELLO)
    assert await client.receive(len(REPLY)) == REPLY


def phases(server: Server) -> list[Phase]:
    return [info.phase for info in server.connections]


def test_the_table_is_complete_and_in_words() -> None:
    for name, row in ENDINGS.items():
        assert name == row.name
        assert row.does and row.seen and row.why
    strategies = [
        (row.respond, row.goodbye, row.fault, row.stop, row.accepts, row.accept_pause)
        for row in ENDINGS.values()
    ]
    assert len(set(strategies)) == len(strategies), "two endings that do the same"
    with pytest.raises(ValueError, match="no ending called 'rude'; there are: polite"):
        find_ending("rude")


async def test_polite() -> None:
    async with EchoServer() as server, connected(server) as client:
        await exchange(client)
        client.finish()
        assert await client.told() == b""
        await eventually(lambda: client.states()[0] == "NONE", client.states)
        assert server.connections == ()


async def test_polite_sends_what_is_pending_before_it_closes() -> None:
    async with RpcServer() as server, connected(server) as client:
        await client.send(call("sleep", [0.05]) + call("blob", [100_000]))
        client.finish()
        told = await client.told()
        assert isinstance(told, bytes) and told.endswith(b'x"}')


async def test_half_close_aware_sends_the_rest_after_the_clients_fin() -> None:
    async with EchoServer(ending="half-close-aware", delay=60) as server, connected(server) as client:
        await client.send(HELLO)
        assert await client.receive(9) == REPLY[:9]
        client.finish()
        assert await client.told() == REPLY[9:]
        await eventually(lambda: not server.connections)


async def test_half_close_aware_does_not_starve_a_client_that_waits() -> None:
    async with EchoServer(ending="half-close-aware", delay=0.05) as server, connected(server) as client:
        await exchange(client)
        await exchange(client)
        assert phases(server) in ([Phase.IDLE], [Phase.REPLYING])


async def test_server_first() -> None:
    async with EchoServer(ending="server-first") as server, connected(server) as client:
        await exchange(client)
        assert await client.told() == b""
        await client.in_states(server="FIN_WAIT2", client="CLOSE_WAIT")
        client.sock.close()
        await client.in_states(server="TIME_WAIT", client="NONE")


async def test_slow() -> None:
    async with EchoServer(ending="slow", delay=0.3) as server, connected(server) as client:
        await exchange(client)
        client.finish()
        began = time.monotonic()
        await client.in_states(server="CLOSE_WAIT", client="FIN_WAIT2")
        assert await client.told() == b""
        assert time.monotonic() - began >= 0.25
        await client.in_states(server="NONE", client="TIME_WAIT")


async def test_never() -> None:
    async with EchoServer(ending="never") as server:
        async with connected(server) as client:
            await exchange(client)
            client.finish()
            await until(server, lambda it: phases(it) == [Phase.HOLDING])
            await client.in_states(server="CLOSE_WAIT", client="FIN_WAIT2")
            assert server.connections[0].eof_read
            assert await client.told(within=0.2) == "nothing"
        await still_serves(server)
        assert Phase.HOLDING in phases(server), "the client has gone, the socket has not"
        before = descriptors()
    assert descriptors() < before


async def test_deaf_leaves_the_eof_unread() -> None:
    async with EchoServer(ending="deaf") as server, connected(server) as client:
        await exchange(client)
        await client.send(b"into the void")
        client.finish()
        await client.in_states(server="CLOSE_WAIT", client="FIN_WAIT2")
        assert await client.told(within=0.2) == "nothing"
        (info,) = server.connections
        assert not info.eof_read and info.bytes_received == len(HELLO)


async def test_shutdown_only_is_orderly_on_the_wire_and_leaks_the_descriptor() -> None:
    async with EchoServer(ending="shutdown-only") as server:
        for count in range(1, 4):
            async with connected(server) as client:
                await exchange(client)
                client.finish()
                assert await client.told() == b""
            await until(server, lambda it, count=count: phases(it) == [Phase.HOLDING] * count)  # type: ignore[misc]
        assert all(info.descriptor > 0 for info in server.connections)


async def test_cut_on_eof_drops_the_reply_under_way() -> None:
    async with RpcServer(ending="cut-on-eof") as server, connected(server) as client:
        await client.send(call("sleep", [60]))
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        client.finish()
        assert await client.told() == b""


async def test_cut_on_eof_finds_a_fin_right_behind_the_request() -> None:
    async with EchoServer(ending="cut-on-eof") as server, connected(server) as client:
        await client.send(HELLO)
        client.finish()
        assert await client.told() == b""
        await eventually(lambda: not server.connections)


async def test_cut_on_eof_answers_a_client_that_waits() -> None:
    async with EchoServer(ending="cut-on-eof") as server, connected(server) as client:
        await exchange(client)
        client.finish()
        assert await client.told() == b""


async def test_linger_zero() -> None:
    async with EchoServer(ending="linger-zero") as server, connected(server) as client:
        await exchange(client)
        client.finish()
        assert await client.told() == "reset"
        await client.in_states(server="NONE", client="NONE")


async def test_unread() -> None:
    async with EchoServer(ending="unread") as server, connected(server) as client:
        await exchange(client)
        assert await client.told(within=0.2) == "nothing"
        await client.send(HELLO)
        assert await client.told() == "reset"
        await client.in_states(server="NONE", client="NONE")
        await eventually(lambda: not server.connections)


async def test_unread_with_nothing_unread_is_an_orderly_close() -> None:
    async with EchoServer(ending="unread") as server, connected(server) as client:
        await exchange(client)
        client.finish()
        assert await client.told() == b""


async def test_accept_never() -> None:
    async with EchoServer(ending="accept-never") as server, connected(server) as client:
        await client.send(HELLO)
        assert await client.told(within=0.2) == "nothing"
        await client.in_states(server="ESTABLISHED", client="ESTABLISHED")
        assert server.accepted == 0
        await server.stop()
        assert await client.told() == "reset"


async def test_leak_on_reset_keeps_the_descriptor() -> None:
    async with EchoServer(ending="leak-on-reset") as server:
        async with connected(server) as client:
            await exchange(client)
            client.reset()
        await until(server, lambda it: phases(it) == [Phase.HOLDING])
        assert client.states() == ("NONE", "NONE")
        assert server.connections[0].descriptor > 0
        await still_serves(server)


async def test_crash_on_reset_takes_everyone_along() -> None:
    async with EchoServer(ending="crash-on-reset") as server, connected(server) as other:
        await exchange(other)
        async with connected(server) as client:
            await exchange(client)
            client.reset()
        assert await other.told() == b""
        assert isinstance(server.crashed, ConnectionResetError)
        with pytest.raises(ConnectionRefusedError):
            async with connected(server):
                pass


@pytest.mark.parametrize("name", ENDINGS)
async def test_no_ending_leaks_out_of_the_block(name: str) -> None:
    before = descriptors()
    async with EchoServer(ending=name, delay=60) as server:
        for _ in range(3):
            async with connected(server) as client:
                await client.send(HELLO)
                client.finish()
                await client.told(within=0.05)
    assert server.connections == ()
    assert descriptors() == before
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
