"""`python -m servers.rpc`: the line it prints, how it is stopped, what it says when it cannot."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.servers import ENDINGS, echo, http, query_call, rpc

ROOT = Path(__file__).parents[2]
PATIENCE = 20


@contextmanager
def serving(*arguments: str, module: str = "rpc") -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """A server process and its address; killed at the end, and by a timer if it never listens."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", f"servers.{module}", "--port", "0", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on \[?(.+?)\]?:(\d+)\n", line)
            assert found, (line, process.communicate())
            yield process, (found[1], int(found[2]))
        finally:
            watchdog.cancel()
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


@pytest.mark.parametrize("module", ["echo", "rpc", "http"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_listens_and_stops(module: str, number: signal.Signals) -> None:
    with serving(module=module) as (process, address):
        assert address[0] == "127.0.0.1"
        with socket.create_connection(address, timeout=PATIENCE):
            pass
        process.send_signal(number)
        assert ended(process) == (0, "", "")


def test_the_experiment_as_it_is_typed() -> None:
    keepalive = ("--keepalive-idle", "15", "--keepalive-interval", "15", "--keepalive-count", "8")
    with serving("--ending", "never", "--host", "127.0.0.1", *keepalive) as (process, address):
        with socket.create_connection(address, timeout=PATIENCE) as client:
            client.sendall(query_call())
            reply = b""
            while len(reply) < 254:
                reply += client.recv(254)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
        process.terminate()
        assert ended(process)[0] == 0


def test_ipv6() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with serving("--host", "::1") as (_, address):
        assert address[0] == "::1"


def test_ignore_stop_outlives_sigterm_until_its_client_leaves() -> None:
    with serving("--ending", "ignore-stop", "--grace", "0") as (process, address):
        with socket.create_connection(address, timeout=PATIENCE) as client:
            client.sendall(query_call())
            assert client.recv(1)
            process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.4)
        assert ended(process)[0] == 0


def test_a_second_interrupt_is_insisted_on() -> None:
    with (
        serving("--ending", "ignore-stop") as (process, address),
        socket.create_connection(address, timeout=PATIENCE) as client,
    ):
        client.sendall(query_call())
        assert client.recv(1)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert ended(process)[0] == 0


def test_drop_queued_and_polite_differ_on_what_is_queued() -> None:
    said: dict[str, bytes | str] = {}
    for ending in ("polite", "drop-queued"):
        with serving("--ending", ending) as (process, address):
            # Stopped, the kernel alone answers; continued, it finds the signal and the connection together.
            os.kill(process.pid, signal.SIGSTOP)
            with socket.create_connection(address, timeout=PATIENCE) as client:
                client.sendall(query_call())
                process.terminate()
                os.kill(process.pid, signal.SIGCONT)
                reply = b""
                try:
                    while chunk := client.recv(4096):
                        reply += chunk
                    said[ending] = reply
                except ConnectionResetError:
                    said[ending] = "reset"
            assert ended(process)[0] == 0
    assert len(said["polite"]) == 254
    assert said["drop-queued"] == "reset"


def test_crash_on_reset_exits_1_in_one_line() -> None:
    with serving("--ending", "crash-on-reset") as (process, address):
        client = socket.create_connection(address, timeout=PATIENCE)
        client.sendall(query_call()[:10])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        status, _, err = ended(process)
        assert (status, err) == (1, "servers.rpc: crashed: [Errno 104] Connection reset by peer\n")


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert rpc.main(["--port", str(port)]) == 2
    assert capsys.readouterr() == (
        "",
        f"servers.rpc: cannot listen on 127.0.0.1:{port}: Address already in use\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "port must be 0 to 65535, not 70000"),
        (["--port", "many"], "invalid int value: 'many'"),
        (["--ending", "rude"], "no ending called 'rude'"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["--keepalive-idle", "0"], "keepalive idle must be 1 to 32767, not 0"),
        (["--keepalive-count", "128"], "keepalive count must be 1 to 127"),
        (["--idle-timeout", "-1"], "limit idle must be more than 0"),
        (["--max-frame", "0"], "limit frame must be at least 1"),
        (["--delay", "nan"], "delay must not be negative"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7:"),
        (["--host", "no such host"], "cannot listen on no such host:"),
        (["--host", "x" * 300], "cannot listen on xxx"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rpc.main(["--port", "0", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err
    assert err.startswith("servers.rpc: ") and err.count("\n") == 1


def may_take_every_port() -> bool:
    """Whether this process may bind to port 1, whatever its uid: by doing it."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 1))
        except PermissionError:
            return False
        return True


@pytest.mark.skipif(may_take_every_port(), reason="this process may take every port (CAP_NET_BIND_SERVICE)")
def test_no_permission(capsys: pytest.CaptureFixture[str]) -> None:
    assert rpc.main(["--port", "1"]) == 2
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("main", [echo.main, rpc.main, http.main])
def test_list_endings_and_help(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(main)
    assert main(["--list-endings"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if not line.startswith(" ")] == list(ENDINGS)
    assert max(map(len, out.splitlines())) <= 100
    assert main(["--help"]) == 0
    assert "--keepalive-interval" in capsys.readouterr().out


def test_the_servers_stand_alone() -> None:
    """Neither the testbed nor anything but h11 is loaded, and echo does not even load that."""
    loaded = "import sys, servers.echo; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-S", "-c", loaded], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert run.returncode == 0, run.stderr
    assert not {"testbed", "h11", "psutil"} & set(run.stdout.split())
