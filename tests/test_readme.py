"""Every block of the README does what it says: commands run, and what is shown is what comes out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from testbed.net import rtnetlink
from testbed.net.links import raise_link
from testbed.net.private import PrivateNetwork

from .conftest import ROOT
from .conversations import segments_of
from .explanation.test_reading import write
from .terminal import terminal

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines() if line]
SHOWN = [text for language, text in BLOCKS if language == "text"]
LADDER, SCREEN, HOLDING, LAYOUT = SHOWN
(EXAMPLE,) = [text for language, text in BLOCKS if language == "python"]
(SETTINGS,) = [text for language, text in BLOCKS if language == "toml"]

ELSEWHERE: Mapping[str, str] = {
    "pip install .": "tests/test_packaging.py installs the wheel into an empty folder",
    "testbed step simultaneous-close": "needs a terminal, and gets one below",
}
"""Lines that are not run here, and what else holds them to it."""

INSTEAD: Mapping[str, str] = {"--all": "handshake"}
"""Words that are replaced: the catalogue takes more than a minute, and tests/scenarios runs all of it."""

VERDICTS = {0, 1}
"""uvicorn's shutdown is not ours to promise: there are runs in which it drops a queued request."""

APP = """
import asyncio

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/report":
        await asyncio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"ok\\n"})
"""
SERVER = "#!/bin/sh\nexec uvicorn app:app --port $PORT --timeout-keep-alive 2\n"
TEST = """
import socket

def test_a_call():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()
"""
MISSING_FIN = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
    > P. 1:9(8) ack 1
    < . 1:1(0) ack 9
    > F. 9:9(0) ack 1
    < . 1:1(0) ack 10
    @ 5
    < . 0:0(0) ack 10
    > . 10:10(0) ack 1
"""
CLOSED = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
"""
CAPTURES = {
    "incident.pcapng": MISSING_FIN,
    "incident.pcap": MISSING_FIN,
    "big.pcap": CLOSED,
    "captures/monday.pcap": CLOSED,
}


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def a_users_project(folder: Path) -> Path:
    """What the README's commands take for granted."""
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "test_call.py").write_text(TEST)
    (folder / "app.py").write_text(APP)
    program(folder / "server", SERVER)
    program(
        folder / "integration-tests", f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pytest -q tests\n"
    )
    (folder / "captures").mkdir()
    for name, text in CAPTURES.items():
        write(folder / name, segments_of(text))
    return folder


