"""The loop with the real kernel, in a private network: what it tells of connections made here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

import pytest

from testbed.errors import UsageError
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State
from testbed.watch.events import Account, Ending, Event, Kind
from testbed.watch.holders import Holders
from testbed.watch.live import Settings, watch
from testbed.watch.watcher import Watcher

SERVER = ("127.0.0.1", 2333)
ABORT = struct.pack("ii", 1, 0)


class Told:
    """A display that keeps what it is shown, and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.witnesses: Sequence[str] = ()
        self.stop = asyncio.Event()
        self.looks = 0
        self._more = asyncio.Event()

    def begin(self, witnesses: Sequence[str]) -> None:
        self.witnesses = witnesses

    def wants(self, watcher: Watcher) -> Iterable[int]:
        return ()

    def show(self, events: Sequence[Event], watcher: Watcher, holders: Holders) -> None:
        self.events += events
        self.looks = watcher.looks
        self._more.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._more.clear()
                await self._more.wait()

    async def event(self, kind: Kind, **wanted: object) -> Event:
        """The first such event, waited for."""

        def found() -> list[Event]:
            return [
                e
                for e in self.events
                if e.kind is kind and all(getattr(e, k) == v for k, v in wanted.items())
            ]

        await self.until(lambda: bool(found()))
        return found()[0]

    async def looked(self, times: int = 2) -> None:
        """So many looks more."""
        target = self.looks + times
        await self.until(lambda: self.looks >= target)


@contextlib.asynccontextmanager
async def watching(**options: object) -> AsyncIterator[tuple[Told, asyncio.Task[Account]]]:
    settings = Settings(**({"tracepoints": False, "interval": 0.01} | options))  # type: ignore[arg-type]
    told = Told()
    task = asyncio.create_task(watch(settings, told, told.stop))
    try:
        await told.until(lambda: told.looks > 0 or task.done())
        yield told, task
    finally:
        told.stop.set()
        await asyncio.wait([task])


@pytest.fixture
def listener(network: PrivateNetwork) -> Iterator[socket.socket]:
    with socket.create_server(SERVER) as listening:
        yield listening


def connected(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(SERVER, timeout=10)
    return client, listener.accept()[0]


async def test_a_connection_from_its_opening_to_its_end(listener: socket.socket) -> None:
    async with watching() as (told, task):
        client, server = connected(listener)
        opened = await told.event(Kind.OPENED)
        assert (opened.side, opened.state) == ("server", State.ESTABLISHED)
        client.close()
        waits = await told.event(Kind.STATE, side="server", state=State.CLOSE_WAIT)
        assert "has not read the end" in waits.text  # nobody called recv
        server.close()
        await told.event(Kind.CLOSED)
        told.stop.set()
        account = await task
    assert account.connections == 1
    assert account.endings[Ending.ORDERLY] == 1
    assert account.longest is not None and account.longest.ended


async def test_the_holders_of_a_watched_process_are_known_with_it(listener: socket.socket) -> None:
    async with watching(pids=[os.getpid()]) as (told, _):
        client, server = connected(listener)
        opened = await told.event(Kind.OPENED)
        assert opened.holder is not None
        assert (opened.holder.pid, opened.holder.fd) == (os.getpid(), server.fileno())
        client.close()
        server.close()


@pytest.mark.parametrize(
    ("listens", "connects"), [("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1"), ("0.0.0.0", "127.0.0.1")]
)
async def test_both_ends_are_joined_whatever_the_family(
    network: PrivateNetwork, listens: str, connects: str
) -> None:
    """An IPv6 socket may carry an IPv4 connection: its client's end is then of the other family."""
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    dual = listens == "::"
    with socket.create_server((listens, 2333), family=family, dualstack_ipv6=dual) as listener:
        async with watching() as (told, task):
            client = socket.create_connection((connects, 2333), timeout=10)
            server = listener.accept()[0]
            opened = await told.event(Kind.OPENED)
            assert (opened.side, opened.local) == ("server", (connects, 2333))
            client.close()
            server.close()
            await told.event(Kind.CLOSED)
            told.stop.set()
            account = await task
    assert account.connections == account.endings[Ending.ORDERLY] == 1


async def test_both_ends_here_and_no_time_wait_is_a_reset(listener: socket.socket) -> None:
    async with watching() as (told, _):
        client, server = connected(listener)
        await told.event(Kind.OPENED)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        client.close()
        reset = await told.event(Kind.RESET)
        assert reset.certain and reset.reset_by is None
        server.close()


async def test_a_leak_older_than_the_watch_is_found_at_once(listener: socket.socket) -> None:
    client, server = connected(listener)
    with client, server:
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        await asyncio.sleep(0.6)
        async with watching(leak_after=0.5) as (told, task):
            leak = await told.event(Kind.LEAK)
            assert leak.at_least and leak.spent_ns is not None and leak.spent_ns >= 500_000_000
            assert "not closed its socket" in leak.text
            assert leak.holder is not None and leak.holder.fd == server.fileno()
            told.stop.set()
            account = await task
    assert account.leaked == 1
    assert [stay.holder for stay in account.leaks] == [leak.holder]


@pytest.mark.parametrize("how", ["reset", "shut down"])
async def test_a_descriptor_that_outlives_its_connection(listener: socket.socket, how: str) -> None:
    """Its socket is in no table any longer; only the descriptor is."""
    async with watching(leak_after=0.2) as (told, task):
        client, server = connected(listener)
        other, closed = connected(listener)
        await told.event(Kind.OPENED, connection=2)
        if how == "reset":
            for end in (client, other):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        else:
            server.shutdown(socket.SHUT_RDWR)
        closed.close()
        client.close()
        other.close()
        held = await told.event(Kind.HELD)
        assert held.local == SERVER and held.remote[1] != 0
        assert held.holder is not None and held.holder.fd == server.fileno()
        await told.looked(30)
        told.stop.set()
        account = await task
        server.close()
    assert account.held == 1


async def test_who_answers_in_close_wait_is_no_leak(listener: socket.socket) -> None:
    client, server = connected(listener)
    with client, server:
        async with watching(leak_after=2.0) as (told, task):
            client.shutdown(socket.SHUT_WR)
            await told.event(Kind.STATE, state=State.CLOSE_WAIT)
            for _ in range(50):
                server.send(b"more")
                await asyncio.sleep(0.05)
            assert not [event for event in told.events if event.kind is Kind.LEAK]
            await told.event(Kind.LEAK)  # now that it has fallen silent
            told.stop.set()
            assert (await task).leaked == 1


async def test_the_port_that_is_wanted(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 2334)) as other:
        async with watching(ports=[2334]) as (told, task):
            pairs = connected(listener), (socket.create_connection(("127.0.0.1", 2334)), other.accept()[0])
            await told.looked()
            told.stop.set()
            account = await task
        for end in (end for pair in pairs for end in pair):
            end.close()
    assert account.connections == 1
    assert all(2334 in (event.local[1], event.remote[1]) for event in told.events)


