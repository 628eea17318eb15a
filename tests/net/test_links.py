import json
import socket
import subprocess
import threading

import pytest

from testbed.errors import UsageError
from testbed.net import links
from testbed.net.private import PrivateNetwork


def send(count: int) -> None:
    """`count` datagrams to a socket that exists: no ICMP error comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as itself:
        itself.bind(("127.0.0.1", 0))
        for _ in range(count):
            itself.sendto(b"x", itself.getsockname())


@pytest.mark.parametrize("count", [0, 1, 17])
def test_each_packet_on_lo_is_received_once(network: PrivateNetwork, count: int) -> None:
    before = links.passed_packets("lo")
    send(count)
    assert links.passed_packets("lo") - before == count


def test_the_count_is_of_the_calling_threads_network(network: PrivateNetwork) -> None:
    counts = []

    def elsewhere() -> None:
        with PrivateNetwork():
            send(3)
            counts.append(links.passed_packets("lo"))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert counts == [3]
    assert links.passed_packets("lo") == 0


def test_lo_is_made_a_wire(network: PrivateNetwork) -> None:
    shown = subprocess.run(["ip", "-j", "-d", "link", "show", "lo"], capture_output=True, check=True)
    [lo] = json.loads(shown.stdout)
    assert "UP" in lo["flags"]
    assert (lo["mtu"], lo["gso_max_size"], lo["gro_max_size"]) == (1500, 1500, 1500)
    assert lo["ifalias"] == links.PRIVATE_MARK == links.alias("lo")


def test_a_veth_is_raised_and_named(network: PrivateNetwork) -> None:
    subprocess.run(["ip", "link", "add", "dev", "a", "type", "veth", "peer", "name", "b"], check=True)
    links.raise_link("a", mtu=1400, alias="left")
    assert (links.alias("a"), links.alias("b")) == ("left", "")
    assert links.names() == ["lo", "b", "a"] or sorted(links.names()) == ["a", "b", "lo"]
    assert links.passed_packets("a") == 0


def test_an_interface_that_is_none(network: PrivateNetwork) -> None:
    with pytest.raises(UsageError, match=r"no interface 'eth7' .* there are: lo"):
        links.passed_packets("eth7")
    with pytest.raises(OSError, match="no interface with this name"):
        links.raise_link("eth7")


def test_the_kernels_refusal_is_an_oserror(network: PrivateNetwork) -> None:
    # 67 bytes are less than any link's smallest MTU in IPv4 (RFC 791), and lo's largest is far above
    with pytest.raises(OSError, match=r"Invalid argument|out of range"):
        links.raise_link("lo", mtu=1 << 31)
