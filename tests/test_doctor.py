import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.doctor import examine
from testbed.kernel import trace_source
from testbed.net.child import tried_in_child
from testbed.net.private import PrivateNetwork

NOBODY = 65534
NAMES = [
    "python", "psutil", "netns", "capture", "hosts", "sock_diag", "tracefs", "iproute2", "nftables", "tshark"
]  # fmt: skip


def test_everything_is_tried_and_nothing_is_left() -> None:
    network = Path("/proc/thread-self/ns/net").readlink()
    descriptors = set(Path("/proc/self/fd").iterdir())
    found = examine()
    assert [capability.name for capability in found] == NAMES
    for capability in found:
        assert capability.detail
        assert "\n" not in capability.detail
        assert bool(capability.remedy) is not capability.available
    assert Path("/proc/thread-self/ns/net").readlink() == network
    assert set(Path("/proc/self/fd").iterdir()) == descriptors
    assert found[0].available  # the tests run


def test_a_capture_was_really_taken() -> None:
    capture = examine()[NAMES.index("capture")]
    if not capture.available:
        pytest.skip(f"{capture.detail}; {capture.remedy}")
    assert "1 of 1 packet captured" in capture.detail


def test_programs_that_are_missing_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    found = {capability.name: capability for capability in examine()}
    for name, package in (
        ("capture", "tcpdump"),
        ("iproute2", "iproute2"),
        ("nftables", "nftables"),
        ("tshark", "tshark"),
    ):
        assert not found[name].available
        assert found[name].remedy == f"install it: apt-get install {package}"


def test_where_no_network_can_be_had_the_remedy_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("testbed.net.libc.unshare", refuse)
    found = {capability.name: capability for capability in examine()}
    for name in ("netns", "capture"):
        assert not found[name].available
        assert "docker run --cap-add NET_RAW --cap-add NET_ADMIN --cap-add SYS_ADMIN" in found[name].remedy


def examined(*before: str) -> dict[str, dict[str, Any]]:
    """What the command finds, with these words before it."""
    command = [*before, sys.executable, "-m", "testbed", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return {row["name"]: row for row in json.loads(done.stdout)["capabilities"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to have less than it has")
@pytest.mark.parametrize("less", ["-sys_admin", "-net_admin,-net_raw", "-sys_admin,-net_admin,-net_raw"])
def test_a_root_that_lacks_capabilities_has_them_in_a_user_namespace(less: str) -> None:
    """tcpdump among them: as root it calls setgroups(2), which most user namespaces refuse."""
    found = examined("setpriv", "--bounding-set", less)
    if not found["netns"]["available"]:
        pytest.skip(f"{found['netns']['detail']}; {found['netns']['remedy']}")
    assert found["netns"]["detail"] == "in a user namespace"
    assert "1 of 1 packet captured" in found["capture"]["detail"]
    assert found["hosts"]["available"]


def test_a_root_that_can_have_none_is_told_what_it_lacks() -> None:
    """As in a container; here one whose user namespaces are used up."""
    container = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*container, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no user namespaces here")
    used_up = 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin "$@"'
    found = examined(*container, "sh", "-c", used_up, "sh")
    for name in ("netns", "capture", "hosts"):
        assert not found[name]["available"]
        assert "give root CAP_SYS_ADMIN" in found[name]["remedy"]
        assert "user.max_user_namespaces" in found[name]["remedy"]
        assert found[name]["remedy"].endswith("docker run --cap-add SYS_ADMIN")


def test_an_ordinary_user_is_told_who_may_trace() -> None:
    def attempt() -> str:
        if os.geteuid() == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        trace_source.borrow()
        return "it may"

    outcome = tried_in_child(attempt)
    assert not outcome.worked
    assert outcome.remedy.startswith("run as root")


def test_elsewhere_the_live_parts_say_that_they_need_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = {capability.name: capability for capability in examine()}
    assert found["python"].available
    assert found["netns"].detail == "needs Linux, this is darwin"
    assert "container" in found["netns"].remedy


def test_it_can_be_asked_from_inside_a_private_network() -> None:
    try:
        inside = PrivateNetwork().__enter__()
    except Exception as error:
        pytest.skip(str(error))
    try:
        assert {c.name for c in examine() if c.needed and not c.available} == set()
    finally:
        inside.__exit__(None, None, None)
