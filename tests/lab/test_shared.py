"""A network that labs share: whatever one of them leaves behind, the next one's account is its own.

Each of `LEFTOVERS` is what a test may leave; after it an experiment on the same port must show one
connection, whole, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from testbed.errors import UsageError
from testbed.lab import Lab, Verdict, shared
from testbed.net.network import processes_in
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State

PORT = 9502
ORDERLY = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > P. 1:8(7) ack 1
    < P. 1:19(18) ack 8
    > F. 8:8(0) ack 19
    < F. 19:19(0) ack 9
    > . 9:9(0) ack 20
"""


@pytest.fixture(autouse=True)
def nothing_kept(network: PrivateNetwork) -> Iterator[None]:
    """Each test begins without a kept network, and ends what it kept."""
    shared.release()
    yield
    shared.release()


def kept_pid() -> int:
    """The tcpdump of the one network that is kept."""
    (one,) = shared._kept
    return one.capture.pid


async def talk(lab: Lab, *, port: int = 0) -> None:
    """One connection, closed in order, on the port that everybody here uses."""
    await lab.serve("echo", port=PORT)
    client = await lab.connect(port=port)
    await client.send(b"hello\r\n")
    await client.recv_exactly(18)
    client.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def holds_one_connection(lab: Lab) -> None:
    """What an experiment's account must say: all captured, one connection, both witnesses of one mind."""
    experiment = lab.experiment
    assert experiment.check_capture().verdict is Verdict.PASS
    recording = experiment.recording
    assert recording.interface_packets == len(recording.packets) == len(recording.segments())
    assert len(experiment.connections) == 1
    assert [packet.frame for packet in recording.packets] == [*range(1, len(recording.packets) + 1)]
    experiment.expect(ORDERLY)
    assert not experiment.findings
    assert experiment.connection.states("client")[-1] == "TIME_WAIT"
    client = int(experiment.connection.addresses[0].port)
    assert {sample.local[1] for sample in experiment.samples} <= {PORT, client}


async def test_one_network_and_one_capture_for_all() -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    pids, networks = set(), set()
    for _ in range(20):
        async with Lab(net="shared") as lab:
            networks.add(Path("/proc/thread-self/ns/net").readlink())
            await talk(lab)
        assert Path("/proc/thread-self/ns/net").readlink() == home
        holds_one_connection(lab)
        pids.add(kept_pid())
    assert len(pids) == len(networks) == 1
    assert home not in networks


async def test_the_same_four_tuple_again_and_again() -> None:
    """TIME_WAIT would answer the second SYN, or be answered for, and its account be the first one's."""
    for _ in range(5):
        async with Lab(net="shared") as lab:
            await talk(lab, port=5000)
        holds_one_connection(lab)
        assert lab.experiment.connection.addresses[0].port == "5000"


# ---------------------------------------------------------------- what is left behind

Leftover = Callable[[Lab, contextlib.ExitStack], Awaitable[None]]


async def opened(lab: Lab, stack: contextlib.ExitStack) -> tuple[socket.socket, socket.socket, socket.socket]:
    """A listener and both ends of a connection that no lab closes."""
    assert lab.net == "shared"
    listener = stack.enter_context(socket.create_server(("127.0.0.1", PORT)))
    client = stack.enter_context(socket.create_connection(("127.0.0.1", PORT)))
    accepted = stack.enter_context(listener.accept()[0])
    return listener, client, accepted


async def both_ends_open(lab: Lab, stack: contextlib.ExitStack) -> None:
    await opened(lab, stack)


async def half_closed(lab: Lab, stack: contextlib.ExitStack) -> None:
    _, client, _ = await opened(lab, stack)
    client.shutdown(socket.SHUT_WR)


async def orphan_in_fin_wait_2(lab: Lab, stack: contextlib.ExitStack) -> None:
    _, client, _ = await opened(lab, stack)
    client.close()


async def time_wait_of_the_server(lab: Lab, stack: contextlib.ExitStack) -> None:
    listener, client, accepted = await opened(lab, stack)
    accepted.close()
    client.close()
    listener.close()


async def retransmitting_orphan(lab: Lab, stack: contextlib.ExitStack) -> None:
    """Data that nobody takes, from a socket that nobody holds: it is sent again for minutes."""
    listener, client, accepted = await opened(lab, stack)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(bytes(65536))
    client.close()
    accepted.detach()  # open for as long as this process is
    listener.close()


async def unaccepted(lab: Lab, stack: contextlib.ExitStack) -> None:
    stack.enter_context(socket.create_server(("127.0.0.1", PORT)))
    stack.enter_context(socket.create_connection(("127.0.0.1", PORT)))


async def bound_and_no_more(lab: Lab, stack: contextlib.ExitStack) -> None:
    stack.enter_context(socket.socket()).bind(("127.0.0.1", PORT))


LEFTOVERS = [
    both_ends_open,
    half_closed,
    orphan_in_fin_wait_2,
    time_wait_of_the_server,
    retransmitting_orphan,
    unaccepted,
    bound_and_no_more,
]


