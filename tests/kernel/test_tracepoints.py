"""What the kernel tells while real connections live and die, on the machine's loopback."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from testbed.errors import CapabilityError, ExperimentError, UsageError
from testbed.kernel import trace_source, tracefs
from testbed.kernel.events import Event, ResetReceived, ResetSent, Retransmission, Transition
from testbed.kernel.sample import SocketAddress
from testbed.kernel.trace_ring import Page, Record
from testbed.kernel.trace_source import TraceSource
from testbed.kernel.tracepoints import Tracepoints
from testbed.net.child import tried_in_child
from testbed.net.firewall import Drop
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State

from .test_tracefs import made_by

pytestmark = pytest.mark.usefixtures("tracing")

HOST = "127.0.0.1"
NEVER = 3600.0
"""An interval in which nothing is read in the background."""
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
TCP_REPAIR = 19

Kind = TypeVar("Kind", bound=Event)


def listener(host: str = HOST) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, backlog=128)


def address(of: socket.socket) -> SocketAddress:
    host, port = of.getsockname()[:2]
    return host, port


def connected(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(address(server), timeout=10)
    return client, server.accept()[0]


def reset_connections(server: socket.socket, count: int) -> None:
    """Open and reset as many; each is at least five changes of state."""
    for _ in range(count):
        client, accepted = connected(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        client.close()
        accepted.close()


def of(kind: type[Kind], events: list[Event], local: SocketAddress) -> list[Kind]:
    return [event for event in events if isinstance(event, kind) and event.local == local]


async def until(kernel: Tracepoints, holds: Callable[[list[Event]], object]) -> list[Event]:
    """What was told once it holds."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        await kernel.drain()
        if holds(events := kernel.events):
            return events
        await asyncio.sleep(0.005)
    raise AssertionError("not in time; told was:\n" + "\n".join(map(str, kernel.events)))


def ours() -> int:
    return len(made_by(os.getpid()))


# ---------------------------------------------------------------- what is told


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_a_handshake_and_a_close_by_the_captures_clock(host: str) -> None:
    with listener(host) as server:
        there = address(server)
        async with Tracepoints(ports=[there[1]]) as kernel:
            client = socket.socket(server.family)
            begun = time.time_ns()
            client.connect(there)
            open_ = time.time_ns()
            here = address(client)
            accepted, _ = server.accept()
            client.close()
            shut = time.time_ns()
            assert accepted.recv(1) == b""
            eof = time.time_ns()
            accepted.close()
            events = await until(
                kernel, lambda told: any(e.before is State.LAST_ACK for e in of(Transition, told, there))
            )
    at_client, at_server = of(Transition, events, here), of(Transition, events, there)
    # RFC 9293, Figure 5; FIN_WAIT_2 goes on in a small object, which Linux calls the end of this one
    assert [(e.before, e.state) for e in at_client] == [
        (State.CLOSED, State.SYN_SENT),
        (State.SYN_SENT, State.ESTABLISHED),
        (State.ESTABLISHED, State.FIN_WAIT_1),
        (State.FIN_WAIT_1, State.FIN_WAIT_2),
        (State.FIN_WAIT_2, State.CLOSED),
    ]
    assert [(e.before, e.state) for e in at_server] == [
        (State.LISTEN, State.SYN_RECEIVED),
        (State.SYN_RECEIVED, State.ESTABLISHED),
        (State.ESTABLISHED, State.CLOSE_WAIT),
        (State.CLOSE_WAIT, State.LAST_ACK),
        (State.LAST_ACK, State.CLOSED),
    ]
    assert {e.remote for e in at_client} == {there}
    assert {e.remote for e in at_server} == {here}
    assert len({e.socket for e in at_client}) == len({e.socket for e in at_server}) == 1
    assert at_client[0].pid == at_client[2].pid == threading.get_native_id()
    times = [e.time_ns for e in at_client]
    assert begun <= times[0] <= times[1] <= open_ <= times[2] <= shut
    assert begun <= at_server[0].time_ns <= at_server[1].time_ns
    assert times[2] <= at_server[2].time_ns <= eof <= at_server[3].time_ns
    assert events == sorted(events, key=lambda e: e.time_ns)
    assert (kernel.lost, kernel.problem) == (0, "")


