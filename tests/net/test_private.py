import ctypes
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from testbed.errors import CapabilityError, UsageError
from testbed.net import links, private, sysctl
from testbed.net.child import Outcome, tried_in_child
from testbed.net.private import PrivateNetwork

NOBODY = 65534
PR_SET_DUMPABLE = 4


def as_ordinary_user() -> None:
    """Give up root in this (forked) process; /proc/self stays its own, as after a login."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def needed(outcome: Outcome) -> str:
    if not outcome.worked and outcome.remedy:
        pytest.skip(f"{outcome.said}; {outcome.remedy}")
    assert outcome.worked, outcome.said
    return outcome.said


def seen_by_a_program() -> str:
    code = "import socket; print(*[name for _, name in socket.if_nameindex()])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_process_and_what_it_starts_see_lo_alone() -> None:
    def enter() -> str:
        private.enter_private_network()
        assert links.in_private_network()
        return seen_by_a_program()

    assert needed(tried_in_child(enter)) == "lo"


def test_an_ordinary_users_network_can_be_captured_in_by_what_it_starts() -> None:
    def enter() -> str:
        as_ordinary_user()
        before = os.getuid(), os.getgid()
        private.enter_private_network()
        assert (os.getuid(), os.getgid()) == before
        sysctl.set("tcp_fin_timeout", 3)
        with PrivateNetwork(mtu=1400):  # and again, as each worker of a run does
            pass
        # an ambient capability went through the exec: CAP_NET_RAW is what a packet socket asks for
        done = subprocess.run(
            ["sh", "-c", "grep CapAmb /proc/self/status"], capture_output=True, text=True, check=True
        )
        return done.stdout.split()[1]

    kept = int(needed(tried_in_child(enter)), 16)
    assert kept == sum(1 << capability for capability in private.KEPT_CAPABILITIES)


def test_an_ordinary_user_with_threads_is_told_before_anything_changes() -> None:
    def enter() -> str:
        as_ordinary_user()
        network = Path("/proc/thread-self/ns/net").readlink()
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        try:
            private.enter_private_network()
        except CapabilityError as error:
            assert Path("/proc/thread-self/ns/net").readlink() == network
            return f"{error.what} | {error.remedy}"
        finally:
            stop.set()
            thread.join()
        return "entered: it has the capability without a user namespace"

    outcome = tried_in_child(enter)
    assert outcome.worked, outcome.said
    if not outcome.said.startswith("entered"):
        assert "one thread, this one has 2" in outcome.said
        assert "testbed exec" in outcome.said


def test_availability_is_tried_elsewhere(network: PrivateNetwork) -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    assert private.available().worked
    assert Path("/proc/thread-self/ns/net").readlink() == before


def test_a_thread_goes_and_comes_back(network: PrivateNetwork) -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    with PrivateNetwork() as other:
        assert Path("/proc/thread-self/ns/net").readlink() != home
        with socket.create_server(("127.0.0.1", 2333)):
            pass
        with pytest.raises(UsageError, match="once"):
            other.__enter__()
    assert Path("/proc/thread-self/ns/net").readlink() == home
    with pytest.raises(UsageError, match="not entered"):
        other.sysctl("tcp_fin_timeout", 5)
    with pytest.raises(UsageError, match="once"):
        other.__enter__()


def test_it_comes_back_from_an_error_too(network: PrivateNetwork) -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(KeyError), PrivateNetwork():
        raise KeyError
    assert Path("/proc/thread-self/ns/net").readlink() == home


def test_one_port_in_two_networks_at_once(network: PrivateNetwork) -> None:
    with socket.create_server(("127.0.0.1", 2333)), PrivateNetwork():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 2333), timeout=5)
        socket.create_server(("127.0.0.1", 2333)).close()


def test_another_thread_is_refused(network: PrivateNetwork) -> None:
    said = []

    def elsewhere() -> None:
        try:
            network.sysctl("tcp_fin_timeout", 5)
        except UsageError as error:
            said.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(said) == 1
    assert "thread" in said[0]


def test_settings_are_the_networks_own(network: PrivateNetwork) -> None:
    with PrivateNetwork() as other:
        other.sysctl("tcp_fin_timeout", 7)
        assert sysctl.get("tcp_fin_timeout") == "7"
    assert sysctl.get("tcp_fin_timeout") == "60"  # TCP_FIN_TIMEOUT of include/net/tcp.h


@pytest.mark.parametrize("mtu", [67, 0, -1, 65537])
def test_an_mtu_that_is_none(mtu: int) -> None:
    with pytest.raises(UsageError, match=str(mtu)):
        PrivateNetwork(mtu=mtu)
    with pytest.raises(UsageError, match=str(mtu)):
        private.enter_private_network(mtu=mtu)


@pytest.mark.parametrize("mtu", [1500, 1400, 9000])
def test_no_segment_is_longer_than_the_mtu_allows(network: PrivateNetwork, mtu: int) -> None:
    # RFC 9293 section 3.7.1: the MSS offered is the MTU less 40 for IPv4; TCP_MAXSEG shows it less options
    with (
        PrivateNetwork(mtu=mtu),
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        maximum = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert mtu - 40 - 40 <= maximum <= mtu - 40


def test_a_refusal_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("testbed.net.libc.unshare", refuse)
    home = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(CapabilityError, match=r"docker run .*NET_ADMIN"):
        PrivateNetwork().__enter__()
    outcome = private.available()
    assert not outcome.worked
    assert outcome.remedy
    assert Path("/proc/thread-self/ns/net").readlink() == home


def test_capabilities_denied_after_success_are_found_and_undone(
    network: PrivateNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what Ubuntu 24.04's AppArmor does: unshare(2) succeeds, raising lo is denied
    def refuse(name: str, **_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(links, "raise_link", refuse)
    home = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(CapabilityError, match="may not be used"):
        PrivateNetwork().__enter__()
    assert Path("/proc/thread-self/ns/net").readlink() == home


def test_elsewhere_it_is_said_that_linux_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(CapabilityError, match="needs Linux, this is darwin"):
        private.enter_private_network()
