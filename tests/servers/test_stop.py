"""Being told to stop: idle, fresh, in flight, queued, new."""

from __future__ import annotations

import asyncio
import time

import pytest

from testbed.servers import EchoServer, Phase, RpcServer, Server
from testbed.servers.rpc import call

from .peer import connected, until
from .test_endings import exchange, phases

SLEEP = call("sleep", [0.3])


async def stop(server: Server) -> float:
    """Stop, bounded; the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        await server.stop()
    return time.monotonic() - began


async def test_polite_closes_idle_and_fresh_connections_with_fin() -> None:
    async with EchoServer() as server, connected(server) as idle, connected(server) as fresh:
        await exchange(idle)
        await until(server, lambda it: phases(it) == [Phase.IDLE, Phase.FRESH])
        stopping = asyncio.create_task(stop(server))
        for client in (idle, fresh):
            assert await client.told() == b""
            client.sock.close()
        assert await stopping < 0.9, "both answered the FIN: nothing to linger for"
        assert not server.listening


async def test_polite_lingers_no_longer_than_it_says() -> None:
    async with EchoServer(linger=0.2) as server, connected(server) as idle:
        await exchange(idle)
        assert 0.15 < await stop(server) < 5
        assert await idle.told() == b""
        await idle.in_states(server="FIN_WAIT2", client="CLOSE_WAIT")


async def test_polite_finishes_what_is_in_flight() -> None:
    async with RpcServer() as server, connected(server) as client:
        await client.send(SLEEP)
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        stopping = asyncio.create_task(stop(server))
        told = await client.told()
        assert isinstance(told, bytes) and told.endswith(b'{"slept":0.3}}')
        client.sock.close()
        await stopping


async def test_polite_finishes_a_request_that_is_still_arriving() -> None:
    async with RpcServer() as server, connected(server) as client:
        await client.send(SLEEP[:20])
        await until(server, lambda it: phases(it) == [Phase.RECEIVING])
        stopping = asyncio.create_task(stop(server))
        await client.send(SLEEP[20:])
        told = await client.told()
        assert isinstance(told, bytes) and told.endswith(b'{"slept":0.3}}')
        client.sock.close()
        await stopping


async def test_grace_bounds_what_is_in_flight() -> None:
    async with RpcServer(grace=0.2) as server, connected(server) as client:
        await client.send(call("sleep", [60]))
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        assert 0.15 < await stop(server) < 5
        assert await client.told() == b""


async def test_polite_answers_what_is_queued() -> None:
    async with EchoServer() as server, connected(server) as queued:
        # No pass of the loop between the client's bytes and the stop: the server has accepted nothing.
        queued.sock.send(b"hello\r\n")
        stopping = asyncio.create_task(stop(server))
        assert await queued.told() == b"server got:hello\r\n"
        queued.sock.close()
        await stopping


async def test_drop_queued_resets_what_is_queued() -> None:
    async with EchoServer(ending="drop-queued") as server, connected(server) as queued:
        queued.sock.send(b"hello\r\n")
        await stop(server)
        assert await queued.told() == "reset"


async def test_drop_queued_serves_while_it_lives() -> None:
    async with EchoServer(ending="drop-queued") as server:
        for _ in range(2):
            async with connected(server) as client:
                await exchange(client)


async def test_never_is_stopped_all_the_same() -> None:
    async with EchoServer(ending="never") as server, connected(server) as client:
        await exchange(client)
        client.finish()
        await until(server, lambda it: phases(it) == [Phase.HOLDING])
        assert await stop(server) < 5
        assert await client.told() == b"", "a process that exits closes its descriptors"


async def test_ignore_stop_waits_for_its_clients() -> None:
    async with EchoServer(ending="ignore-stop", grace=0.05) as server, connected(server) as client:
        await exchange(client)
        stopping = asyncio.create_task(stop(server))
        assert await client.told(within=0.3) == "nothing"
        await exchange(client)
        assert not stopping.done()
        with pytest.raises(ConnectionRefusedError):
            async with connected(server):
                pass
        client.finish()
        await stopping


async def test_leaving_the_block_ends_a_stop_that_would_not_end() -> None:
    async with EchoServer(ending="ignore-stop") as server, connected(server) as client:
        await exchange(client)
        stopping = asyncio.create_task(server.stop())
        assert await client.told(within=0.1) == "nothing"
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_wait_for_fresh() -> None:
    async with EchoServer(ending="wait-for-fresh") as server, connected(server) as idle:
        await exchange(idle)
        async with connected(server) as fresh:
            await until(server, lambda it: phases(it) == [Phase.IDLE, Phase.FRESH])
            stopping = asyncio.create_task(stop(server))
            assert await idle.told() == b""
            idle.sock.close()
            assert await fresh.told(within=0.2) == "nothing"
            assert not stopping.done()
            await exchange(fresh)
            assert await fresh.told() == b""
            fresh.sock.close()
            await stopping


async def test_cut_on_stop_leaves_the_reply_unsaid() -> None:
    async with RpcServer(ending="cut-on-stop") as server, connected(server) as client:
        await client.send(call("sleep", [60]))
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        assert await stop(server) < 5
        assert await client.told() == b""


async def test_abort_on_stop_resets_everyone() -> None:
    async with (
        RpcServer(ending="abort-on-stop") as server,
        connected(server) as busy,
        connected(server) as idle,
    ):
        await busy.send(call("sleep", [60]))
        await until(server, lambda it: Phase.REPLYING in phases(it))
        await until(server, lambda it: len(it.connections) == 2)
        await stop(server)
        assert await busy.told() == "reset"
        assert await idle.told() == "reset"


async def test_abort_on_stop_also_resets_what_was_just_accepted() -> None:
    async with EchoServer(ending="abort-on-stop") as server, connected(server) as queued:
        await stop(server)
        assert await queued.told() == "reset"


async def test_accept_on_stop_takes_new_connections_and_leaves_them() -> None:
    async with RpcServer(ending="accept-on-stop") as server, connected(server) as client:
        await client.send(SLEEP)
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        stopping = asyncio.create_task(stop(server))
        await asyncio.sleep(0)
        async with connected(server) as late:
            await until(server, lambda it: it.accepted == 2)
            told = await client.told()
            assert isinstance(told, bytes) and told
            client.sock.close()
            await stopping
            assert await late.told() == b""


async def test_polite_refuses_new_connections_once_told() -> None:
    async with RpcServer() as server, connected(server) as client:
        await client.send(SLEEP)
        await until(server, lambda it: phases(it) == [Phase.REPLYING])
        stopping = asyncio.create_task(stop(server))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            async with connected(server):
                pass
        assert await client.told()
        client.sock.close()
        await stopping


async def test_stop_may_be_called_twice_and_after_close() -> None:
    async with EchoServer() as server:
        await asyncio.gather(server.stop(), server.stop())
        await server.stop()
    await server.close()
    assert server.address[1] == server.port
