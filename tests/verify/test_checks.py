"""How the checks treat a server, held against what the wire and the kernel show of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.verify.checks import CHECKS
from testbed.verify.outcome import Verdict
from testbed.verify.plan import Plan
from testbed.verify.profiles import PROFILES
from testbed.verify.report import told
from testbed.verify.result import Result, by_check
from testbed.verify.verification import verify

pytestmark = [pytest.mark.usefixtures("live"), pytest.mark.timeout(120)]

DEFERRING = """
import socket, sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
connections = []
while True:
    connection, _ = listener.accept()
    connections.append(connection)
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""


def results(*command: str, checks: tuple[str, ...], out: Path | None = None) -> dict[str, Result]:
    plan = Plan(
        command=command,
        profile=PROFILES["generic"],
        env=tuple(os.environ.items()),
        cwd=Path.cwd(),
        out=out,
    )
    return by_check(verify(plan, [CHECKS[name] for name in checks]).results)


def test_a_request_and_its_fin_are_one_segment(tmp_path: Path) -> None:
    """Else the verdict on half-close depends on how soon the server answers."""
    server = (sys.executable, "-m", "testbed.servers.http", "--port", "{port}")
    found = results(*server, checks=("half-close",), out=tmp_path)
    assert found["half-close"].verdict is Verdict.PASS
    capture = str(tmp_path / "half-close" / "capture.pcap")
    wanted = "dst port 8000 and tcp[tcpflags] & tcp-fin != 0"
    found_there = subprocess.run(
        ["tcpdump", "-nr", capture, wanted], capture_output=True, text=True, check=True
    )
    assert found_there.stdout
    assert all("Flags [FP.]" in line and "HTTP: GET /" in line for line in found_there.stdout.splitlines())


def test_a_connection_that_was_not_handed_over_proves_nothing() -> None:
    """TCP_DEFER_ACCEPT: the kernel forgets a connection without a byte, and says nothing to its client."""
    found = results(sys.executable, "-c", DEFERRING, "{port}", checks=("kill", "rebind"))
    assert {name: result.verdict for name, result in found.items()} == {
        "kill": Verdict.PASS,
        "rebind": Verdict.PASS,
    }, [told(result) for result in found.values()]
