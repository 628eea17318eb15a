"""Servers that others wrote, with what is known of them from their documentation and sources.

Not every verdict is held against them here, as those change with their versions: what must hold is that the
suite can be put to them in full, and those verdicts that follow from what they are.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from testbed.verify.outcome import Verdict
from testbed.verify.plan import Plan
from testbed.verify.result import Result

from .verifying import Found, plan, together

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


def served(cwd: Path, *command: str) -> Plan:
    """The plan for a server that serves the pages above from `cwd`."""
    return plan(*command, cwd=cwd, grace=4, idle=8, slow_path="/slow", large_path="/large")


def uvicorn(cwd: Path) -> Plan:
    (cwd / "app.py").write_text(ASGI)
    words = ("-m", "uvicorn", "app:app", "--port", "{port}", "--log-level", "warning")
    return served(cwd, sys.executable, *words, "--timeout-keep-alive", "2")


def aiohttp(cwd: Path) -> Plan:
    (cwd / "app.py").write_text(AIOHTTP)
    return served(cwd, sys.executable, "app.py", "{port}")


def nginx(cwd: Path) -> Plan:
    html = cwd / "html"
    html.mkdir()
    (html / "index.html").write_text("hello")
    (html / "slow").write_bytes(b"x" * 4500)
    (html / "large").write_bytes(b"x" * (1 << 20))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {cwd}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (cwd / "nginx.conf").write_text(user + NGINX.format(paths=paths))
    return served(cwd, PROGRAMS["nginx"] or "", "-p", str(cwd), "-c", "nginx.conf")


PROGRAMS = {"nginx": shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")}
SERVERS = {"uvicorn": uvicorn, "aiohttp": aiohttp, "nginx": nginx}


def lacking(name: str) -> str:
    """Why a server cannot be had here; "" where it can."""
    if name in PROGRAMS:
        return "" if PROGRAMS[name] else f"{name} is not installed: ./ci/setup --tests installs it"
    there = importlib.util.find_spec(name) is not None
    return "" if there else f"{name} is not installed: {sys.executable} -m pip install {name}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, live: None) -> Mapping[str, Found]:
    """All that are there, side by side."""
    there = {name: make for name, make in SERVERS.items() if not lacking(name)}
    return together({name: (make(tmp_path_factory.mktemp(name)), ()) for name, make in there.items()})


def results(name: str, found: Mapping[str, Found]) -> dict[str, Result]:
    """Every check of a server, by id; none of them inconclusive, none skipped."""
    if reason := lacking(name):
        pytest.skip(reason)
    server = found[name]
    assert not server.problem
    assert not {Verdict.INCONCLUSIVE, Verdict.SKIPPED} & set(server.verdicts.values()), server.said
    # what no server worth its name gets wrong
    for check in ("close-back", "stop-idle", "client-reset", "rebind", "descriptor-leak", "stop-in-flight"):
        assert not server.results[check].verdict.bad, server.said
    return server.results


def test_uvicorn(found: Mapping[str, Found]) -> None:
    # --timeout-keep-alive is 2 s above; a connection that never sent a byte has no limit
    idle = results("uvicorn", found)["idle-timeout"].telling.measured
    assert idle["fresh_seconds"] is None
    assert 1.5 < idle["idle_seconds"] < 4


def test_aiohttp(found: Mapping[str, Found]) -> None:
    mine = results("aiohttp", found)
    # tcp_keepalive=True is its default, with the kernel's numbers
    assert mine["keepalive-option"].telling.measured["armed"] is True
    # "client_max_size" is 1 MiB: the upload of 2 is refused
    assert mine["early-reply"].telling.measured["early"] is True


def test_nginx(found: Mapping[str, Found]) -> None:
    mine = results("nginx", found)
    # keepalive_timeout and client_header_timeout are 2 s above
    assert 1.5 < mine["idle-timeout"].telling.measured["idle_seconds"] < 4
    assert mine["stalled-request"].verdict is Verdict.PASS
    # lingering_close is its default
    assert mine["early-reply"].verdict is Verdict.PASS
    # its worker neither watches for its master nor dies with it
    assert mine["kill"].verdict is Verdict.WARN