async def test_a_listener_comes_and_goes() -> None:
    async with Tracepoints() as kernel:
        with listener() as server:
            there = address(server)
        kernel.only(there[1])
        await kernel.drain()
    assert [(e.remote, e.before, e.state) for e in of(Transition, kernel.events, there)] == [
        (None, State.CLOSED, State.LISTEN),
        (None, State.LISTEN, State.CLOSED),
    ]


async def test_closing_with_data_unread_is_a_reset_and_its_reason() -> None:
    with listener() as server:
        there = address(server)
        async with Tracepoints(ports=[there[1]]) as kernel:
            client, accepted = connected(server)
            here = address(client)
            accepted.sendall(b"never read")
            client.recv(1, socket.MSG_PEEK)
            before = time.time_ns()
            client.close()
            after = time.time_ns()
            events = await until(kernel, lambda told: of(ResetReceived, told, there))
            accepted.close()
    (sent,) = of(ResetSent, events, here)
    assert (sent.remote, sent.reason) == (there, "TCP_ABORT_ON_CLOSE")
    assert sent.pid == threading.get_native_id()
    (received,) = of(ResetReceived, events, there)
    assert received.remote == here
    assert before <= sent.time_ns <= after  # told of when it is on its way, perhaps received
    assert before <= received.time_ns
    first = of(Transition, events, here)[0]
    assert sent.socket == first.socket
    assert received.socket == of(Transition, events, there)[0].socket


async def test_a_connection_that_is_refused_has_no_socket_to_reset() -> None:
    with socket.socket() as bound, socket.socket() as client:
        bound.bind((HOST, 0))  # and does not listen
        there = address(bound)
        client.bind((HOST, 0))
        here = address(client)
        async with Tracepoints(ports=[there[1]]) as kernel:
            assert client.connect_ex(there) == errno.ECONNREFUSED
        events = kernel.events  # what was told is read on leaving
    (sent,) = of(ResetSent, events, there)
    assert (sent.remote, sent.state, sent.reason, sent.socket) == (here, None, "NO_SOCKET", 0)
    (received,) = of(ResetReceived, events, here)
    assert received.remote == there
    assert [(e.before, e.state) for e in of(Transition, events, here)] == [
        (State.CLOSED, State.SYN_SENT),
        (State.SYN_SENT, State.CLOSED),
    ]


async def test_an_ack_to_a_listener_is_a_reset_that_names_no_other_end() -> None:
    with listener() as server, socket.socket() as client:
        there = address(server)
        client.bind((HOST, 0))
        client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        client.connect(there)  # established without a packet
        async with Tracepoints(ports=[there[1]]) as kernel:
            client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)  # which sends an ACK
            events = await until(kernel, lambda told: of(ResetSent, told, there))
    sent = of(ResetSent, events, there)[0]
    assert (sent.remote, sent.state, sent.reason) == (None, State.LISTEN, "TCP_FLAGS")


async def test_a_retransmission(network: PrivateNetwork) -> None:
    with listener() as server:
        there = address(server)
        async with Tracepoints(ports=[there[1]]) as kernel:
            client, accepted = connected(server)
            here = address(client)
            with client, accepted, Drop(["tcp", "dport", str(there[1])], once=True) as drop:
                before = time.time_ns()
                client.sendall(b"lost once")
                assert accepted.recv(100) == b"lost once"
                after = time.time_ns()
                assert drop.dropped == 1
            await kernel.drain()
    told = of(Retransmission, kernel.events, here)
    assert told
    assert {(e.remote, e.state) for e in told} == {(there, State.ESTABLISHED)}
    assert before < told[0].time_ns < after


async def test_a_retransmission_that_the_kernel_could_not_send_is_none(network: PrivateNetwork) -> None:
    """The tracepoint tells of it since Linux 6.17, with its error."""
    with listener() as server:
        there = address(server)
        async with Tracepoints(ports=[there[1]]) as kernel:
            client, accepted = connected(server)
            here = address(client)
            with client, accepted:
                for words in (
                    "add table inet out",
                    "add chain inet out c { type filter hook output priority 0 ; }",
                ):
                    subprocess.run(["nft", words], check=True)
                rule = f"add rule inet out c tcp dport {there[1]} counter drop"
                subprocess.run(["nft", rule], check=True)
                client.sendall(b"not sent")
                end = time.monotonic() + 15
                while time.monotonic() < end:  # until it was tried again
                    told = subprocess.run(["nft", "list", "chain", "inet", "out", "c"], stdout=-1, check=True)
                    if (found := re.search(rb"packets (\d+)", told.stdout)) and int(found[1]) >= 2:
                        break
                    await asyncio.sleep(0.02)
                else:
                    raise AssertionError("never tried again")
                await kernel.drain()
                assert of(Retransmission, kernel.events, here) == []
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)


