"""Servers that others wrote, with what is known of them from their documentation and sources.

Not every verdict is held against them here, as those change with their versions: what must hold is that the
suite can be put to them in full, and those verdicts that follow from what they are.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from testbed.verify.outcome import Verdict
from testbed.verify.plan import Plan
from testbed.verify.profiles import recognise
from testbed.verify.report import told
from testbed.verify.result import Result, by_check
from testbed.verify.verification import verify

pytestmark = [pytest.mark.usefixtures("live"), pytest.mark.timeout(300)]

ASGI = """
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(0.7)
    body = b"x" * (1 << 20) if scope["path"] == "/large" else b"hello"
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})
"""

AIOHTTP = """
import asyncio
import sys

from aiohttp import web


async def page(request):
    await request.read()
    if request.path == "/slow":
        await asyncio.sleep(0.7)
    return web.Response(body=b"x" * (1 << 20) if request.path == "/large" else b"hello")


app = web.Application()
app.router.add_route("*", "/{path:.*}", page)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""

NGINX = """
daemon off;
error_log stderr;
pid nginx.pid;
events {{}}
http {{
    access_log off;
    keepalive_timeout 2;
    client_header_timeout 2;
    {paths}
    server {{
        listen 127.0.0.1:8000;
        root html;
        location /slow {{ limit_rate 3000; }}
    }}
}}
"""

PAGES = {"slow_path": "/slow", "large_path": "/large"}


def results(command: tuple[str, ...], cwd: Path) -> dict[str, Result]:
    """Every check, by id; none of them inconclusive, none skipped."""
    row = recognise(command)
    done = verify(
        Plan(
            command=command,
            profile=row,
            stop=row.stop,
            grace=4,
            idle=8,
            env=tuple(os.environ.items()),
            cwd=cwd,
            slow_path=PAGES["slow_path"],
            large_path=PAGES["large_path"],
        )
    )
    unclear = [told(r) for r in done.results if r.verdict in (Verdict.INCONCLUSIVE, Verdict.SKIPPED)]
    assert not unclear
    found = by_check(done.results)
    # what no server worth its name gets wrong
    for name in ("close-back", "stop-idle", "client-reset", "rebind", "descriptor-leak", "stop-in-flight"):
        assert not found[name].verdict.bad, told(found[name])
    return found


def without(name: str) -> str:
    return f"{name} is not installed: {sys.executable} -m pip install {name}"


def test_uvicorn(tmp_path: Path) -> None:
    if importlib.util.find_spec("uvicorn") is None:
        pytest.skip(without("uvicorn"))
    (tmp_path / "app.py").write_text(ASGI)
    command = (sys.executable, "-m", "uvicorn", "app:app", "--port", "{port}", "--log-level", "warning")
    found = results(command, tmp_path)
    # --timeout-keep-alive is 5 s; a connection that never sent a byte has no limit
    idle = found["idle-timeout"].telling.measured
    assert idle["fresh_seconds"] is None
    assert 4.5 < idle["idle_seconds"] < 7


def test_aiohttp(tmp_path: Path) -> None:
    if importlib.util.find_spec("aiohttp") is None:
        pytest.skip(without("aiohttp"))
    (tmp_path / "app.py").write_text(AIOHTTP)
    found = results((sys.executable, "app.py", "{port}"), tmp_path)
    # tcp_keepalive=True is its default, with the kernel's numbers
    assert found["keepalive-option"].telling.measured["armed"] is True
    # "client_max_size" is 1 MiB: the upload of 2 is refused
    assert found["early-reply"].telling.measured["early"] is True


def test_nginx(tmp_path: Path) -> None:
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    html = tmp_path / "html"
    html.mkdir()
    (html / "index.html").write_text("hello")
    (html / "slow").write_bytes(b"x" * 4500)
    (html / "large").write_bytes(b"x" * (1 << 20))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(user + NGINX.format(paths=paths))
    found = results((program, "-p", str(tmp_path), "-c", "nginx.conf"), tmp_path)
    # keepalive_timeout and client_header_timeout are 2 s above
    assert 1.5 < found["idle-timeout"].telling.measured["idle_seconds"] < 4
    assert found["stalled-request"].verdict is Verdict.PASS
    # lingering_close is its default
    assert found["early-reply"].verdict is Verdict.PASS
    # its worker neither watches for its master nor dies with it
    assert found["kill"].verdict is Verdict.WARN
