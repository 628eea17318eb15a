from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from testbed.errors import CapabilityError
from testbed.kernel.leaks import Leaks
from testbed.kernel.owners import owners_of
from testbed.kernel.sock_diag import SockDiag
from testbed.net.private import PrivateNetwork

TCP_FIN_WAIT2 = 5  # include/net/tcp_states.h


@pytest.fixture
def leaks(network: PrivateNetwork) -> Iterator[Leaks]:
    try:
        kernel = SockDiag()
    except CapabilityError as error:
        pytest.skip(str(error))
    with kernel:
        yield Leaks(kernel)


def test_a_socket_that_is_not_closed_is_named(leaks: Leaks) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
    ):
        served, address = listening.accept()
        with served:
            leaks.look()
            assert not leaks.unsettled()
            client.shutdown(socket.SHUT_WR)
            leaks.look()
            assert leaks.unsettled()
            assert not leaks.held  # it may be closed yet
            leaks.look()
            (held,) = leaks.held.values()
            assert (held.local, held.remote, held.state) == (served.getsockname(), address, "CLOSE_WAIT")
            assert held.owner[:2] == (os.getpid(), served.fileno())
            _wait_for_the_delayed_ack(client)
            leaks.look(last=True)
            again = {one.local: one for one in leaks.held.values()}
            assert again[held.local].first_ns == held.first_ns
            assert again[held.local].last_ns > held.last_ns
            assert again[address].state == "FIN_WAIT_2" and again[address].owner.fd == client.fileno()


def _wait_for_the_delayed_ack(client: socket.socket) -> None:
    """Until the client's FIN is acknowledged, which may take 40 ms (RFC 9293 3.8.6.3)."""
    deadline = time.monotonic() + 10
    while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_FIN_WAIT2:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_socket_that_is_closed_in_time_is_nobodys(leaks: Leaks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        served, _ = listening.accept()
        client.close()
        leaks.look()
        served.close()
        leaks.look()
        leaks.look(last=True)
    assert not leaks.held


def test_owners_of_several_sockets_are_found_at_once() -> None:
    with socket.socket() as one, socket.socket() as two:
        inodes = [os.fstat(s.fileno()).st_ino for s in (one, two)]
        found = owners_of([*inodes, 0])
        assert {inode: owner[:2] for inode, owner in found.items()} == {
            inodes[0]: (os.getpid(), one.fileno()),
            inodes[1]: (os.getpid(), two.fileno()),
        }
