import os
import socket
import threading
import time

import psutil
import pytest

from testbed.errors import CapabilityError
from testbed.kernel import psutil_witness, sockets
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State

from .conftest import PORT, Pair


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
    assert client.command is not None and client.command.startswith("python")
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
