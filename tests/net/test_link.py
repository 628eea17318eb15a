"""The link does with each segment what the rules say, and nothing else; it tells, and it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from testbed.errors import ExperimentError, UsageError, WitnessTimeout
from testbed.net import links
from testbed.net.hosts import TwoHosts
from testbed.net.link import Link
from testbed.net.link_events import Fate, LinkEvent
from testbed.net.private import PrivateNetwork

ROOT = Path(__file__).resolve().parents[2]
PORT = 80


class Pair:
    """A client and a listener at both ends of a link, driven by the event loop."""

    def __init__(self, hosts: TwoHosts, link: Link) -> None:
        self.hosts, self.link = hosts, link
        with hosts.server.enter():
            self.listener = socket.create_server((hosts.server.address, PORT))
        self.listener.setblocking(False)
        with hosts.client.enter():
            self.client = socket.socket()
        self.client.setblocking(False)

    def close(self) -> None:
        self.listener.close()
        self.client.close()

    async def connect(self) -> socket.socket:
        """The server's end of a connection that is open."""
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(loop.sock_connect(self.client, (self.hosts.server.address, PORT)))
        server, _ = await asyncio.wait_for(loop.sock_accept(self.listener), 20)
        await asyncio.wait_for(connecting, 20)
        return server


@asynccontextmanager
async def pair(*rules: str, frozen: bool = False) -> AsyncIterator[Pair]:
    with TwoHosts(middle=True) as hosts:
        async with Link(hosts, rules, frozen=frozen) as link:
            made = Pair(hosts, link)
            try:
                yield made
            finally:
                made.close()


async def read(sock: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        data += (piece := await asyncio.wait_for(loop.sock_recv(sock, count - len(data)), 20))
        if not piece:
            break
    return data


def told(link: Link, *fates: Fate) -> list[tuple[Fate, str]]:
    return [(e.fate, e.line) for e in link.events if not fates or e.fate in fates]


async def test_without_rules_it_is_a_wire(network: PrivateNetwork) -> None:
    async with pair() as ends:
        server = await ends.connect()
        body = os.urandom(3_000_000)
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(loop.sock_sendall(ends.client, body))
        assert await read(server, len(body)) == body
        await sending
        server.close()
        await ends.link.settled()
        assert ends.link.events == []


async def test_a_dropped_fin_is_sent_again(network: PrivateNetwork) -> None:
    async with pair("drop > F. #1") as ends:
        await ends.link.watch()
        server = await ends.connect()
        ends.client.close()
        assert await read(server, 1) == b""
        await ends.link.settled()
        fins = [(e.fate, e.seen) for e in ends.link.events if e.line == "> F. 1:1(0) ack 1"]
        assert [fate for fate, _ in fins] == [Fate.DROPPED, Fate.PASSED]
        dropped = next(e for e in ends.link.events if e.fate is Fate.DROPPED)
        assert (dropped.sent, dropped.rule) == ((), "drop > F. #1")
        server.close()


async def test_the_receiver_never_sees_what_is_dropped(network: PrivateNetwork) -> None:
    async with pair("drop > S") as ends:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_connect(ends.client, (ends.hosts.server.address, PORT)), 0.3)
        assert told(ends.link)[0] == (Fate.DROPPED, "> S 0:0(0)")
        with ends.hosts.server.enter():
            words = Path("/proc/thread-self/net/snmp").read_text().split("Tcp:")[2].split()
        assert words[5] == "0", "PassiveOpens: no SYN came"


async def test_what_is_held_comes_when_it_is_released(network: PrivateNetwork) -> None:
    async with pair("hold < S.") as ends:
        connecting = asyncio.ensure_future(ends.connect())
        (held,) = await ends.link.until_held("< S.")
        assert held.line == "< S. 0:0(0) ack 1"
        assert not connecting.done()
        released = await ends.link.release()
        assert [event.id for event in released] == [held.id]
        (await connecting).close()
        assert ends.link.held == []
        assert told(ends.link, Fate.HELD, Fate.RELEASED) == [
            (Fate.HELD, "< S. 0:0(0) ack 1"),
            (Fate.RELEASED, "< S. 0:0(0) ack 1"),
        ]


