"""`testbed verify` as a user types it: its documents, its exit statuses, and that nothing is left running."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from testbed import explain
from testbed.verify.checks import CHECKS

from ..leftovers import nothing_left
from ..report.seen import Seen
from .ordinary_user import as_ordinary_user, ordinary_python
from .test_commands import one_line, testbed

ECHO = ("--protocol", "tcp", "--", sys.executable, "-m", "testbed.servers.echo", "--port", "{port}")
QUICK = (
    "--idle",
    "1",
    "--grace",
    "2",
    "--check",
    "close-back",
    "--check",
    "stop-idle",
    "--check",
    "early-reply",
)


# ---- bad usage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--connect"]),
        (["--check", "no-such-check", "--", "true"], ["no-such-check", "close-back"]),
        (["--signal", "NOPE", "--", "true"], ["NOPE", "TERM"]),
        (["--connect", "nowhere"], ["nowhere", "HOST:PORT"]),
        (["--connect", "127.0.0.1:1", "--", "true"], ["--connect"]),
        (["--path", "no-slash", "--", "true"], ["no-slash"]),
        (["--request", "no-such-file", "--", "true"], ["no-such-file"]),
        (["--grace", "0", "--", "true"], ["--grace"]),
        (["--profile", "iis", "--", "true"], ["iis"]),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], words: list[str]) -> None:
    done = testbed("verify", *arguments)
    assert done.returncode == 2, done.stderr
    one_line(done, *words)


def test_no_such_command(live: None) -> None:
    done = testbed("verify", "--", "no-such-command")
    assert done.returncode == 2
    one_line(done, "no-such-command", "no such command")


# ---- servers that make it hard


class Hostile(NamedTuple):
    """What a server does, and what comes of it: one line on stderr with `words`, or verdicts by check."""

    does: str
    arguments: tuple[str, ...]
    status: int
    words: tuple[str, ...] = ()
    verdicts: Mapping[str, str] = {}


def python(program: str) -> tuple[str, ...]:
    return "--", sys.executable, "-c", program


def checks(*names: str) -> tuple[str, ...]:
    return "--protocol", "tcp", "--grace", "1", *(word for name in names for word in ("--check", name))


LISTEN = "import socket, time; s = socket.create_server(('127.0.0.1', int({port}))); time.sleep(1000)"

SERVE = """
import os, signal, socket, sys, threading, time
def echo(connection):
    with connection:
        while data := connection.recv(4096):
            connection.sendall(data)
def serve():
    listener = socket.create_server(("127.0.0.1", {port}))
    while True:
        threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()
"""
"""A server's parts: `serve()` never returns."""

ECHO_PROGRAM = f"{shlex.quote(sys.executable)} -m testbed.servers.echo --port {{port}}"

HOSTILE = (
    Hostile(
        "exits at once",
        python("print('config is broken'); raise SystemExit(4)"),
        3,
        ("exit status 4", "config is broken"),
    ),
    Hostile("dies at once", python("import os; os.kill(os.getpid(), 11)"), 3, ("SIGSEGV", "printed nothing")),
    Hostile(
        "never listens",
        ("--start", "1", *python("import time; time.sleep(1000)")),
        3,
        ("not listened on port 8000 within 1 s",),
    ),
    Hostile("binds another port", python(LISTEN.replace("{port}", "9")), 3, ("127.0.0.1:9,", "--port 9")),
    Hostile("never accepts", python(LISTEN), 3, ("nobody accepted the connection",)),
    Hostile(
        "floods its output and never listens",
        ("--start", "1", *python("while True: print('x' * 10**6)")),
        3,
        ("not listened on port 8000", "xxx"),
    ),
    Hostile(
        "floods its output while it serves",
        (
            *checks("close-back", "stop-fresh"),
            *python(f"{SERVE}\nthreading.Thread(target=serve).start()\nwhile True: print('x' * 10**5)"),
        ),
        0,
        verdicts={"close-back": "pass", "stop-fresh": "pass"},
    ),
    Hostile(
        "ignores the signal",
        (
            *checks("stop-fresh", "stop-idle"),
            *python(f"{SERVE}\nsignal.signal(15, signal.SIG_IGN)\nserve()"),
        ),
        1,
        verdicts={"stop-fresh": "fail", "stop-idle": "fail"},
    ),
    Hostile(
        "forks into the background",
        (*checks("stop-fresh", "stop-idle", "kill"), "--", "sh", "-c", f"({ECHO_PROGRAM} &); sleep 0.1"),
        0,
        verdicts={"stop-fresh": "pass", "stop-idle": "pass", "kill": "pass"},
    ),
    Hostile(
        "forks a process that never leaves",
        (*checks("stop-fresh", "kill"), "--", "sh", "-c", f"(yes >/dev/null &); exec {ECHO_PROGRAM}"),
        1,
        verdicts={"stop-fresh": "fail", "kill": "warn"},
    ),
    Hostile(
        "forks without end",
        (
            *checks("stop-fresh"),
            *python(
                f"{SERVE}\nthreading.Thread(target=serve, daemon=True).start()\n"
                "while True:\n    if not os.fork(): time.sleep(1000)\n    time.sleep(0.02)"
            ),
        ),
        1,
        verdicts={"stop-fresh": "fail"},
    ),
)