# ---------------------------------------------------------------- which ports


async def test_only_one_port_from_now_on() -> None:
    with listener() as one, listener() as two:
        here, there = address(one), address(two)
        async with Tracepoints(ports=[here[1], there[1]]) as kernel:
            reset_connections(one, 1)
            reset_connections(two, 1)
            await kernel.drain()
            before = kernel.events
            kernel.only(there[1])
            reset_connections(one, 3)
            reset_connections(two, 1)
            await kernel.drain()
    assert of(Transition, before, here)
    assert of(Transition, before, there)
    assert kernel.events[: len(before)] == before
    added = kernel.events[len(before) :]
    assert of(Transition, added, there)
    assert not of(Transition, added, here)


async def test_two_at_once_have_their_own() -> None:
    with listener() as one, listener() as two:
        async with (
            Tracepoints(ports=[address(one)[1]]) as first,
            Tracepoints(ports=[address(two)[1]]) as second,
        ):
            assert ours() == 2
            reset_connections(one, 1)
            reset_connections(two, 2)
        here, there = address(one), address(two)
    for kernel, own, other, count in ((first, here, there, 1), (second, there, here, 2)):
        opened = [e for e in of(Transition, kernel.events, own) if e.state is State.SYN_RECEIVED]
        assert len(opened) == count
        assert not of(Transition, kernel.events, other)
    assert ours() == 1  # one is kept


# ---------------------------------------------------------------- what was lost


async def test_events_that_were_overwritten_are_counted() -> None:
    with listener() as server:
        async with Tracepoints(ports=[address(server)[1]], interval=NEVER) as kernel:
            instance = kernel.source._instance
            instance.write("buffer_size_kb", "8")
            reset_connections(server, 400)
            await kernel.drain()
            stats = [path.read_text() for path in (instance.path / "per_cpu").glob("cpu*/stats")]
            overrun = sum(
                int(found[1]) for text in stats if (found := re.search(r"^overrun: (\d+)", text, re.M))
            )
            assert kernel.lost == overrun > 0
            assert kernel.problem == (
                f"{overrun} of the kernel's events were overwritten before they could be read"
            )
            reset_connections(server, 1)
            await kernel.drain()
            assert kernel.lost == overrun  # counted once


async def test_nothing_is_lost_of_many_thousands() -> None:
    """As many as the kernel counts, in the same buffers."""
    with listener() as server:
        there = address(server)
        async with Tracepoints(ports=[there[1]]) as kernel:
            await asyncio.to_thread(reset_connections, server, 3000)
            await kernel.drain()
    opened = [e for e in of(Transition, kernel.events, there) if e.state is State.SYN_RECEIVED]
    assert len(opened) == 3000
    assert kernel.lost == 0


async def test_how_many_were_lost_may_not_be_known() -> None:
    async with Tracepoints(ports=[1], interval=NEVER) as kernel:
        pages = [Page([], 3), Page([], -1), Page([], 4)]
        kernel.source.read = lambda buffer: pages.pop(0) if pages else None  # type: ignore[method-assign]
        await kernel.drain()
        assert kernel.lost == -1
        assert kernel.problem.startswith("some of the kernel's events were overwritten")
        del kernel.source.read


async def test_a_drain_ends_though_more_is_told_all_the_time() -> None:
    async with Tracepoints(ports=[1], interval=NEVER) as kernel:
        source = kernel.source
        source.read = lambda buffer: Page([Record(source.now(), b"")], 0)  # type: ignore[method-assign]
        await asyncio.wait_for(kernel.drain(), 30)
        del source.read


@pytest.mark.parametrize("record", [struct.pack("<H", 0), b""])
async def test_what_is_not_understood_is_said_and_not_raised_as_it_is(record: bytes) -> None:
    kernel = Tracepoints(ports=[1], interval=0.001)
    with pytest.raises(ExperimentError, match=r"trace buffer is not understood \(error: "):
        async with kernel:
            number = next(iter(kernel.source._decoding._decoders))
            damaged = Page([Record(0, struct.pack("<H", number) + record)], 0)
            kernel.source.read = lambda buffer: damaged  # type: ignore[method-assign]
            source = kernel.source
            await asyncio.sleep(0.05)  # it goes wrong in the background
            del source.read


