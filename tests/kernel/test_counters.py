"""EstabResets counts what was aborted, and nothing that was closed."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from testbed.kernel.counters import ResetCounter, extended
from testbed.net.private import PrivateNetwork

from .conftest import Pair


def test_a_close_in_order_is_not_counted(pair: Pair) -> None:
    with ResetCounter() as counter:
        before = counter.read()
        pair.client.close()
        assert pair.server.recv(1) == b""
        pair.server.close()
        assert counter.read() == before


@pytest.mark.parametrize("how", ["linger", "unread"])
def test_an_abort_is_counted_at_each_end(pair: Pair, how: str) -> None:
    with ResetCounter() as counter:
        before = counter.read()
        if how == "linger":
            pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            pair.server.send(b"unread")
            assert pair.client.recv(1, socket.MSG_PEEK) == b"u"
        pair.client.close()
        with pytest.raises(ConnectionResetError):
            pair.server.recv(1)
        assert counter.read() == before + 2


def test_it_is_the_network_it_was_opened_in_that_is_counted(pair: Pair) -> None:
    """Another thread, in the network of the process, reads this one's."""
    read: list[int] = []
    with ResetCounter() as counter:
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair.client.close()
        here = counter.read()

        def elsewhere() -> None:
            with PrivateNetwork(), ResetCounter() as other:
                read.extend((counter.read(), other.read()))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(20)
    assert read == [here, 0]
    assert here == 2


def test_the_other_counters_are_the_networks_own(network: PrivateNetwork) -> None:
    """A listener whose queue is full drops a SYN; a new network has counted nothing before."""
    assert extended()["ListenDrops"] == 0
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        first.connect(listener.getsockname())
        with socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(listener.getsockname())
            assert extended()["ListenDrops"] == 1
