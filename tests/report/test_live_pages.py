"""Pages of what ran just now, opened in Chromium: their main things are there, and hostile text is text.

What is said, and by whom, is the same everywhere: a script, the ends of what a page, a script element and
an SVG are written in, an element that runs when it fails to load, terminal control, marks of direction.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..cli.test_commands import testbed
from ..test_hostile import UNSEEN, assert_inert
from .opening import opened
from .test_page import EVIL as MARKUP

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = f"{MARKUP}]]>\x1b]0;title\x07\u2066"
NAME = EVIL.replace("/", ":")
"""As a file is called."""
SCRIPT = "<script>hacked=1<"
"""What of it must be there to read."""

SERVER = """
import importlib, sys
sys.exit(importlib.import_module(f"testbed.servers.{sys.argv[1]}").main(["--ending", "never", *sys.argv[2:]]))
"""

CLIENTS = """
import contextlib, json, os, socket, ssl, subprocess, sys, time

program, evil = sys.argv[1:]
for kind, port in ("rpc", 2333), ("http", 8080):
    subprocess.Popen([sys.executable, program, kind, "--port", str(port)])
    while f":{port:04X} 00000000:0000 0A" not in open("/proc/net/tcp").read():
        time.sleep(0.01)
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [evil]}).encode()
http = f"GET /{evil} HTTP/1.1\\r\\nHost: {evil}\\r\\nX-Evil: {evil}\\r\\n\\r\\n".encode()
hello = ssl.MemoryBIO()
tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="<script>hacked=1<.evil>")
with contextlib.suppress(ssl.SSLWantReadError):
    tls.do_handshake()
for port, said in (2333, len(body).to_bytes(4, "big") + body), (8080, http), (8080, hello.read()):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(said)
        client.recv(4096)
print("said", flush=True)
"""

HOSTILE_SERVER = f"""
import socketserver, sys

EVIL = {EVIL!r}

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        body = EVIL.encode()
        head = f"HTTP/1.1 500 {{EVIL}}\\r\\nX-Evil: {{EVIL}}\\r\\nContent-Length: {{len(body)}}\\r\\n\\r\\n"
        self.wfile.write(head.encode() + body)
        print(EVIL, flush=True)

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

FAILING = f"""
import pytest

@pytest.mark.parametrize("said", [{EVIL!r}])
async def test_it(tcp_lab, said):
    async with tcp_lab() as lab:
        await lab.serve("rpc", ending="never")
        client = await lab.connect()
        await client.send(said.encode())
        client.half_close()
    assert not said
"""

WINDOWS = ({"width": 1280, "height": 900}, {"width": 390, "height": 844})


def read(browser: Browser, path: Path, *fragments: str) -> tuple[str, str]:
    """All the text of a page, and what its segments say byte by byte: nothing ran, nothing in it steers."""
    texts, said = [], []
    for fragment in fragments or ("",):
        with opened(browser, path, fragment) as page:
            for segment in page.locator("svg.wide .segment:visible").all():
                segment.click()
                texts.append(page.locator("#inspector").inner_text())
                said.append(right_column(page.locator("#inspector .bytes").inner_text()))
            texts += [page.locator("body").inner_text(), page.title()]
            assert page.evaluate("typeof hacked") == "undefined"
            assert page.locator("img, b, style:not(head *), script:not([type]) ~ script").count() == 0
    text = "\n".join(texts).replace("\t", " ")  # between a table's cells
    assert not UNSEEN.search(text)
    return text, "\n".join(said)


def right_column(dump: str) -> str:
    """The readable side of a dump of bytes, which is 20 bytes long at least: a header."""
    lines = dump.splitlines()
    width = (len(lines[0]) - len("000   ")) // len("00 x")
    return "".join(line[6 + 3 * width :] for line in lines if line[3:5] == "  ")


def assert_harmless(folder: Path) -> None:
    """What else was written: drawings in which nothing runs, text that steers no terminal, JSON."""
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert written
    for path in written:
        match path.suffix:
            case ".svg":
                assert_inert(path.read_text(encoding="utf-8"))
            case ".txt" | ".md":
                assert not UNSEEN.search(path.read_text(encoding="utf-8")), path.name
            case ".json":
                assert json.loads(path.read_bytes())