# ---------------------------------------------------------------- entering, leaving, entering again


async def test_it_is_entered_once_and_used_inside_only() -> None:
    kernel = Tracepoints(ports=[1])
    with pytest.raises(UsageError, match="inside of: async with"):
        await kernel.drain()
    async with kernel:
        with pytest.raises(UsageError, match="entered already"):
            await kernel.__aenter__()
        await kernel.drain()
    with pytest.raises(UsageError, match="inside of: async with"):
        kernel.only(2)
    with pytest.raises(UsageError, match="entered already"):
        await kernel.__aenter__()
    assert kernel.events == []


def test_an_interval_is_more_than_nothing() -> None:
    with pytest.raises(UsageError, match="an interval of 0 s is none"):
        Tracepoints(interval=0)


async def test_the_source_is_kept_for_the_next_one_and_brings_nothing_of_the_last() -> None:
    with listener() as server:
        port = address(server)[1]
        async with Tracepoints(ports=[port], interval=NEVER) as first:
            source = first.source
            reset_connections(server, 2)
        assert first.events
        # as if a processor had been in the middle of telling while it was switched off
        source._instance.write("events/sock/inet_sock_set_state/enable", "1")
        reset_connections(server, 2)
        source.rest()
        async with Tracepoints(ports=[port]) as second:
            assert second.source is source
            await second.drain()
            assert second.events == []
            reset_connections(server, 1)
        opened = [e for e in of(Transition, second.events, address(server)) if e.state is State.SYN_RECEIVED]
        assert len(opened) == 1


async def test_nothing_is_told_before_and_after() -> None:
    with listener() as server:
        reset_connections(server, 1)
        async with Tracepoints(ports=[address(server)[1]]) as kernel:
            pass
        reset_connections(server, 1)
        assert kernel.events == []
        (source,) = trace_source._kept
        assert [source.read(buffer) for buffer in source.buffers] == [None] * len(source.buffers)


async def test_release_leaves_no_instance() -> None:
    async with Tracepoints(ports=[1]):
        assert ours() == 1
    assert ours() == 1
    trace_source.release()
    assert ours() == 0
    trace_source.release()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.02])
async def test_cancelled_while_entering_leaves_no_instance(delay: float, times: int) -> None:
    entering = asyncio.create_task(Tracepoints(ports=[1]).__aenter__())
    await asyncio.sleep(delay)
    for _ in range(times):
        if entering.cancel():
            await asyncio.sleep(0)
    if not (await asyncio.wait([entering]))[0].pop().cancelled():
        pytest.skip("it was entered before it could be cancelled")
    assert ours() == len(trace_source._kept)
    trace_source.release()
    assert ours() == 0


async def test_an_exception_inside_leaves_no_instance_but_the_kept() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Tracepoints(ports=[1]):
            raise ZeroDivisionError
    assert ours() == len(trace_source._kept) == 1


def test_a_filter_that_the_kernel_refuses_leaves_no_instance() -> None:
    async def enter() -> None:
        async with Tracepoints(ports=[1 << 70]):
            raise AssertionError("entered")

    with pytest.raises(CapabilityError, match="cannot be switched on"):
        asyncio.run(enter())
    assert ours() == 0


def test_the_end_of_a_process_leaves_no_instance() -> None:
    program = """
import asyncio, os
from testbed.kernel.tracepoints import Tracepoints
async def main():
    async with Tracepoints(ports=[1]) as kernel:
        print(os.getpid(), len(os.listdir(kernel.source._instance.path.parent)) > 0)
asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    pid, there = ran.stdout.split()
    assert there == "True"
    assert made_by(int(pid)) == []
    assert ran.stderr == ""


def test_a_forked_child_does_not_take_its_parents() -> None:
    trace_source.give_back(TraceSource())
    kept = trace_source._kept[0]

    def attempt() -> str:
        own = trace_source.borrow()
        name = own._instance.path.name
        own.close()
        return name

    outcome = tried_in_child(attempt, timeout=20)
    assert outcome.worked, outcome
    assert outcome.said != kept._instance.path.name
    assert kept._instance.path.is_dir()
    assert trace_source.borrow() is kept
    kept.close()
    assert not (tracefs.root() / "instances" / outcome.said).exists()