async def test_a_copy_of_what_is_held_is_told_and_not_queued(network: PrivateNetwork) -> None:
    async with pair("hold > P.") as ends:
        server = await ends.connect()
        await asyncio.get_running_loop().sock_sendall(ends.client, b"hello")
        await ends.link._until(
            lambda: (Fate.AGAIN, "> P. 1:6(5) ack 1") in told(ends.link), 20, "no retransmission"
        )
        assert [held.line for held in ends.link.held] == ["> P. 1:6(5) ack 1"]
        await ends.link.forget()
        await ends.link.release()
        assert await read(server, 5) == b"hello"
        server.close()


async def test_a_duplicate_arrives_twice(network: PrivateNetwork) -> None:
    async with pair("duplicate > P. #1") as ends:
        await ends.link.watch()
        server = await ends.connect()
        await asyncio.get_running_loop().sock_sendall(ends.client, b"hello")
        assert await read(server, 5) == b"hello"
        await ends.link.settled()
        (event,) = [e for e in ends.link.events if e.fate is Fate.DUPLICATED]
        assert event.sent == (event.seen, event.seen + 1)
        # the second is answered with what was received twice (RFC 2883): the client's kernel counts it
        sent_back = [e.line for e in ends.link.events if not e.from_client]
        assert sent_back.count("< . 1:1(0) ack 6") == 2
        server.close()


async def test_the_next_overtakes_what_is_reordered(network: PrivateNetwork) -> None:
    async with pair("reorder > P. #1") as ends:
        ends.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = await ends.connect()
        loop = asyncio.get_running_loop()
        await ends.link.watch()
        await loop.sock_sendall(ends.client, b"first ")
        await loop.sock_sendall(ends.client, b"second")
        assert await read(server, 12) == b"first second"
        await ends.link.settled()
        went = [(e.fate, e.line, e.sent) for e in ends.link.events if e.from_client and e.sent]
        (second, first) = [row for row in went if " P. " in row[1]][:2]
        assert (second[:2], first[:2]) == (
            (Fate.PASSED, "> P. 7:13(6) ack 1"),
            (Fate.REORDERED, "> P. 1:7(6) ack 1"),
        )
        assert first[2][0] == second[2][0] + 1
        server.close()


async def test_a_forged_reset_kills(network: PrivateNetwork) -> None:
    async with pair() as ends:
        server = await ends.connect()
        await ends.link.inject("> R 1:1(0)", ports=(ends.client.getsockname()[1], PORT))
        with pytest.raises(ConnectionResetError):
            await read(server, 1)
        (event,) = ends.link.events
        assert (event.fate, event.seen, len(event.sent)) == (Fate.FORGED, 0, 1)
        server.close()


async def test_a_forged_segment_may_follow_another(network: PrivateNetwork) -> None:
    async with pair("inject < R. 1:1(0) ack 6 after > P. #1", "drop < .") as ends:
        server = await ends.connect()
        await asyncio.get_running_loop().sock_sendall(ends.client, b"hello")
        with pytest.raises(ConnectionResetError):
            await read(ends.client, 1)
        server.close()


async def test_a_cut_wire_carries_nothing(network: PrivateNetwork) -> None:
    async with pair() as ends:
        server = await ends.connect()
        await ends.link.cut()
        await asyncio.get_running_loop().sock_sendall(ends.client, b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(server, 4), 0.3)
        lost: LinkEvent = ends.link.events[0]
        assert (lost.fate, lost.line, lost.rule) == (
            Fate.DROPPED,
            "> P. 1:5(4) ack 1",
            "the wire is cut",
        )
        await ends.link.restore()
        assert await read(server, 4) == b"late"
        server.close()


async def test_a_segment_too_big_for_the_other_side_is_dropped(network: PrivateNetwork) -> None:
    async with pair() as ends:
        server = await ends.connect()
        assert ends.hosts.middle is not None
        with ends.hosts.middle.enter():
            links.set_mtu("server", 1000)
        await asyncio.get_running_loop().sock_sendall(ends.client, b"x" * 1400)
        await ends.link._until(lambda: bool(ends.link.events), 10, "nothing")
        assert ends.link.events[0].fate is Fate.DROPPED
        assert "MTU" in ends.link.events[0].rule
        server.close()


