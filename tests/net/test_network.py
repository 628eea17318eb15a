"""A network held by a descriptor, and who is in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from testbed.errors import UsageError
from testbed.net.network import Network, newest, processes_in, threads_in
from testbed.net.private import PrivateNetwork


def inside() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_in_and_out_again(network: PrivateNetwork) -> None:
    home = inside()
    other = Network("other")
    for _ in range(2):
        with other.enter():
            assert inside() == other.number != home
            socket.create_server(("127.0.0.1", 2333)).close()
        assert inside() == home
    other.close()
    with pytest.raises(UsageError, match="other's network is closed"), other.enter():
        pass


@pytest.mark.parametrize("ipv6", [True, False])
def test_with_ipv6_or_without(network: PrivateNetwork, ipv6: bool) -> None:
    with Network("other", ipv6=ipv6).enter():
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            assert not ipv6
        else:
            assert ipv6


def test_who_is_in_it(network: PrivateNetwork) -> None:
    other = Network("other")
    assert processes_in(other.number) == threads_in(other.number) == []
    before = newest()
    over = threading.Event()
    with other.enter():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        thread = threading.Thread(target=over.wait)
        thread.start()
    try:
        assert processes_in(other.number) == processes_in(other.number, after=child.pid - 1) == [child.pid]
        assert processes_in(other.number, {child.pid}) == processes_in(other.number, after=child.pid) == []
        assert threads_in(other.number) == [thread.native_id]
        if child.pid > before:  # else the numbers have begun again meanwhile
            assert newest() >= child.pid
    finally:
        over.set()
        thread.join()
        child.communicate(b"")
    assert processes_in(other.number) == threads_in(other.number) == []
    assert os.getpid() in processes_in(inside())
