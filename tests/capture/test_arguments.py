import shutil

import pytest

from testbed.capture import arguments
from testbed.errors import CapabilityError, UsageError


@pytest.mark.parametrize("euid", [0, 1000])
def test_the_command(monkeypatch: pytest.MonkeyPatch, euid: int) -> None:
    monkeypatch.setattr("os.geteuid", lambda: euid)
    command = arguments.command(
        "/usr/bin/tcpdump",
        "lo",
        filter=["tcp", "port", "80", "or", "icmp"],
        port=9,
        snaplen=256,
        buffer_kib=4096,
    )
    options, _, expression = " ".join(command).partition(" -- ")
    assert expression == "( tcp port 80 or icmp ) or udp dst port 9"
    assert ("-Z root" in options) == (euid == 0)
    for wanted in ("--immediate-mode", "-U", "-s 256", "-B 4096", "-w -", "-i lo", "-n"):
        assert wanted in options


def test_without_a_filter_everything_is_captured() -> None:
    command = arguments.command("tcpdump", "lo", filter=[], port=9, snaplen=256, buffer_kib=4096)
    assert "--" not in command
    assert "port" not in command


@pytest.mark.parametrize(
    ("said", "kind", "remedy"),
    [
        # as tcpdump 4.99.3 printed them
        (
            "tcpdump: lo: You don't have permission to perform this capture on that device\n",
            CapabilityError,
            "setcap cap_net_raw,cap_net_admin=eip",
        ),
        ("tcpdump: eth7: No such device exists\n(No such device exists)\n", UsageError, "ip link"),
        ("tcpdump: ifb0: That device is not up\n", UsageError, "ip link set"),
        ("tcpdump: can't parse filter expression: syntax error\n", UsageError, "pcap-filter"),
        ("tcpdump: invalid packet buffer size 99999999\n", UsageError, "smaller"),
        ("tcpdump: something new\n", CapabilityError, "testbed doctor"),
        ("", CapabilityError, "without a word"),
    ],
)
def test_complaints(said: str, kind: type[Exception], remedy: str) -> None:
    error = arguments.complaint("eth7", ["tcp"], said.encode())
    assert type(error) is kind
    assert remedy in str(error)
    assert "\n" not in str(error)


def test_without_tcpdump_the_remedy_is_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(CapabilityError, match="apt-get install tcpdump"):
        arguments.find_tcpdump()


def test_it_is_found_though_path_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("tcpdump", path="/usr/sbin:/usr/bin:/sbin") is None:
        pytest.skip("tcpdump is not in a system directory")
    monkeypatch.setenv("PATH", "/nowhere")
    assert arguments.find_tcpdump().endswith("/tcpdump")