async def test_frozen_it_holds_everything_and_folds_what_says_nothing_new(network: PrivateNetwork) -> None:
    async with pair(frozen=True) as ends:
        link = ends.link
        connecting = asyncio.ensure_future(ends.connect())
        for number, line in enumerate(("> S 0:0(0)", "< S. 0:0(0) ack 1", "> . 1:1(0) ack 1"), 1):
            held = await link.until_held(count=number)
            assert held[-1].line == line
            assert [one.line for one in link.held] == [line]
            await link.deliver(held[-1].id)
        server = await connecting
        await asyncio.get_running_loop().sock_sendall(ends.client, b"hello")
        (data,) = await link.until_held("> P.")
        await link.deliver(data.id)
        (answer,) = await link.until_held("< .")
        # the answer is held, so the client sends again: a copy of what the server has
        await link._until(lambda: bool(told(link, Fate.AGAIN)), 20, "no retransmission")
        (again, *_) = [e for e in link.events if e.fate is Fate.AGAIN]
        assert (again.line, again.id) == ("> P. 1:6(5) ack 1", answer.id)
        assert [one.line for one in link.held] == ["< . 1:1(0) ack 6"]
        # the answer is lost: now the copy is what brings a new one
        await link.discard(answer.id)
        await link.until_held("> P.", count=2, timeout=20)
        server.close()


async def test_thawed_it_goes_by_its_rules_again(network: PrivateNetwork) -> None:
    async with pair(frozen=True) as ends:
        connecting = asyncio.ensure_future(ends.connect())
        await ends.link.until_held()
        await ends.link.freeze(False)
        await ends.link.release()
        (await connecting).close()
        assert ends.link.held == []


async def test_many_may_ask_at_once(network: PrivateNetwork) -> None:
    async with pair() as ends:
        rules = [f"> . ack {number}" for number in range(50)]
        await asyncio.wait_for(asyncio.gather(*(ends.link.drop(rule) for rule in rules)), 20)
        await asyncio.wait_for(asyncio.gather(*(ends.link.forget(f"drop {rule}") for rule in rules)), 20)


async def test_mistakes_are_told(network: PrivateNetwork) -> None:
    with TwoHosts() as hosts, pytest.raises(UsageError, match="middle=True"):
        async with Link(hosts):
            pass
    with TwoHosts(middle=True) as hosts:
        with pytest.raises(UsageError, match="column 1"):
            Link(hosts, ["dorp > F."])
        async with Link(hosts) as link:
            with pytest.raises(UsageError, match="column 6"):
                await link.drop("F.")
            with pytest.raises(UsageError, match="no connection was seen"):
                await link.inject("> R 1:1(0)")
            with pytest.raises(UsageError, match="no segment 7 is held"):
                await link.deliver(7)
            with pytest.raises(UsageError, match="no rule"):
                await link.forget("drop > F.")
            with pytest.raises(WitnessTimeout, match=r"1 x > F\. did not come"):
                await link.until_held("> F.", timeout=0.05)


async def test_a_link_whose_process_ends_says_so(network: PrivateNetwork) -> None:
    async with pair() as ends:
        waiting = asyncio.ensure_future(ends.link.until_held(timeout=20))
        await asyncio.sleep(0)
        os.kill(ends.link.pid, signal.SIGKILL)
        for asked in (waiting, ends.link.drop("> F."), ends.link.drop("> F.")):
            with pytest.raises(ExperimentError, match="the link's process has ended: by SIGKILL"):
                await asked


async def test_nothing_is_left(network: PrivateNetwork) -> None:
    before = set(psutil.Process().children(recursive=True)), psutil.Process().num_fds()
    async with pair() as ends:
        pid = ends.link.pid
    assert not psutil.pid_exists(pid)
    assert (set(psutil.Process().children(recursive=True)), psutil.Process().num_fds()) == before


def test_it_ends_with_a_killed_process(network: PrivateNetwork) -> None:
    program = textwrap.dedent(
        """
        import asyncio
        from testbed.net.hosts import TwoHosts
        from testbed.net.link import Link

        async def main():
            with TwoHosts(middle=True) as hosts:
                async with Link(hosts) as link:
                    print(link.pid, flush=True)
                    await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    link = psutil.Process(int(process.stdout.readline()))
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while link.is_running() and link.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the link's process outlives its parent"
        time.sleep(0.01)
