"""`testbed exec` with a capture: real commands, whose connections are known."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..processes import running
from ..report.seen import Seen
from .test_commands import testbed

PORT = 7777

SERVER = f"""
import os, socket, sys, threading, time

listening = socket.create_server(("127.0.0.1", {PORT}))
kept = []

def serve():
    while True:
        connection, _ = listening.accept()
        connection.recv(10)
        connection.sendall(b"x")
        if sys.argv[1] == "leaks":
            kept.append(connection)
        else:
            while connection.recv(10):
                pass
            connection.close()

threading.Thread(target=serve, daemon=True).start()
"""

CALLS = f"""
for _ in range(3):
    with socket.create_connection(("127.0.0.1", {PORT})) as client:
        client.sendall(b"hello")
        client.recv(1)
print("the command's own words")
time.sleep(float(sys.argv[2]))
os._exit(int(sys.argv[3]))  # the kernel closes what is left
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """A program with a server in it and three calls; arguments: leaks or closes, seconds, status."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(SERVER + CALLS))
    return [sys.executable, str(path)]


def report_in(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return document


def codes(document: dict[str, Any]) -> list[list[str]]:
    return [[finding["code"] for finding in c["findings"]] for c in document["connections"]]


@pytest.mark.usefixtures("live")
def test_connections_that_are_closed(program: list[str], tmp_path: Path) -> None:
    done = testbed(
        "exec", "--out", str(tmp_path / "out"), "--fail-on", "warning", "--", *program, "closes", "0", "0"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the command's own words\n"
    assert "3 connections: 3 orderly" in done.stderr
    document = report_in(tmp_path / "out")
    assert [c["ending"] for c in document["connections"]] == ["orderly"] * 3
    assert codes(document) == [[], [], []]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "capture.pcap",
        "index.html",
        "report.json",
        "report.txt",
    ]
    page = Seen((tmp_path / "out/index.html").read_text(encoding="utf-8"))
    assert f"--fail-on warning -- {shlex.join(program)} closes 0 0" in page.text
    assert page.text.count("TIME_WAIT") >= 3, "each of them is drawn, as there is room"
    again = testbed("explain", "--json", str(tmp_path / "out/capture.pcap"))
    assert json.loads(again.stdout)["connections"] == document["connections"]


@pytest.mark.usefixtures("live")
def test_sockets_that_only_the_end_of_the_process_closes(program: list[str], tmp_path: Path) -> None:
    done = testbed(
        "exec", "--out", str(tmp_path / "out"), "--fail-on", "warning", "--", *program, "leaks", "2", "0"
    )
    assert done.returncode == 1
    found = report_in(tmp_path / "out")["connections"]
    assert [[f["code"] for f in c["findings"] if f["severity"] == "warning"] for c in found] == [
        ["late-fin"]
    ] * 3
    assert "program.py) held the socket, file descriptor" in found[0]["findings"][0]["text"]
    for suffix in ("svg", "txt", "pcap"):
        assert (tmp_path / f"out/connection-2.{suffix}").stat().st_size > 100


@pytest.mark.usefixtures("live")
def test_what_is_left_running_is_judged_before_it_is_ended(program: list[str], tmp_path: Path) -> None:
    """The server goes on when the command ends: it holds its sockets, and its end is of our making."""
    script = f"'{program[0]}' '{program[1]}' leaks 600 0 & sleep 1"
    done = testbed(
        "exec", "--out", str(tmp_path / "out"), "--fail-on", "error", "--", "sh", "-c", f"{script}; exit 0"
    )
    assert done.returncode == 1, done.stderr
    connections = report_in(tmp_path / "out")["connections"]
    assert [c["ending"] for c in connections] == ["half-closed"] * 3
    finding = connections[0]["findings"][0]
    assert (finding["code"], finding["severity"]) == ("missing-fin", "error")
    assert "program.py) held the socket" in finding["text"]


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize(
    ("options", "arguments", "status"),
    [
        (["--fail-on", "error"], ["leaks", "0", "7"], 7),  # the command's own failure comes first
        (["--fail-on", "error"], ["closes", "0", "0"], 0),
    ],
)
def test_the_exit_status(program: list[str], options: list[str], arguments: list[str], status: int) -> None:
    assert testbed("exec", *options, "--", *program, *arguments).returncode == status


@pytest.mark.usefixtures("live")
def test_without_a_connection_nothing_is_proved() -> None:
    done = testbed("exec", "--fail-on", "error", "--", "true")
    assert done.returncode == 1
    assert "inconclusive: no TCP connection was seen" in done.stderr


@pytest.mark.usefixtures("live")
def test_the_hosts_network_and_a_filter(program: list[str], tmp_path: Path) -> None:
    options = ["--net", "host", "-i", "lo", "--out", str(tmp_path / "out"), f"tcp port {PORT}"]
    inside = testbed(
        "exec", "--", sys.executable, "-m", "testbed", "exec", *options, "--", *program, *["closes", "0", "0"]
    )
    assert inside.returncode == 0, inside.stderr
    assert inside.stdout == "the command's own words\n"
    assert [c["ending"] for c in report_in(tmp_path / "out")["connections"]] == ["orderly"] * 3


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """`testbed exec` with a command that has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed", "exec", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.usefixtures("live")
def test_signals_reach_the_command(tmp_path: Path) -> None:
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    process = started("--out", str(tmp_path / "out"), "--", "sh", "-c", script)
    try:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 9
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "out/report.json").exists()


@pytest.mark.usefixtures("live")
def test_nothing_is_left_when_it_is_killed() -> None:
    script = "sleep 600 & sleep 600 & echo ready; wait"
    process = started("--fail-on", "error", "--", "sh", "-c", script)
    deadline = time.monotonic() + 30
    children: list[int] = []
    while len(children) != 5:  # tcpdump, the command and its two, and who ends them
        assert time.monotonic() < deadline, children
        # proc(5): a list of children may lack some while there is forking
        children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.kill()
    process.wait()
    while any(running(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--net", "host", "-i", "lo", "--", "true"], ["--out"]),
        (["--net", "host", "--fail-on", "error", "--", "true"], ["-i IFACE"]),
        (["--net", "host", "-i", "lo", "--fail-on", "error", "true"], ["--", "filter"]),
        (["-i", "lo", "--fail-on", "error", "--", "true"], ["--net host"]),
        (["--out", "/dev/null/x", "--", "true"], ["--out /dev/null/x"]),
        (["--fail-on", "error", "--", "no-such-program"], ["no-such-program"]),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], words: list[str]) -> None:
    done = testbed("exec", *arguments)
    if done.returncode == 3 and os.geteuid() != 0:
        pytest.skip(done.stderr)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words)


@pytest.mark.usefixtures("live")
def test_a_capture_that_ends_does_not_disturb_the_command(tmp_path: Path) -> None:
    """The command ends the tcpdump that captures it: a child of its own parent."""
    script = (
        "for child in $(cat /proc/$PPID/task/$PPID/children); do"
        " test $(cat /proc/$child/comm) = tcpdump && kill -KILL $child; done; sleep 1.5; echo survived"
    )
    options = ["--out", str(tmp_path / "out"), "--fail-on", "error"]
    done = testbed("exec", *options, "--", "sh", "-c", script)
    assert done.stdout == "survived\n"
    assert "the capture ended before the command: tcpdump on lo ended" in done.stderr
    assert "inconclusive" in done.stderr and done.returncode == 1