@pytest.mark.parametrize("leave", LEFTOVERS, ids=lambda leave: leave.__name__)
@pytest.mark.parametrize("closed", ["before the next lab", "after it"])
async def test_the_next_experiment_knows_nothing_of_it(leave: Leftover, closed: str) -> None:
    with contextlib.ExitStack() as stack:
        async with Lab(net="shared") as lab:
            await leave(lab, stack)
        if closed == "before the next lab":
            stack.close()
        async with Lab(net="shared") as lab:
            await talk(lab)
        holds_one_connection(lab)


async def test_what_the_kernel_alone_keeps_costs_no_network() -> None:
    """TIME_WAIT and orphans go, the network and its capture stay."""
    async with Lab(net="shared"):
        with contextlib.ExitStack() as stack:
            await orphan_in_fin_wait_2(Lab(net="shared"), stack)
            await asyncio.sleep(0)
    first = kept_pid()
    async with Lab(net="shared") as lab:
        await talk(lab)
    holds_one_connection(lab)
    assert kept_pid() == first


async def test_what_a_program_holds_is_left_alone() -> None:
    """Nobody's connection is cut off by a later experiment: the network is left to it."""
    with contextlib.ExitStack() as stack:
        async with Lab(net="shared") as lab:
            _, client, accepted = await opened(lab, stack)
        first = kept_pid()
        async with Lab(net="shared") as lab:
            await talk(lab)
        assert kept_pid() != first
        client.sendall(b"still here")
        assert accepted.recv(100) == b"still here"


async def test_a_process_that_is_left_behind_keeps_its_network() -> None:
    """It could connect to the next experiment's server at any time."""
    async with Lab(net="shared") as lab:
        assert lab.address is None
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    first = kept_pid()
    try:
        async with Lab(net="shared") as lab:
            inside = Path("/proc/thread-self/ns/net").stat().st_ino
            assert left.pid not in processes_in(inside)
            await talk(lab)
        holds_one_connection(lab)
        assert kept_pid() != first
    finally:
        left.communicate()


async def test_a_thread_that_is_left_behind_keeps_its_network() -> None:
    over = threading.Event()
    async with Lab(net="shared"):
        thread = threading.Thread(target=over.wait)
        thread.start()
    first = kept_pid()
    try:
        async with Lab(net="shared") as lab:
            await talk(lab)
        holds_one_connection(lab)
        assert kept_pid() != first
    finally:
        over.set()
        thread.join()


async def test_packets_between_two_experiments_are_nobodys() -> None:
    async with Lab(net="shared") as lab:
        await talk(lab)
    (one,) = shared._kept
    with one.network.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as itself:
        itself.bind(("127.0.0.1", 0))
        for _ in range(50):
            itself.sendto(b"stray", itself.getsockname())
    async with Lab(net="shared") as lab:
        await talk(lab)
    holds_one_connection(lab)
    assert kept_pid() == one.capture.pid


async def test_a_capture_that_ended_is_not_used_again() -> None:
    async with Lab(net="shared") as lab:
        await talk(lab)
    first = kept_pid()
    psutil.Process(first).kill()
    async with Lab(net="shared") as lab:
        await talk(lab)
    holds_one_connection(lab)
    assert kept_pid() != first


async def test_changed_settings_are_no_other_labs() -> None:
    async with Lab(net="shared") as lab:
        lab.set_sysctl("tcp_fin_timeout", 7)
    assert not shared._kept
    async with Lab(net="shared") as lab:
        assert Path("/proc/sys/net/ipv4/tcp_fin_timeout").read_text().strip() != "7"


async def test_two_labs_at_once_are_in_two_networks() -> None:
    async with Lab(net="shared") as outer:
        await outer.serve("echo", port=PORT)
        async with Lab(net="shared") as lab:
            await talk(lab)
        client = await outer.connect()
        client.close()
        await outer.see_gone("server")
    holds_one_connection(lab)
    assert len(outer.experiment.connections) == 1
    assert len(shared._kept) == 2


async def test_settings_of_its_own_ask_for_a_network_of_its_own() -> None:
    settings: list[dict[str, Any]] = [{"sysctls": {"tcp_fin_timeout": 7}}, {"mtu": 9000}, {"filter": ["tcp"]}]
    for one in settings:
        with pytest.raises(UsageError, match="net='private'"):
            Lab(net="shared", **one)


def test_one_event_loop_after_the_other() -> None:
    async def experiment() -> Lab:
        async with Lab(net="shared") as lab:
            await talk(lab)
        return lab

    pids = set()
    for _ in range(3):
        holds_one_connection(asyncio.run(experiment()))
        pids.add(kept_pid())
    assert len(pids) == 1


async def test_nothing_is_left_when_it_is_released() -> None:
    async with Lab() as lab:
        pass  # with the tracepoints, which are kept apart
    descriptors = psutil.Process().num_fds()
    async with Lab(net="shared") as lab:
        await talk(lab)
    pid = kept_pid()
    assert psutil.Process().num_fds() > descriptors
    shared.release()
    assert psutil.Process().num_fds() == descriptors
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.005)


def test_it_ends_with_its_process() -> None:
    code = """if 1:
        import asyncio, os
        from testbed.lab import Lab, shared

        async def main():
            async with Lab(net="shared"):
                pass

        asyncio.run(main())
        print(shared._kept[0].capture.pid)
    """
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0 and not told.stderr, told.stderr
    assert not psutil.pid_exists(int(told.stdout))
