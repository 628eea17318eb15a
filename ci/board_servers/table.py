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
    note      what its cells owe to how it is run here, and why some checks have nothing to ask of it
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
_NO_HANDLER: Final = (
    "There is no handler of SIGTERM: the signal's default action ends it, and the kernel closes its "
    "connections."
)
_OWN_HANDLER: Final = (
    "The program has no handler of SIGTERM. Node's own puts the terminal right and raises the signal again, "
    "whose default action ends it; the kernel closes its connections."
)
_HEARTBEAT: Final = "`--timeout` is the heartbeat of a worker, not a limit of a connection"
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
        "{bin}/hypercorn --bind 127.0.0.1:{port} --keep-alive 3 --graceful-timeout 4 asgi:app",
        ("hypercorn",),
    ),
    Configuration(
        "daphne",
        "{bin}/daphne -p {port} --http-timeout 3 asgi:app",
        ("daphne",),
        note="A connection on which nothing comes ends after twisted.web's 60 s, which no option changes: "
        "longer than is watched here. `--http-timeout` is the time for a reply.",
    ),
    Configuration(
        "granian",
        "{bin}/granian --interface asgi --port {port} --http1-header-read-timeout 3000 asgi:app",
        ("granian",),
    ),
    Configuration(
        "gunicorn, sync",
        f"{_GUNICORN} wsgi:app",
        ("gunicorn",),
        note=f"{_HEARTBEAT}: a client for which one of the two workers waits 3 s has it aborted, and that is "
        "what ends its connection. Two that stall hold up everybody else: it is made for a place behind a "
        "proxy that buffers. At the stop `--graceful-timeout 4` ends a connection without a request. A "
        "worker looks for its master every half of `--timeout`: 15 s as shipped, which `kill` would warn of.",
    ),
    Configuration(
        "gunicorn, gthread",
        f"{_GUNICORN} --threads 4 wsgi:app",
        ("gunicorn",),
        note="At the stop `--graceful-timeout 4` is what ends a connection without a request (30 s as "
        "shipped); one that was served is kept for 2 s, and a request on it is answered with Connection: "
        f"close. {_HEARTBEAT}.",
    ),
    Configuration(
        "gunicorn, uvicorn-worker",
        f"{_GUNICORN} --worker-class uvicorn_worker.UvicornWorker asgi:app",
        ("gunicorn", "uvicorn-worker", "uvicorn"),
    ),
    Configuration(
        "waitress",
        "{bin}/waitress-serve --listen 127.0.0.1:{port} --channel-timeout 3 --cleanup-interval 1 wsgi:app",
        ("waitress",),
        note=_NO_HANDLER,
    ),
    Configuration("aiohttp", "{python} with_aiohttp.py", ("aiohttp",)),
    Configuration(
        "tornado",
        "{python} with_tornado.py",
        ("tornado",),
        note="There is no drain: `close_all_connections()`, called on SIGTERM, closes those with a request "
        "under way too.",
    ),
    Configuration("twisted", "{python} with_twisted.py", ("twisted",)),
    Configuration(
        "sanic",
        "{bin}/sanic with_sanic:app --host 127.0.0.1 --port {port}",
        ("sanic",),
        note="The FIN behind a reply that was under way at the stop comes when `GRACEFUL_SHUTDOWN_TIMEOUT` "
        "is over: 4 s here.",
    ),
    Configuration(
        "http.server",
        "{python} with_http_server.py",
        python="3.12",
        note=_NO_HANDLER,
    ),
    Configuration(
        "asyncio streams, 3.11",
        "{python} with_streams.py",
        python="3.11",
        note="The program is that of the two rows below. Before 3.12 `Server.wait_closed()` returns at once, "
        "so that `asyncio.run` cancels what is under way.",
    ),
    Configuration("asyncio streams, 3.12", "{python} with_streams.py", python="3.12"),
    Configuration("asyncio streams, 3.13", "{python} with_streams.py", python="3.13"),
    Configuration(
        "node, no handler", "node with_node.js", program="node", debian="nodejs",
        note=_OWN_HANDLER,
    ),
    Configuration(
        "node, server.close()", "node with_node.js graceful", program="node", debian="nodejs",
        note="SIGTERM calls `server.close()`, which also stops the timer of `headersTimeout`: nothing ends a "
        "connection without a request after that. One whose reply said keep-alive ends with "
        "`keepAliveTimeout` and a second (3 s here, 6 s as shipped).",
    ),
    Configuration("nginx, QUIT", _NGINX, program="nginx", debian="nginx-light"),
    Configuration(
        "nginx, TERM", _NGINX, program="nginx", debian="nginx-light", options="--signal TERM",
        note="TERM is nginx's documented fast shutdown, which cuts off what is under way; QUIT is the "
        "graceful one.",
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
        note="The request under way is a script that is at work for 1.5 s: its only thread is in there, so "
        "that it looks neither at the signal nor at who connects before that is over. (A command that only "
        "waits, such as BLPOP, has nothing to lose.)",
    ),
    Configuration(
        "memcached", "memcached -u nobody -l 127.0.0.1 -p {port} -o idle_timeout=3", program="memcached",
        debian="memcached", tells="-V", options="--protocol tcp --request version.memcached",
        note="No request is under way at its stop: none of them takes a while.",
    ),
)  # fmt: skip
