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
import uuid
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from testbed import explain
from testbed.verify.checks import CHECKS

from ..report.seen import Seen
from .test_commands import one_line, testbed

MARK = "TESTBED_TEST_RUN"
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

LISTEN = "import socket, time; s = socket.create_server(('127.0.0.1', int({port}))); time.sleep(1000)"
SERVE = "import http.server as h; h.ThreadingHTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler)"


def python(program: str) -> tuple[str, ...]:
    return "--", sys.executable, "-c", program


def marked(value: str) -> list[psutil.Process]:
    """The processes that have our mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """What is started in this test carries it."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return value


def nothing_left(mark: str) -> None:
    deadline = time.monotonic() + 20
    while left := marked(mark):
        assert time.monotonic() < deadline, f"still running: {[p.cmdline() for p in left]}"
        time.sleep(0.05)


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


# ---- servers that cannot be used


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (python("print('config is broken'); raise SystemExit(4)"), ["exit status 4", "config is broken"]),
        (python("import os; os.kill(os.getpid(), 11)"), ["SIGSEGV", "printed nothing"]),
        (("--start", "1", *python("import time; time.sleep(1000)")), ["not listened on port 8000"]),
        (python(LISTEN.replace("{port}", "9")), ["127.0.0.1:9,", "--port 9"]),
        (python(LISTEN), ["nobody accepted the connection"]),
        (
            ("--port", "9", "--protocol", "none", *python("import time; print('x' * 10**7)")),
            ["without listening"],
        ),
    ],
)
def test_a_server_that_cannot_be_used_is_exit_3(
    options: tuple[str, ...], words: list[str], mark: str, live: None
) -> None:
    done = testbed("verify", *options)
    assert done.returncode == 3, done.stderr
    one_line(done, *words)
    nothing_left(mark)


# ---- servers that can, though they make it hard


def test_a_daemon_that_floods_its_output_is_verified(mark: str, live: None) -> None:
    """It forks into the background, where another process prints without end; both are ended."""
    server = f"{shlex.quote(sys.executable)} -m testbed.servers.echo --port {{port}}"
    done = testbed(
        "verify", "--json", "--protocol", "tcp", "--check", "kill", "--check", "stop-idle",
        "--", "sh", "-c", f"({server} &) ; (yes & ) ; sleep 0.2",
    )  # fmt: skip
    document = json.loads(done.stdout)
    verdicts = {row["id"]: row["verdict"] for row in document["checks"]}
    # the daemon stops as it should; what floods does not know that it was to leave
    assert verdicts["stop-idle"] == "fail"
    (row,) = [row for row in document["checks"] if row["id"] == "stop-idle"]
    assert "(yes)" in row["what"] and "FIN" in row["what"]
    nothing_left(mark)


def test_one_that_ignores_the_signal_fails_and_is_ended(mark: str, live: None) -> None:
    ignoring = f"import signal; signal.signal(15, signal.SIG_IGN); {SERVE}.serve_forever()"
    done = testbed("verify", "--json", "--grace", "1", "--check", "stop-fresh", *python(ignoring))
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)["checks"]
    assert (row["verdict"], row["measured"]["exit_seconds"]) == ("fail", None)
    assert row["hurts"] and row["change"]
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