def typed(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What comes of typing it."""
    words = " ".join(INSTEAD.get(word, word) for word in line.split())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", words],
        cwd=ROOT if line.startswith("./ci/") else a_users_project(folder),
        env={**os.environ, "PATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.fixture(scope="module")
def results(
    live: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[subprocess.CompletedProcess[str]]]]:
    """All of them, side by side: they mostly wait.  In a network that has an eth0."""
    folder = tmp_path_factory.mktemp("readme")
    lines = [line for line in COMMANDS if line not in ELSEWHERE]
    with PrivateNetwork():
        names = [rtnetlink.attribute(rtnetlink.IFLA_IFNAME, name) for name in (b"eth0\0", b"eth1\0")]
        rtnetlink.add_veth(*names)
        raise_link("eth0")
        raise_link("eth1")
        with ThreadPoolExecutor(4) as pool:
            yield {line: pool.submit(typed, line, folder / str(n)) for n, line in enumerate(lines)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("line", [line for line in COMMANDS if line not in ELSEWHERE])
def test_a_command(line: str, results: Mapping[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    done = results[line].result()
    judged = VERDICTS if line.startswith("testbed verify ") and " -- " in line else {0}
    assert done.returncode in judged, f"{line}\n{done.stdout}\n{done.stderr}"
    assert done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_no_line_is_excused_that_is_not_there() -> None:
    assert set(ELSEWHERE) <= set(COMMANDS)
    assert {language for language, _ in BLOCKS} == {"sh", "text", "python", "toml"}


# ---------------------------------------------------------------- what is shown


def segments_in(ladder: str) -> Counter[str]:
    """The segments on a ladder, by direction.  The order of both ends' probes is not always the same."""
    segment = r"[SFRP.]+ \d+:\d+\(\d+\)(?: ack \d+)?(?:  keep-alive(?:-ack)?)?"
    arrows = re.findall(rf"[┊┃](◀?)─* ((?>{segment}))(?!  never sent)", ladder)
    return Counter(f"{'<' if left else '>'} {segment}" for left, segment in arrows)


def test_the_ladder(results: Mapping[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    drawn = results["./ci/demo"].result().stdout
    assert segments_in(LADDER).total() == 13
    assert segments_in(drawn) == segments_in(LADDER)
    for words in ("F. 255:255(0) ack 106  never sent", "▲ missing-fin", "▲ keepalive-probes", "s of silence"):
        assert words in LADDER and words in drawn
    for code in re.findall(r"^(?:error|warning|info) [a-z-]+:", LADDER, re.MULTILINE):
        assert code in drawn


def test_the_picture_shows_the_same() -> None:
    (path,) = re.findall(r"^!\[.+\]\((docs/.+\.svg)\)$", README, re.MULTILINE)
    drawn = "".join(ElementTree.parse(ROOT / path).getroot().itertext())
    for segment in segments_in(LADDER):
        notation, _, note = segment[2:].partition("  ")
        assert notation in drawn and note in drawn
    assert "F. 255:255(0) ack 106" in drawn and "never sent" in drawn and "s of silence" in drawn


def _steady(line: str) -> list[str]:
    """Its pieces, without what is never twice the same: how wide its blanks are, how long a timer runs."""
    return [piece for piece in re.split(r" in \d+\.\d s", " ".join(line.split())) if piece]


def test_the_screen_of_step(live: None) -> None:
    with terminal("step", "simultaneous-close") as screen:
        screen.until("> S 0:0(0)", "Enter")
        for held in ("< S. 0:0(0) ack 1", "> . 1:1(0) ack 1", "> P. 1:8(7) ack 1", "< . 1:1(0) ack 8"):
            screen.press("\r")
            screen.until(f"1 {held}", "q quit")
        screen.press("\r")
        screen.until(*(piece for line in SCREEN.splitlines() for piece in _steady(line)))
        screen.press("q")
        assert screen.ended() == 0


LEAKING = (
    "\n\nLEFT = []\n"
    + "\n" * 12
    + """\
async def handle(reader, writer):
    await reader.readline()
    writer.write(b"hello")
    LEFT.append(writer)
"""
)
FAILING = """
import asyncio
import app

async def test_says_goodbye(tcp_lab):
    async with tcp_lab() as lab:
        server = await asyncio.start_server(app.handle, "127.0.0.1", 0)
        lab.at(*server.sockets[0].getsockname())
        client = await lab.connect()
        await client.send(b"hello\\n")
        client.half_close()
        await lab.see_gone("server", timeout=0.3)
"""


def test_the_first_test_of_a_project(pytester: pytest.Pytester, live: None) -> None:
    """As the README has it, with the settings that it gives: it passes, and nothing is warned of."""
    (pytester.path / "pyproject.toml").write_text(SETTINGS)
    pytester.makepyfile(test_goodbye=EXAMPLE)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)
    assert "Warning" not in f"{done.stdout}{done.stderr}"


def test_the_line_that_holds(pytester: pytest.Pytester, live: None) -> None:
    """The lines are where the README has them: 3, 16, and 19."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    (pytester.path / "app.py").write_text(LEAKING)
    pytester.makepyfile(test_app=FAILING)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    told = "\n".join(line.removeprefix("E").strip() for line in result.outlines)
    for line in HOLDING.splitlines():
        assert line.strip() in told


def test_the_layout_names_every_part() -> None:
    parts = {path.name.removesuffix(".py") for path in (ROOT / "testbed").iterdir()}
    unseen = {"__init__", "__main__", "_version", "__pycache__", "py.typed", "errors", "schema", "doctor"}
    assert {part for part in parts - unseen if not re.search(rf"\b{part}\b", LAYOUT)} == set()
