"""Packets dropped on purpose: those that match, as often as asked, and only in a private network."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from testbed.errors import UsageError
from testbed.net.firewall import Drop
from testbed.net.private import PrivateNetwork

pytestmark = pytest.mark.skipif(
    shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin") is None,
    reason="nft is not installed: apt-get install nftables",
)


def arrives(sender: socket.socket, receiver: socket.socket) -> bool:
    sender.sendto(b"there", receiver.getsockname())
    try:
        return receiver.recv(16) == b"there"
    except TimeoutError:
        return False


@pytest.fixture
def pair(network: PrivateNetwork) -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 7007))
        receiver.settimeout(0.2)  # loopback delivers within sendto(): what has not come is lost
        yield sender, receiver


def test_what_matches_is_lost_while_it_is_entered(pair: tuple[socket.socket, socket.socket]) -> None:
    assert arrives(*pair)
    with Drop(["udp", "dport", "7007"]) as drop:
        assert not arrives(*pair)
        assert not arrives(*pair)
        assert drop.dropped == 2
    assert arrives(*pair)


def test_once_is_once(pair: tuple[socket.socket, socket.socket]) -> None:
    with Drop(["udp", "dport", "7007"], once=True) as drop:
        assert [arrives(*pair) for _ in range(3)] == [False, True, True]
        assert drop.dropped == 1


def test_two_at_once_are_two(pair: tuple[socket.socket, socket.socket]) -> None:
    with Drop(["udp", "dport", "7008"]), Drop(["udp", "dport", "7007"]):
        assert not arrives(*pair)
    assert arrives(*pair)


def test_words_that_are_none_are_told(network: PrivateNetwork) -> None:
    with pytest.raises(UsageError, match="syntax error"), Drop(["gopher", "dport", "70"]):
        pass


def test_never_on_the_machine_itself() -> None:
    code = (
        "from testbed.net.firewall import Drop\n"
        "from testbed.errors import UsageError\n"
        "from testbed.net import links\n"
        "if links.in_private_network(): print('refused'); raise SystemExit\n"
        "try:\n    Drop(['udp']).__enter__()\n"
        "except UsageError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "refused", done.stderr
