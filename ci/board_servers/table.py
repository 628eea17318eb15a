"""The configurations on the board, one line each.

Every server serves the same pages (apps/pages.py).  Limits that a server lets one set are set to about
three seconds, so that one which is still waited for after the board's `--idle` has none, or none that
its documentation names; everything else is as shipped.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Configuration(NamedTuple):
    """One server, as somebody runs it.

    name      its row on the board
    command   {port} is left to `testbed verify`; {python} and {bin} are the interpreter and the folder
              of scripts of the board's environment, or the interpreter that `python` names
    packages  distributions from the package index; the first is the server
    program   what is installed through apt-get as `debian`, and tells its version with `tells`
    python    a version of Python that must be there: ``3.12``
    options   more for `testbed verify`
    note      why some checks have nothing to ask of it, where that is not plain
    """

    name: str
    command: str
    packages: tuple[str, ...] = ()
    program: str = ""
    debian: str = ""
    tells: str = "-v"
    python: str = ""
    options: str = ""
    note: str = ""


HTTP: Final = "--slow-path /slow --large-path /large"
"""What is added for all that name no protocol of their own."""

_GUNICORN: Final = (
    "{bin}/gunicorn --bind 127.0.0.1:{port} --workers 2 --timeout 3 --graceful-timeout 4 --keep-alive 3"
)
_NGINX: Final = "nginx -p . -c nginx.conf"
_APACHE: Final = "sh -c 'RUN=$(mktemp -d) PAGES=$PWD/pages exec apache2 -DFOREGROUND -f $PWD/apache.conf'"

CONFIGURATIONS: Final = (
    Configuration(
        "uvicorn, asyncio",
        "{bin}/uvicorn asgi:app --port {port} --loop asyncio --timeout-keep-alive 3",
        ("uvicorn", "httptools"),
    ),
    Configuration(
        "uvicorn, uvloop",
        "{bin}/uvicorn asgi:app --port {port} --loop uvloop --timeout-keep-alive 3",
        ("uvicorn", "httptools", "uvloop"),
    ),
    Configuration(
        "hypercorn",
        "{bin}/hypercorn --bind 127.0.0.1:{port} --keep-alive 3 --read-timeout 3 --graceful-timeout 4 "
        "asgi:app",
        ("hypercorn",),
    ),
    Configuration("daphne", "{bin}/daphne -p {port} --http-timeout 3 asgi:app", ("daphne",)),
    Configuration(
        "granian",
        "{bin}/granian --interface asgi --port {port} --http1-header-read-timeout 3000 asgi:app",
        ("granian",),
    ),
    Configuration("gunicorn, sync", f"{_GUNICORN} wsgi:app", ("gunicorn",)),
    Configuration("gunicorn, gthread", f"{_GUNICORN} --threads 4 wsgi:app", ("gunicorn",)),
    Configuration(
        "gunicorn, uvicorn-worker",
        f"{_GUNICORN} --worker-class uvicorn_worker.UvicornWorker asgi:app",
        ("gunicorn", "uvicorn-worker", "uvicorn"),
    ),
    Configuration(
        "waitress",
        "{bin}/waitress-serve --listen 127.0.0.1:{port} --channel-timeout 3 --cleanup-interval 1 wsgi:app",
        ("waitress",),
    ),
    Configuration("aiohttp", "{python} with_aiohttp.py", ("aiohttp",)),
    Configuration("tornado", "{python} with_tornado.py", ("tornado",)),
    Configuration("twisted", "{python} with_twisted.py", ("twisted",)),
    Configuration("sanic", "{bin}/sanic with_sanic:app --host 127.0.0.1 --port {port}", ("sanic",)),
    Configuration("http.server", "{python} with_http_server.py", python="3.12"),
    Configuration("asyncio streams, 3.11", "{python} with_streams.py", python="3.11"),
    Configuration("asyncio streams, 3.12", "{python} with_streams.py", python="3.12"),
    Configuration("asyncio streams, 3.13", "{python} with_streams.py", python="3.13"),
    Configuration("node, no handler", "node with_node.js", program="node", debian="nodejs"),
    Configuration("node, server.close()", "node with_node.js graceful", program="node", debian="nodejs"),
    Configuration("nginx, QUIT", _NGINX, program="nginx", debian="nginx-light"),
    Configuration(
        "nginx, TERM", _NGINX, program="nginx", debian="nginx-light", options="--signal TERM",
    ),
    Configuration(
        "haproxy, USR1", "haproxy -f haproxy.cfg", program="haproxy", debian="haproxy",
    ),
    Configuration(
        "lighttpd, INT", "lighttpd -D -f lighttpd.conf", program="lighttpd", debian="lighttpd",
    ),
    Configuration(
        "apache, WINCH", _APACHE, program="apache2", debian="apache2", options="--profile apache",
    ),
    Configuration(
        "redis", "redis-server --save '' --port {port} --timeout 3", program="redis-server",
        debian="redis-server", options="--protocol tcp --request ping.redis --slow-request work.redis",
        note="The request under way is a script that is at work for 1.5 s.  (A command that only waits, "
        "such as BLPOP, has nothing to lose.)",
    ),
    Configuration(
        "memcached", "memcached -u nobody -l 127.0.0.1 -p {port} -o idle_timeout=3", program="memcached",
        debian="memcached", tells="-V", options="--protocol tcp --request version.memcached",
        note="No request is under way at its stop: none of them takes a while.",
    ),
)  # fmt: skip
