"""Two hosts: each its own network, one wire, one clock; cut, restored, of another size; nothing left over."""

from __future__ import annotations

import array
import fcntl
import gc
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from testbed.errors import UsageError
from testbed.net import links, sysctl
from testbed.net.hosts import INTERFACE, TwoHosts
from testbed.net.private import PrivateNetwork

TCP_INFO_PMTU = 60  # struct tcp_info, include/uapi/linux/tcp.h


@pytest.fixture
def hosts(network: PrivateNetwork) -> Iterator[TwoHosts]:
    with TwoHosts() as both:
        yield both


def connected(hosts: TwoHosts) -> tuple[socket.socket, socket.socket]:
    """A connection between them: the client's end and the server's."""
    with hosts.server.enter(), socket.create_server((hosts.server.address, 0)) as listener:
        with hosts.client.enter():
            client = socket.create_connection(listener.getsockname(), timeout=10)
        server, _ = listener.accept()
    server.settimeout(10)
    return client, server


def test_each_is_where_it_says(hosts: TwoHosts) -> None:
    client, server = connected(hosts)
    with client, server:
        assert (client.getsockname()[0], server.getsockname()[0]) == ("192.0.2.1", "192.0.2.2")
        client.sendall(b"over the wire")
        assert server.recv(64) == b"over the wire"


def test_a_host_sees_its_own_interfaces_and_the_thread_comes_home(hosts: TwoHosts) -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(ZeroDivisionError), hosts.client.enter():
        there = Path("/proc/thread-self/ns/net").readlink()
        assert there != home
        assert sorted(links.names()) == [INTERFACE, "lo"]
        assert links.in_private_network()
        raise ZeroDivisionError
    assert Path("/proc/thread-self/ns/net").readlink() == home
    assert links.names() == ["lo"]


@pytest.mark.parametrize("middle", [False, True])
def test_iproute2_sees_what_was_asked_for(network: PrivateNetwork, middle: bool) -> None:
    with TwoHosts(mtu=1280, middle=middle) as hosts, hosts.server.enter():
        shown = subprocess.run(["ip", "-j", "addr", "show", INTERFACE], capture_output=True, check=True)
        [interface] = json.loads(shown.stdout)
        neighbours = subprocess.run(["ip", "-j", "neigh", "show"], capture_output=True, check=True)
        [neighbour] = json.loads(neighbours.stdout)
    assert (interface["mtu"], interface["operstate"]) == (1280, "UP")
    [address] = interface["addr_info"]  # IPv4 alone
    assert (address["family"], address["local"], address["prefixlen"]) == ("inet", "192.0.2.2", 24)
    assert (neighbour["dst"], neighbour["state"]) == ("192.0.2.1", ["PERMANENT"])


def test_a_cut_wire_loses_what_is_sent_and_a_restored_one_carries_it(hosts: TwoHosts) -> None:
    client, server = connected(hosts)
    with client, server:
        hosts.cut()
        client.sendall(b"late")
        with hosts.client.enter():
            assert links.passed_packets(INTERFACE) > 3, "the sender sends on, and its capture would show it"
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.recv(64)
        hosts.restore()
        server.settimeout(20)
        assert server.recv(64) == b"late", "sent again once the wire is whole"


def mss_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


@pytest.mark.parametrize("mtu", [1500, 576, 9000])
def test_the_mtu_is_that_of_the_wire(network: PrivateNetwork, mtu: int) -> None:
    with TwoHosts(mtu=mtu) as hosts, hosts.server.enter():
        listener = socket.create_server((hosts.server.address, 0))
        with listener:
            for now in (mtu, 1400):
                hosts.set_mtu(now)
                with hosts.client.enter(), socket.create_connection(listener.getsockname(), 10) as client:
                    # 20 bytes of IP and 20 of TCP less (RFC 9293 section 3.7.1), and 12 of timestamps
                    assert mss_of(client) == now - 40 - 12
                    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                    assert struct.unpack_from("=I", info, TCP_INFO_PMTU) == (now,)