def python_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.usefixtures("live")
def test_what_clients_say_and_servers_are_called(browser: Browser, tmp_path: Path) -> None:
    """An RPC, an HTTP path, header and Host, a TLS server name; the holders' command lines; the folder."""
    server, clients = python_file(tmp_path, f"{NAME}.py", SERVER), python_file(tmp_path, "c.py", CLIENTS)
    out = tmp_path / NAME
    done = testbed("exec", "--out", str(out), "--", sys.executable, str(clients), str(server), EVIL)
    assert done.returncode == 0, done.stderr
    assert "said\n" in done.stdout
    assert not UNSEEN.search(done.stderr) and SCRIPT in done.stderr
    assert_harmless(out)
    text, said = read(browser, out / "index.html", "#connection-1", "#connection-2", "#connection-3")
    assert SCRIPT in text, "the commands are told as they are"
    for sent in (f'["{SCRIPT}', f"GET /{SCRIPT}", f"Host: {SCRIPT}", "<script>hacked=1<.evil>"):
        assert sent in said


@pytest.mark.usefixtures("live")
def test_a_server_that_is_verified(browser: Browser, tmp_path: Path) -> None:
    """Its command line, its replies, its output; the folder that the evidence goes to."""
    server = python_file(tmp_path, f"{NAME}.py", HOSTILE_SERVER)
    out = tmp_path / NAME
    checks = ("--check", "close-back", "--check", "client-reset")
    done = testbed("verify", *checks, "--out", str(out), "--", sys.executable, str(server), "{port}", EVIL)
    assert done.returncode in (0, 1), done.stderr
    assert not UNSEEN.search(done.stdout + done.stderr) and SCRIPT in done.stdout
    assert_harmless(out)
    text, _ = read(browser, out / "index.html")
    assert SCRIPT in text
    _, said = read(browser, out / "close-back/index.html", "#connection-2")
    assert f"HTTP/1.1 500 {SCRIPT}" in said and f"X-Evil: {SCRIPT}" in said


@pytest.mark.usefixtures("live")
def test_a_failing_tests_page(browser: Browser, tmp_path: Path) -> None:
    """Named after its parameter; what the client said are its bytes."""
    python_file(tmp_path, "test_evil.py", FAILING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "--pcap-dir", "kept"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout
    assert not UNSEEN.search(done.stdout + done.stderr)
    assert_harmless(tmp_path / "kept")
    (path,) = (tmp_path / "kept").rglob("index.html")
    text, said = read(browser, path)
    assert SCRIPT in text.replace("\\", "") and SCRIPT in said


# ---- what each command's page must show


def check_connection(page: Page) -> None:
    """A connection as a reader looks for it: told, drawn, its states, its bytes to take away."""
    assert page.locator(".connection:visible .story").inner_text()
    assert page.locator("svg.ladder:visible").count() == 1
    assert page.locator("svg.ladder:visible .segment").count() >= 3
    assert page.locator("svg.states:visible").count() == 1
    assert page.get_by_text("capture.pcap").get_attribute("href")
    assert page.locator(".again code:visible").first.inner_text().startswith("testbed ")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.usefixtures("live")
def test_the_pages_of_a_run(browser: Browser, tmp_path: Path) -> None:
    done = testbed("run", "linger-zero", "refused", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout
    for viewport in WINDOWS:
        with opened(browser, tmp_path / "index.html", viewport=viewport) as page:
            assert page.locator("h1 .verdict").inner_text() == "pass"
            links = [str(a.get_attribute("href")) for a in page.locator(".entries a:visible").all()]
            assert links == ["linger-zero/index.html", "refused/index.html"]
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        with opened(browser, tmp_path / links[0], viewport=viewport) as page:
            assert page.locator("h1").inner_text().startswith("linger-zero: ")
            assert page.get_by_text("checks hold").is_visible()
            assert page.locator(".finding:visible", has_text="reset").count() == 1
            check_connection(page)


@pytest.mark.usefixtures("live")
def test_the_pages_of_a_verification(browser: Browser, tmp_path: Path) -> None:
    server = (sys.executable, "-m", "testbed.servers.http", "--port", "{port}", "--ending", "never")
    names = ("close-back", "stop-idle")
    chosen = [word for name in names for word in ("--check", name)]
    done = testbed("verify", *chosen, "--idle", "1", "--out", str(tmp_path), "--", *server)
    assert done.returncode == 1, done.stderr
    for viewport in WINDOWS:
        with opened(browser, tmp_path / "index.html", viewport=viewport) as page:
            assert page.locator("h1 .verdict").inner_text() == "fail"
            rows = page.locator(".entries tbody tr")
            told = {row.locator("a").inner_text(): row.locator(".verdict").inner_text() for row in rows.all()}
            assert told == {"close-back": "fail", "stop-idle": "pass"}
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        with opened(browser, tmp_path / "close-back/index.html", viewport=viewport) as page:
            assert page.get_by_text("hurts: ").is_visible() and page.get_by_text("change: ").is_visible()
            assert "CLOSE_WAIT" in page.locator(".finding:visible").inner_text()
            check_connection(page)