@pytest.mark.parametrize("row", HOSTILE, ids=lambda row: row.does)
def test_whatever_a_server_does_there_is_a_clear_word_and_nothing_is_left(
    row: Hostile, mark: str, live: None
) -> None:
    done = testbed("verify", "--json", *row.arguments)
    assert done.returncode == row.status, done
    if row.words:
        one_line(done, *row.words)
    else:
        assert {check["id"]: check["verdict"] for check in json.loads(done.stdout)["checks"]} == row.verdicts
    nothing_left(mark)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.4, 2.5])
def test_a_killed_run_leaves_nothing(number: signal.Signals, after: float, mark: str, live: None) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed", "verify", "--idle", "30", *ECHO],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    time.sleep(after)  # the moment does not matter: whatever has been started must go
    process.send_signal(number)
    process.wait(timeout=20)
    nothing_left(mark)


# ---- what is written


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, live: None) -> tuple[Path, dict[str, object], str]:
    """One run with every kind of output: its folder, its JSON, its stderr."""
    folder = tmp_path_factory.mktemp("verify")
    done = testbed(
        "verify", "--json", "--junit", str(folder / "junit.xml"), "--markdown", str(folder / "summary.md"),
        "--out", str(folder / "out"), *QUICK, *ECHO, "--ending", "never",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def test_json(written: tuple[Path, dict[str, object], str]) -> None:
    _, document, stderr = written
    assert stderr == ""
    assert document["schema"] == "testbed.verify/1"
    assert document["port"] == 8000
    assert isinstance(document["command"], list) and "8000" in document["command"]
    checks = document["checks"]
    assert isinstance(checks, list)
    assert [row["id"] for row in checks] == ["close-back", "stop-idle", "early-reply"]
    assert [row["verdict"] for row in checks] == ["fail", "pass", "skipped"]
    for row in checks:
        assert row.keys() >= {"id", "verdict", "what", "measured", "frames"}
    held = checks[0]["measured"]["idle_held"]
    assert re.search(
        r"CLOSE_WAIT: process \d+ \(python[\d.]* -m testbed.servers.echo\), descriptor \d+", held
    )


def test_frames_are_those_of_the_capture(written: tuple[Path, dict[str, object], str]) -> None:
    """Each frame that a check names is the packet that it says it is, as `explain` reads the file."""
    folder, document, _ = written
    checks = document["checks"]
    assert isinstance(checks, list)
    capture = folder / "out" / "stop-idle" / "capture.pcap"
    segments = {
        segment["frame"]: segment
        for connection in explain(capture, segments=True).to_json(segments=True)["connections"]
        for segment in connection["segments"]
    }
    (frame,) = checks[1]["frames"]
    assert segments[frame]["flags"] & 1, "a FIN"
    assert segments[frame]["from"] == "server"
    assert checks[1]["measured"]["fin_seconds"] > 0


def test_files(written: tuple[Path, dict[str, object], str]) -> None:
    folder, document, _ = written
    out = folder / "out"
    assert json.loads((out / "report.json").read_text()) == document
    ladder = (out / "close-back" / "ladder.txt").read_text()
    assert "CLOSE_WAIT" in ladder and "client.shutdown(SHUT_WR)" in ladder
    assert "listening on" in (out / "close-back" / "server.log").read_text()
    overview, page = (
        Seen((folder / "index.html").read_text(encoding="utf-8")) for folder in (out, out / "close-back")
    )
    assert "close-back/index.html" in overview.attributes("href")
    assert "1 pass, 1 skipped, 1 fail" in overview.text
    assert "CLOSE_WAIT" in page.text and "--check close-back" in page.text


def test_junit(written: tuple[Path, dict[str, object], str]) -> None:
    suite = ElementTree.parse(written[0] / "junit.xml").getroot()
    assert {**suite.attrib} | {"time": ""} == {
        "name": "testbed verify", "tests": "3", "failures": "1", "errors": "0", "skipped": "1", "time": "",
    }  # fmt: skip
    (failure,) = suite.iter("failure")
    assert failure.text is not None and "change: " in failure.text


def test_markdown(written: tuple[Path, dict[str, object], str]) -> None:
    text = (written[0] / "summary.md").read_text()
    assert "| ❌ fail | close-back |" in text
    assert "#### ❌ close-back: Does the server close when the client has closed?" in text
    assert "- **hurts**: " in text and "- **change**: " in text


@pytest.mark.parametrize("columns", [80, 120])
def test_the_terminal_has_its_width(columns: int, live: None) -> None:
    environment = {**os.environ, "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "verify", *QUICK, *ECHO, "--ending", "never"],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert re.search(r"^fail +close-back +\S", done.stdout, re.MULTILINE)
    for label in ("what", "hurts", "change", "source"):
        assert re.search(rf"^ +{label} +\S", done.stdout, re.MULTILINE), label
    assert lines[-1].startswith("fail: 1 pass, 1 skipped, 1 fail in ")


def test_repeats_are_counted(live: None) -> None:
    done = testbed("verify", "--json", "--repeat", "3", "--check", "stop-fresh", *ECHO)
    (row,) = json.loads(done.stdout)["checks"]
    assert row["verdict"] == "pass"
    assert [repeat["verdict"] for repeat in row["repeats"]] == ["pass"] * 3


def test_list_checks() -> None:
    done = testbed("verify", "--list-checks")
    assert done.returncode == 0
    told = " ".join(done.stdout.split())
    for name, check in CHECKS.items():
        assert f"{name}: {check.question} does {' '.join(check.does.split())}" in told
    document = json.loads(testbed("verify", "--list-checks", "--json").stdout)
    assert [row["id"] for row in document["checks"]] == list(CHECKS)


# ---- attached to a server that runs


def test_attached_it_sends_no_signal(live: None) -> None:
    """What would end the server is skipped, with the reason; the rest is done; the server runs on."""
    inside = """
        {python} -m testbed.servers.echo --port 7000 --idle-timeout 60 &
        server=$!
        {python} -m testbed verify --json --protocol tcp --connect 127.0.0.1:7000 --idle 1 \
            --check close-back --check half-close --check stop-idle --check kill --check keepalive-option
        kill -0 $server && kill $server
    """.replace("{python}", shlex.quote(sys.executable))
    done = testbed("exec", "--", "sh", "-c", "sleep 0; " + inside)
    document = json.loads(
        done.stdout.partition("\n")[2] if done.stdout.startswith("listening") else done.stdout
    )
    verdicts = {row["id"]: row["verdict"] for row in document["checks"]}
    assert verdicts == {
        "close-back": "pass",
        "half-close": "pass",
        "stop-idle": "skipped",
        "keepalive-option": "info",
        "kill": "skipped",
    }
    assert document["port"] == 7000
    assert done.returncode == 0, "the server was still there to be ended"


# ---- as an ordinary user


def test_an_ordinary_user_has_every_check(live: None) -> None:
    server = [ordinary_python(), "-m", "testbed.servers.http", "--port", "{port}", "--keepalive-idle", "60"]
    done = as_ordinary_user(
        "verify", "--json", "--idle", "3", "--grace", "2",
        "--slow-path", "/slow?seconds=0.5", "--large-path", "/large",
        "--", *server, "--idle-timeout", "2", "--request-timeout", "2",
    )  # fmt: skip
    if done.returncode == 3:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["checks"]
    assert {row["id"]: row["verdict"] for row in rows} == dict.fromkeys(CHECKS, "pass")
