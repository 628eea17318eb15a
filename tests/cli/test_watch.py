"""`testbed watch` as a user types it: real servers, a real terminal, Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testbed.net.private import PrivateNetwork

from ..terminal import plain, terminal

PORT = 2333
SERVER = ("127.0.0.1", PORT)
TESTBED = [sys.executable, "-m", "testbed"]
PATIENCE = 30

KEPT_BY_A_CHILD = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if os.fork() == 0:
    print("ready", flush=True)
    connection, _ = listening.accept()
    connection.recv(1)
    sys.stdin.read()
    os._exit(0)
listening.close()
os.wait()
"""


class Running:
    """`testbed watch` in a process of its own, its JSON Lines read one by one."""

    def __init__(self, *arguments: str) -> None:
        command = [*TESTBED, "watch", "--json", "--interval", "0.02", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        self.documents: list[dict[str, Any]] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next line for which it holds."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except queue.Empty:
                pytest.fail(f"not in time; it told {self.documents}")
            assert line, f"it has ended; it told {self.documents}"
            document = json.loads(line)
            assert isinstance(document, dict)
            self.documents.append(document)
            if holds(document):
                return document

    def event(self, kind: str, **wanted: object) -> dict[str, Any]:
        return self.until(lambda d: d["event"] == kind and all(d[k] == v for k, v in wanted.items()))

    def ended(self, number: int = signal.SIGINT) -> tuple[int, dict[str, Any]]:
        """Its status after a signal, and the account."""
        self.process.send_signal(number)
        account = self.event("summary")
        status = self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        assert self.process.stderr.read() == ""
        return status, account

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def watch(network: PrivateNetwork) -> Iterator[Callable[..., Running]]:
    """Starts it, and waits until it looks."""
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        running = Running(*arguments)
        started.append(running)
        running.event("start")
        return running

    yield start
    for running in started:
        running.kill()


@contextlib.contextmanager
def rpc(ending: str) -> Iterator[subprocess.Popen[str]]:
    """The RPC server with this way of ending connections."""
    command = [*TESTBED, "serve", "rpc", "--port", str(PORT), "--ending", ending]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_server_that_never_closes_is_a_leak_with_its_holder(watch: Callable[..., Running]) -> None:
    with rpc("never") as server:
        running = watch("--port", str(PORT), "--leak-after", "0.3", "--fail-on-leak")
        with socket.create_connection(SERVER, timeout=10):
            opened = running.event("opened")
            assert (opened["side"], opened["local"]) == ("server", f"127.0.0.1:{PORT}")
        running.event("state", side="server", state="CLOSE_WAIT")
        leak = running.event("leak")
        assert leak["holder"]["pid"] == server.pid
        assert "not-closed" in leak["socket"]["readings"]
        assert leak["connection"] == opened["connection"]
        status, account = running.ended()
    assert status == 1
    assert account["leaked"] == 1
    assert account["leaks"][0]["holder"]["pid"] == server.pid
    assert account["endings"]["open"] == 1


def test_every_line_is_a_document_and_all_events_have_the_same_keys(watch: Callable[..., Running]) -> None:
    with rpc("polite"):
        running = watch()
        assert running.documents[0]["schema"] == "testbed.watch/1"
        assert "sock_diag" in running.documents[0]["witnesses"]
        socket.create_connection(SERVER, timeout=10).close()
        running.event("closed")
        status, account = running.ended()
    assert status == 0
    assert account["endings"]["orderly"] == account["connections"] == 1
    shapes = {frozenset(document) for document in running.documents[1:-1]}
    assert len(shapes) == 1


def test_sigterm_ends_it_with_an_account_too(watch: Callable[..., Running]) -> None:
    status, account = watch().ended(signal.SIGTERM)
    assert status == 0
    assert account["connections"] == 0


def test_a_reset_is_told(watch: Callable[..., Running]) -> None:
    with rpc("polite"):
        running = watch("--port", str(PORT))
        with socket.create_connection(SERVER, timeout=10) as client:
            running.event("opened")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset = running.event("reset")
        assert reset["reset_by"] in ("client", None)  # only a tracepoint tells
        assert (reset["reset_by"] == "client") == (reset["witness"] == "tracepoint")
        _, account = running.ended()
    assert account["endings"]["reset"] == 1


def test_the_connections_of_a_process_and_of_its_children(watch: Callable[..., Running]) -> None:
    with rpc("polite"):
        command = [sys.executable, "-c", KEPT_BY_A_CHILD, "2444"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None and parent.stdin is not None
            assert parent.stdout.readline() == "ready\n"
            running = watch("--pid", str(parent.pid))
            with (
                socket.create_connection(SERVER, timeout=10),
                socket.create_connection(("127.0.0.1", 2444), timeout=10),
            ):
                opened = running.event("opened")
            waits = running.event("state", side="server", state="CLOSE_WAIT")
            assert waits["holder"]["pid"] != parent.pid
            _, account = running.ended()
            parent.communicate("", timeout=PATIENCE)
    assert opened["local"] == "127.0.0.1:2444"
    assert account["connections"] == 1


def test_it_ends_when_the_watched_process_has(watch: Callable[..., Running]) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        running = watch("--pid", str(process.pid))
        process.communicate("", timeout=PATIENCE)
    account = running.event("summary")
    assert running.process.wait(PATIENCE) == 0
    assert "the watched processes have ended" in account["notes"]


def test_a_command_that_is_started_later(watch: Callable[..., Running]) -> None:
    running = watch("--command", "testbed serve rpc")
    with rpc("polite"):
        with socket.create_server(("127.0.0.1", 2444)) as other:
            socket.create_connection(("127.0.0.1", 2444), timeout=10).close()
            other.accept()[0].close()
        with socket.create_connection(SERVER, timeout=10):
            opened = running.event("opened")
        _, account = running.ended()
    assert opened["local"] == f"127.0.0.1:{PORT}"
    assert account["connections"] == 1


def test_another_processs_network(watch: Callable[..., Running]) -> None:
    program = (
        "from testbed.net.private import enter_private_network as e; e()\n"
        "import socket, sys\n"
        f"listening = socket.create_server({SERVER!r})\n"
        f"client = socket.create_connection({SERVER!r})\n"
        "server, _ = listening.accept()\n"
        "client.shutdown(socket.SHUT_WR)\n"
        "print(server.fileno(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as there:
        assert there.stdout is not None
        descriptor = int(there.stdout.readline())
        running = watch("--netns", str(there.pid), "--leak-after", "0.1")
        leak = running.event("leak")
        assert (leak["holder"]["pid"], leak["holder"]["fd"]) == (there.pid, descriptor)
        _, account = running.ended()
        there.communicate("", timeout=PATIENCE)
    assert account["connections"] == 1


MANY_SHORT = f"""
import socket, sys
listening = socket.create_server({SERVER!r})
for _ in range(50):
    client = socket.create_connection({SERVER!r})
    server, _ = listening.accept()
    client.close()
    server.close()
print("done", flush=True)
sys.stdin.read()
"""


def test_tracepoints_miss_none_however_short(watch: Callable[..., Running]) -> None:
    """Others may use the same addresses meanwhile, in networks of their own: none is taken for ours."""
    running = watch("--interval", "0.5")
    if "tracepoints" not in running.documents[0]["witnesses"]:
        pytest.skip("tracepoints: not for this user, or not on this kernel")
    command = [sys.executable, "-c", MANY_SHORT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        for _ in range(50):
            running.event("closed")
        _, account = running.ended()
        process.communicate("", timeout=PATIENCE)
    assert account["connections"] == account["endings"]["orderly"] == 50


def test_packets_explain_what_has_ended(live: None, watch: Callable[..., Running]) -> None:
    with rpc("polite"):
        running = watch("--capture", "lo", "--port", str(PORT))
        assert "wire" in running.documents[0]["witnesses"]
        socket.create_connection(SERVER, timeout=10).close()
        running.event("closed")
        story = running.event("explained")
        assert "The client closed first" in story["text"]
        assert (story["connection"], story["witness"]) == (1, "wire")


def test_lines_for_a_pipe_have_no_colour_and_no_traceback(network: PrivateNetwork) -> None:
    command = [*TESTBED, "watch", "--seconds", "0.2"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("watching all connections, by sock_diag")
    assert "0 connections in" in done.stdout


def test_a_reader_that_leaves_ends_it(network: PrivateNetwork) -> None:
    with subprocess.Popen(
        [*TESTBED, "watch", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) > 0
        assert process.stderr.read() == b""


BAD: dict[str, tuple[list[str], int, str]] = {
    "no such process": (["--pid", "99999999"], 2, "there is no process 99999999"),
    "no such process's network": (["--netns", "99999999"], 2, "there is no process 99999999"),
    "no port": (["--port", "99999"], 2, "99999"),
    "no interval": (["--interval", "0"], 2, "0.0"),
    "no text": (["--command", ""], 2, "--command"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_usage_is_one_line(network: PrivateNetwork, name: str) -> None:
    arguments, status, words = BAD[name]
    done = subprocess.run([*TESTBED, "watch", *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and words in done.stderr


# ---- a terminal


def test_a_terminal_shows_a_table_and_ctrl_c_leaves_the_account(network: PrivateNetwork) -> None:
    with (
        rpc("never"),
        socket.create_connection(SERVER, timeout=10) as client,
        terminal("watch", "--port", str(PORT), "--leak-after", "0.2") as screen,
    ):
        screen.until("Ctrl-C ends it", "ESTABLISHED")
        screen.resize(60, 12)
        client.shutdown(socket.SHUT_WR)
        screen.until("leak CLOSE_WAIT")
        os.write(screen.descriptor, b"\x03")
        assert screen.ended() == 0, screen.seen
    assert "Traceback" not in screen.seen
    said = plain(screen.seen)
    assert "1 connection in" in said and "leaked: 1 connection, 1 still" in said
    assert "\x1b[?25l" not in screen.seen  # the cursor was never hidden
    assert screen.seen.rindex("\x1b[?7h") > screen.seen.rindex("\x1b[?7l")


def test_what_does_not_change_is_not_drawn_again(network: PrivateNetwork) -> None:
    """An idle table is written once a second, for its clock, and never cleared as a whole screen."""
    with terminal("watch", "--seconds", "1.5") as screen:
        assert screen.ended() == 0
    assert "\x1b[2J" not in screen.seen and "\x1b[H" not in screen.seen
