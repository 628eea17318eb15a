"""A connection to look at, in a private network; and the kernel's tracing."""

import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from testbed.errors import CapabilityError
from testbed.kernel import trace_source, tracefs
from testbed.net.private import PrivateNetwork

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


@pytest.fixture
def tracing() -> Iterator[None]:
    """For tests that listen to tracepoints; skips, with the remedy, where this user cannot."""
    try:
        tracefs.root()
    except CapabilityError as error:
        pytest.skip(str(error))
    yield
    trace_source.release()
