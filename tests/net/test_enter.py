"""Going into another process's network, and back."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import UsageError
from testbed.net.enter import is_only_network, is_own_network, network_of
from testbed.net.private import PrivateNetwork

LISTENS = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", 2333))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def there(network: PrivateNetwork) -> Iterator[int]:
    """A process that listens on port 2333 in a network of its own."""
    inside = [
        sys.executable,
        "-c",
        "from testbed.net.private import enter_private_network as e; e()\n" + LISTENS,
    ]
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate(timeout=20)


def current() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_inside_its_sockets_are_reached_and_outside_they_are_not(there: int) -> None:
    home = current()
    assert not is_own_network(there)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 2333), timeout=10).close()
    with network_of(there):
        assert is_own_network(there)
        socket.create_connection(("127.0.0.1", 2333), timeout=10).close()
    assert current() == home


def test_it_leads_back_from_an_error_too(there: int) -> None:
    home = current()
    with pytest.raises(ZeroDivisionError), network_of(there):
        raise ZeroDivisionError
    assert current() == home


def test_this_is_not_the_only_network_while_another_process_is_in_another(there: int) -> None:
    assert not is_only_network()


def test_no_such_process(network: PrivateNetwork) -> None:
    with pytest.raises(UsageError, match="there is no process 99999999"), network_of(99_999_999):
        pass
