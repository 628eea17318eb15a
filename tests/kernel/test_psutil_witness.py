import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import psutil
import pytest

from testbed.errors import CapabilityError, UsageError, WitnessTimeout
from testbed.kernel import Sampler, SocketSample, psutil_witness, sockets
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State

PORT = 2333


class Pair(NamedTuple):
    """A connection with both ends in this process."""

    client: socket.socket
    server: socket.socket
    address: tuple[str, int]
    """The client's."""


@pytest.fixture
def pair(network: PrivateNetwork) -> Iterator[Pair]:
    with (
        socket.create_server(("127.0.0.1", PORT)) as listener,
        socket.create_connection(listener.getsockname(), timeout=10) as client,
    ):
        server, _ = listener.accept()
        with server:
            yield Pair(client, server, client.getsockname())


def states(samples: list[SocketSample], local: object) -> list[State | None]:
    return [sample.state for sample in samples if sample.local == local]


def test_every_state_has_its_name() -> None:
    assert set(psutil_witness.STATES.values()) == set(State)
    names = {getattr(psutil, name) for name in dir(psutil) if name.startswith("CONN_")}
    assert names - set(psutil_witness.STATES) <= {"NONE", "DELETE_TCB", "IDLE", "BOUND"}  # other systems'


@pytest.mark.parametrize("pids", [(), (os.getpid(),)])
def test_one_look(pair: Pair, pids: tuple[int, ...]) -> None:
    before = time.time_ns()
    found = {(sample.local, sample.remote): sample for sample in sockets(pids=pids)}
    assert set(found) == {
        (("127.0.0.1", PORT), None),
        (("127.0.0.1", PORT), pair.address),
        (pair.address, ("127.0.0.1", PORT)),
    }
    listener, client = found[("127.0.0.1", PORT), None], found[pair.address, ("127.0.0.1", PORT)]
    assert (listener.state, client.state) == (State.LISTEN, State.ESTABLISHED)
    assert (client.pid, client.fd, client.witness) == (os.getpid(), pair.client.fileno(), "psutil")
    assert client.command == psutil.Process().name()
    assert before <= client.time_ns <= time.time_ns()


def test_a_port_is_looked_for_at_either_end(pair: Pair) -> None:
    assert len(sockets(port=PORT)) == 3
    assert len(sockets(port=pair.address[1])) == 2
    assert sockets(port=1) == []


def test_an_ipv6_sockets_ipv4_connection_has_the_wires_addresses(network: PrivateNetwork) -> None:
    with (
        socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True),
        socket.create_connection(("127.0.0.1", PORT), timeout=10) as client,
    ):
        ends = {(sample.local, sample.remote) for sample in sockets()}
        assert (("127.0.0.1", PORT), client.getsockname()) in ends


def test_holders_that_are_not_looked_for_are_not_seen(pair: Pair) -> None:
    found = sockets(pids=(os.getppid(),))
    assert len(found) == 3
    assert {sample.pid for sample in found} <= {None}


def test_psutil_of_another_make_is_asked_the_slow_way(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from psutil import _pslinux  # type: ignore[attr-defined, unused-ignore]

    monkeypatch.delattr(_pslinux, "NetConnections")
    monkeypatch.setattr(psutil, "net_connections", lambda kind: [])
    assert sockets(pids=(os.getpid(),)) == []


def test_a_thread_in_a_network_of_its_own_is_refused(network: PrivateNetwork) -> None:
    said: list[str] = []

    def elsewhere() -> None:
        with PrivateNetwork():
            try:
                sockets()
            except CapabilityError as error:
                said.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(said) == 1
    assert "main thread" in said[0]


async def test_the_states_of_a_close(pair: Pair) -> None:
    async with Sampler(pids=(os.getpid(),)) as kernel:
        there = ("127.0.0.1", PORT)
        pair.client.shutdown(socket.SHUT_WR)
        half = await kernel.wait_for(pair.address, there, state=State.FIN_WAIT_2)
        assert (half.pid, half.fd) == (os.getpid(), pair.client.fileno())
        assert (await kernel.wait_for(PORT, pair.address, state=State.CLOSE_WAIT)).pid == os.getpid()
        pair.server.close()
        last = await kernel.wait_for(pair.address, state={State.TIME_WAIT, State.CLOSED})
        assert last.state is State.TIME_WAIT
        await kernel.wait_gone(PORT, pair.address)
        holder = kernel.holder_of(PORT, pair.address)
    assert holder is not None
    assert holder.pid == os.getpid()
    walked = states(kernel.changes, pair.address)
    assert [state for state in walked if state is not State.FIN_WAIT_1] == [
        State.ESTABLISHED,
        State.FIN_WAIT_2,
        State.TIME_WAIT,
    ]
    assert kernel.samples >= 4
    served = [change.state for change in kernel.changes if change.remote == pair.address]
    assert served[-1] is None
    assert [state for state in served if state is not State.LAST_ACK] == [
        State.ESTABLISHED,
        State.CLOSE_WAIT,
        None,
    ]


async def test_a_descriptor_left_open_does_not_hide_time_wait(pair: Pair) -> None:
    # the kernel's small TIME_WAIT object and the socket that the descriptor still holds, both in the tables
    async with Sampler() as kernel:
        pair.client.shutdown(socket.SHUT_RDWR)
        pair.server.close()
        assert await kernel.wait_for(pair.address, PORT, state=State.TIME_WAIT)
        assert states(kernel.current, pair.address) == [State.TIME_WAIT]
        holder = kernel.holder_of(pair.address)
    assert holder is not None
    assert holder.fd == pair.client.fileno()


async def test_a_wait_in_vain_tells_what_was_seen(pair: Pair) -> None:
    async with Sampler() as kernel:
        with pytest.raises(WitnessTimeout) as late:
            await kernel.wait_for(pair.address, PORT, state=State.LAST_ACK, timeout=0.05)
        with pytest.raises(WitnessTimeout, match=r"no such socket was seen at all in \d+ samples"):
            await kernel.wait_for(("127.0.0.9", 1), state=State.LAST_ACK, timeout=0.01)
        with pytest.raises(WitnessTimeout, match=r"still there .* went ESTABLISHED"):
            await kernel.wait_gone(pair.address, timeout=0.01)
    client = f"127.0.0.1:{pair.address[1]}"
    assert str(late.value).startswith(f"{client} -> *:{PORT} was not seen in LAST_ACK within 0.05 s: ")
    assert f"{client} -> 127.0.0.1:{PORT} went ESTABLISHED (" in str(late.value)


async def test_what_fails_in_the_background_is_told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(interval=0.001)
    with pytest.raises(CapabilityError, match="no table"):
        async with sampler:

            def fail(**_: object) -> list[SocketSample]:
                raise CapabilityError("no table", "none")

            monkeypatch.setattr(psutil_witness, "sockets", fail)
            await sampler.wait_for(pair.address, state=State.LAST_ACK)


def test_an_interval_that_is_none() -> None:
    with pytest.raises(UsageError, match="interval"):
        Sampler(interval=0)
