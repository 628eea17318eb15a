"""Ways to stop: recognised by the program's name, and signals by theirs."""

from __future__ import annotations

import signal

import pytest

from testbed.errors import UsageError
from testbed.verify.profiles import PROFILES, find_profile, find_signal, recognise


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("nginx", "-g", "daemon off;"), "nginx"),
        (("/usr/sbin/nginx",), "nginx"),
        (("/usr/sbin/apache2", "-DFOREGROUND"), "apache"),
        (("python3", "-m", "uvicorn", "app:app"), "uvicorn"),
        (("node", "server.js"), "node"),
        (("./nginx-exporter",), "generic"),
        (("python3", "-m"), "generic"),
        ((), "generic"),
    ],
)
def test_recognised(command: tuple[str, ...], name: str) -> None:
    assert recognise(command).name == name


def test_each_profile_has_a_reason() -> None:
    assert all(row.note and row.grace > 0 for row in PROFILES.values())
    assert PROFILES["nginx"].stop is signal.SIGQUIT
    assert PROFILES["haproxy"].stop is signal.SIGUSR1
    assert PROFILES["apache"].stop is signal.SIGWINCH
    with pytest.raises(UsageError, match="nginx"):
        find_profile("iis")


@pytest.mark.parametrize("text", ["TERM", "term", "SIGTERM", "15"])
def test_signals(text: str) -> None:
    assert find_signal(text) is signal.SIGTERM


@pytest.mark.parametrize("text", ["", "SIG", "NOPE", "0", "4711", "-1"])
def test_no_signals(text: str) -> None:
    with pytest.raises(UsageError, match="no signal"):
        find_signal(text)
