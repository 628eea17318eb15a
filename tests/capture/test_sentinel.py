import contextlib
import socket
import subprocess

import pytest

from testbed.capture.sentinel import MAX_SIZE, Sentinel
from testbed.net import links
from testbed.net.private import PrivateNetwork


def test_one_knows_its_own_and_no_other() -> None:
    one, other = Sentinel("lo"), Sentinel("lo")
    try:
        one.send(7)
        payload = one._socket.recv(MAX_SIZE)
        assert one.number_of(bytes(28) + payload) == 7
        assert other.number_of(bytes(28) + payload) is None
        assert one.number_of(payload + b"x") is None
        assert one.number_of(bytes(MAX_SIZE) + payload) is None
        assert one.number_of(b"") is None
        assert one.number_of(payload[-4:]) is None
        assert one.sent == 1
    finally:
        one.close()
        other.close()


def test_each_is_one_packet_on_lo_however_many_nobody_reads(network: PrivateNetwork) -> None:
    sentinel = Sentinel("lo")
    try:
        for number in range(1000):
            sentinel.send(number)
        # no ICMP error came back: those would be received packets too
        assert links.passed_packets("lo") == 1000
    finally:
        sentinel.close()


def test_an_interface_that_is_none() -> None:
    with pytest.raises(OSError, match="no interface with this name"):
        Sentinel("eth7")


def test_through_another_interface_it_leaves_this_one(network: PrivateNetwork) -> None:
    subprocess.run(["ip", "link", "add", "dev", "a", "type", "veth", "peer", "name", "b"], check=True)
    subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "a"], check=True)
    links.raise_link("a")
    links.raise_link("b")
    before = links.passed_packets("lo")
    sentinel = Sentinel("a")
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as tap:
            tap.bind(("b", 0x0800))
            tap.settimeout(0.05)
            seen = None
            for _ in range(200):  # a veth forwards a moment after it was raised
                sentinel.send(5)
                with contextlib.suppress(TimeoutError):
                    seen = sentinel.number_of(tap.recv(2048))
                if seen is not None:
                    break
            assert seen == 5
    finally:
        sentinel.close()
    assert (sentinel.port, links.passed_packets("lo")) == (9, before)
