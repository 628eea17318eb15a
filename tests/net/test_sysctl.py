import pytest

from testbed.errors import UsageError
from testbed.net import links, sysctl
from testbed.net.private import PrivateNetwork


def test_a_setting_of_the_machine_is_never_written() -> None:
    if links.in_private_network():
        pytest.skip("this whole run is in a private network")
    before = sysctl.get("tcp_fin_timeout")
    with pytest.raises(UsageError, match="private network only"):
        sysctl.set("tcp_fin_timeout", before)
    assert sysctl.get("tcp_fin_timeout") == before


@pytest.mark.parametrize(
    ("name", "value", "reads"),
    [
        ("tcp_fin_timeout", 2, "2"),
        ("tcp_keepalive_time", 1, "1"),
        ("ipv4.tcp_syn_retries", 3, "3"),
        ("net.ipv4.tcp_rmem", "4096 8192 16384", "4096\t8192\t16384"),
        ("ipv6/conf/lo/disable_ipv6", 1, "1"),
    ],
)
def test_each_spelling(network: PrivateNetwork, name: str, value: int | str, reads: str) -> None:
    sysctl.set(name, value)
    assert sysctl.get(name) == reads


@pytest.mark.parametrize(
    "name", ["../../kernel/hostname", "", "tcp_no_such", "tcp fin", "/etc/passwd", "a..b"]
)
def test_names_that_are_none(network: PrivateNetwork, name: str) -> None:
    with pytest.raises(UsageError):
        sysctl.get(name)
    with pytest.raises(UsageError):
        sysctl.set(name, 1)


def test_a_value_that_the_kernel_does_not_take(network: PrivateNetwork) -> None:
    with pytest.raises(UsageError, match="'soon'"):
        sysctl.set("tcp_fin_timeout", "soon")