def test_one_end_may_have_a_smaller_mtu(hosts: TwoHosts) -> None:
    hosts.server.set_mtu(1400)
    client, server = connected(hosts)
    with client, server:
        assert mss_of(client) == 1400 - 40 - 12, "the server's SYN-ACK announced no more"


def test_an_mtu_that_none_is(hosts: TwoHosts) -> None:
    with pytest.raises(UsageError, match="70000"):
        hosts.client.set_mtu(70000)


def test_settings_are_each_hosts_own(hosts: TwoHosts) -> None:
    hosts.server.sysctl("tcp_fin_timeout", 7)
    with hosts.server.enter():
        assert sysctl.get("tcp_fin_timeout") == "7"
    with hosts.client.enter():
        assert sysctl.get("tcp_fin_timeout") != "7"
    hosts.sysctl("tcp_fin_timeout", 9)
    for host in (hosts.client, hosts.server):
        with host.enter():
            assert sysctl.get("tcp_fin_timeout") == "9"


def test_what_is_lost_is_sent_again_after_as_long_as_was_asked_for(hosts: TwoHosts) -> None:
    hosts.set_rto_min(1.5)
    client, server = connected(hosts)
    with client, server:
        shown = subprocess.run(
            ["ss", "-tinH"], preexec_fn=hosts.client.starting(), capture_output=True, text=True, check=True
        )
        assert "rto:15" in shown.stdout, "milliseconds, and no less than a round trip more"
        client.sendall(b"carried as before")
        assert server.recv(64) == b"carried as before"


def test_checksums_are_written(hosts: TwoHosts) -> None:
    """What ETHTOOL_GTXCSUM says of it."""
    value = array.array("I", (0x16, 1))
    with hosts.client.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sP16x", INTERFACE.encode(), value.buffer_info()[0])
        fcntl.ioctl(any_socket, 0x8946, request)
    assert value[1] == 0


def test_a_program_started_on_a_host_is_there(hosts: TwoHosts) -> None:
    program = "import os; print(os.stat('/proc/self/ns/net').st_ino)"
    there = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=hosts.client.starting(), capture_output=True, check=True
    )
    with hosts.client.enter():
        assert int(there.stdout) == Path("/proc/thread-self/ns/net").stat().st_ino


def test_two_pairs_at_once_do_not_meet(network: PrivateNetwork) -> None:
    with TwoHosts() as one, TwoHosts() as other:
        first, second = connected(one), connected(other)
        for sock in (*first, *second):
            sock.close()


def test_what_was_left_is_closed(network: PrivateNetwork) -> None:
    with TwoHosts() as hosts:
        pass
    with pytest.raises(UsageError, match="was left"), hosts.client.enter():
        pass
    with pytest.raises(UsageError, match="once"), hosts:
        pass


def test_descriptors_are_given_back(network: PrivateNetwork) -> None:
    gc.collect()
    before = psutil.Process().num_fds()
    for _ in range(20):
        with TwoHosts(middle=True):
            pass
    assert psutil.Process().num_fds() == before


def test_the_first_frame_on_a_new_wire_is_not_lost(network: PrivateNetwork) -> None:
    """The end that is raised first is not told at once that it has a peer: one frame in nine was lost."""
    kind = 0x88B5  # IEEE 802: for experiments
    for _ in range(20):
        with TwoHosts(middle=True) as hosts:
            assert hosts.middle is not None
            for host in (hosts.client, hosts.server):
                with hosts.middle.enter():
                    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                    sender.bind((host.side, kind))
                with host.enter():
                    receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
                with sender, receiver:
                    receiver.settimeout(5)
                    sender.send(b"\xff" * 6 + bytes(6) + kind.to_bytes(2, "big") + bytes(60))
                    assert receiver.recv(100)