async def test_it_ends_by_itself_after_so_many_endings(listener: socket.socket) -> None:
    async with watching(count=1) as (told, task):
        client, server = connected(listener)
        await told.event(Kind.OPENED)
        client.close()
        server.close()
        account = await asyncio.wait_for(task, 20)
    assert account.endings[Ending.ORDERLY] == 1


async def test_it_ends_by_itself_after_some_seconds(network: PrivateNetwork) -> None:
    async with watching(seconds=0.1) as (_, task):
        account = await asyncio.wait_for(task, 20)
    assert account.looks >= 2
    assert not account.complete and "may have been missed" in account.notes[0]


async def test_what_it_cannot_do(network: PrivateNetwork) -> None:
    stop = asyncio.Event()
    with pytest.raises(UsageError, match="there is no process 99999999"):
        await watch(Settings(pids=[99_999_999]), Told(), stop)
    with pytest.raises(UsageError, match="there is no process 99999999"):
        await watch(Settings(netns=99_999_999), Told(), stop)


async def test_tracepoints_tell_who_reset_and_why(listener: socket.socket) -> None:
    async with watching(tracepoints=True) as (told, _):
        if "tracepoints" not in told.witnesses:
            pytest.skip("tracepoints: not for this user, or not on this kernel")
        client, server = connected(listener)
        await told.event(Kind.OPENED)
        client.send(b"unread")
        server.close()
        reset = await told.event(Kind.RESET)
        assert (reset.reset_by, reset.witness, reset.certain) == ("server", "tracepoint", True)
        assert "TCP_ABORT_ON_CLOSE" in reset.text  # tcp_close with unread data; Linux 6.10 and later
        client.close()


async def test_tracepoints_have_the_times_of_states_too_short_to_be_seen(listener: socket.socket) -> None:
    async with watching(tracepoints=True) as (told, _):
        if "tracepoints" not in told.witnesses:
            pytest.skip("tracepoints: not for this user, or not on this kernel")
        client, server = connected(listener)
        await told.event(Kind.OPENED)
        client.close()
        server.close()
        closed = await told.event(Kind.CLOSED)
    heard = [event.state for event in told.events if event.witness == "tracepoint" and event.side == "client"]
    assert State.FIN_WAIT_1 in heard
    assert closed.witness == "tracepoint"
