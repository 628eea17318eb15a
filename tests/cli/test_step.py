"""`testbed step` as a user meets it: on a terminal, by a script, as an ordinary user, and by mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..terminal import terminal
from .ordinary_user import as_ordinary_user


def step(*arguments: str, keys: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", "step", *arguments],
        input=keys,
        capture_output=True,
        text=True,
        timeout=100,
        **options,
    )


# ---------------------------------------------------------------- by a script


def test_a_script_gives_one_document(live: None) -> None:
    done = step("four-way-close", "--script", "-", "--json", keys="a")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["standing"]["client"][-3:] == ["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]
    assert document["over"] is True


def test_a_script_from_a_file_is_told_in_words(live: None, tmp_path: Path) -> None:
    script = tmp_path / "keys"
    script.write_text("enter  # the SYN\nd      # its answer is lost\nq\n")
    done = step("handshake", "--script", str(script))
    assert done.returncode == 0, done.stderr
    assert "deliver > S 0:0(0)" in done.stdout
    assert "the server is in SYN_RECEIVED, as RFC 9293 3.10.7.2 says" in done.stdout
    assert "drop < S. 0:0(0) ack 1" in done.stdout
    assert "handshake was left before it was over" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "keys", "told"),
    [
        (["four-way-clos"], "", "four-way-close"),
        (["four-way-close"], "", "--script"),
        (["four-way-close", "--json"], "", "--json needs --script"),
        (["four-way-close", "--script", "no-such-file"], "", "no-such-file: No such file"),
        (["four-way-close", "--script", "-"], "entre", "line 1: 'entre' is no key"),
        (["dead-peer", "--script", "-"], "a", "dead-peer cannot be stepped through"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], keys: str, told: str) -> None:
    done = step(*arguments, keys=keys)
    if done.returncode == 3:
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert told in done.stderr


# ---------------------------------------------------------------- as an ordinary user


@pytest.mark.parametrize(
    ("name", "client", "server"),
    [
        (
            "four-way-close",
            ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"],
            ["LISTEN", "SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"],
        ),
        (
            "simultaneous-close",
            ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT"],
            ["LISTEN", "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT"],
        ),
    ],
)
def test_an_ordinary_user_sees_every_state_stand_still(
    name: str, client: list[str], server: list[str], live: None
) -> None:
    done = as_ordinary_user("step", name, "--script", "-", "--json", stdin="a")
    if done.returncode == 3:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["standing"] == {"client": client, "server": server}
    for one in document["steps"]:
        assert one["after"][one["receiver"]]["state"] in one["outcome"]


# ---------------------------------------------------------------- on a terminal


def test_on_a_terminal_as_a_user_would(live: None) -> None:
    with terminal("step", "simultaneous-close") as screen:
        screen.until("> S 0:0(0)", "server LISTEN", "SYN_RECEIVED", "Enter")
        for held in ("< S. 0:0(0) ack 1", "> . 1:1(0) ack 1", "> P. 1:8(7) ack 1", "< . 1:1(0) ack 8"):
            screen.press("\r")
            screen.until(f"1 {held}")
        screen.press("\r")
        screen.until("1 > F. 8:8(0) ack 1", "2 < F. 1:1(0) ack 8", "FIN_WAIT_1")
        screen.press("2")
        screen.until("2 < F. 1:1(0) ack 8")
        screen.press(" ")
        screen.until("the client is in CLOSING, as RFC 9293 3.10.7.4 says")
        screen.press("?")
        screen.until("lose the marked segment")
        screen.press("a")
        screen.until("the scenario is over", "TIME_WAIT")
        before = termios.tcgetattr(screen.descriptor)
        screen.press("q")
        assert screen.ended() == 0
        assert "CLOSING" in screen.seen, "the ladder is left on the terminal"
        after = termios.tcgetattr(screen.descriptor)
        assert not before[3] & termios.ECHO
        assert after[3] & termios.ECHO, "and the terminal is as it was"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_from_outside_it_leaves_the_terminal_as_it_was(number: signal.Signals, live: None) -> None:
    with terminal("step", "four-way-close") as screen:
        screen.until("> S 0:0(0)")
        os.kill(screen.pid, number)
        assert screen.ended() == 0
        assert termios.tcgetattr(screen.descriptor)[3] & termios.ECHO


def test_killed_it_leaves_nothing_running(live: None) -> None:
    with terminal("step", "four-way-close") as screen:
        screen.until("> S 0:0(0)")
        children = psutil.Process(screen.pid).children(recursive=True)
        assert children, "tcpdump and the link"
        os.kill(screen.pid, signal.SIGKILL)
        os.waitpid(screen.pid, 0)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
