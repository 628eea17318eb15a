"""The command line that the three servers share, and the process that it runs.

Prints `listening on HOST:PORT` on stdout once a client can connect; stops as its ending stops on SIGTERM
and SIGINT.  Exit status: 0 stopped, 1 crashed (`crash-on-reset`), 2 bad usage or an address that cannot
be had: one line on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from .endings import ENDINGS
from .listener import Server
from .options import KeepAlive, Limits

__all__ = ["add_options", "describe_endings", "run_command", "run_server", "server_from"]


class _OneLineParser(argparse.ArgumentParser):
    """argparse, but an error is one line: what is wrong, not the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run_command(server_class: type[Server], argv: Sequence[str] | None = None) -> int:
    """Parse, serve until told to stop; the exit status.  Raises nothing on a user's mistake."""
    name = server_class.__module__.rpartition(".")[2]
    if name == "__main__":
        name = server_class.__name__.removesuffix("Server").lower()
    parser = _OneLineParser(
        prog=f"servers.{name}",
        description=(server_class.__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser, server_class)
    try:
        options = parser.parse_args(argv)
        if options.list_endings:
            print(describe_endings())
            return 0
        try:
            server = server_from(server_class, options)
        except ValueError as error:
            parser.error(str(error))
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 2
    logging.basicConfig(level=logging.WARNING, format=f"{parser.prog}: %(message)s")
    return run_server(server, parser.prog)


def add_options(parser: argparse.ArgumentParser, server_class: type[Server]) -> None:
    """Every option of `server_class`, with the class's own defaults."""
    usual = server_class()
    limits = usual.limits
    add = parser.add_argument
    add("--list-endings", action="store_true", help="print the table of endings and leave")
    add("--host", default=usual.host, help="address or name to listen on")
    add("--port", type=int, default=server_class.usual_port, help="0: an ephemeral one")
    add("--ending", default="polite", metavar="NAME", help="one of --list-endings")
    add("--delay", type=float, default=usual.delay, metavar="S", help="seconds, for the endings that wait")
    add("--linger", type=float, default=usual.linger, metavar="S", help="read on after a FIN of its own")
    add("--grace", type=float, default=usual.grace, metavar="S", help="for requests under way at the stop")

    for field, what in (("idle", "before the first probe"), ("interval", "between probes")):
        add(f"--keepalive-{field}", type=int, metavar="S", help=f"SO_KEEPALIVE on: seconds {what}")
    add("--keepalive-count", type=int, metavar="N", help="SO_KEEPALIVE on: probes until the peer is dead")

    add("--backlog", type=int, default=usual.backlog, metavar="N", help="accept queue; it holds N + 1")
    add("--no-reuse-address", action="store_true", help="leave SO_REUSEADDR off")
    add("--no-nodelay", action="store_true", help="leave TCP_NODELAY off (Nagle's algorithm on)")
    add("--receive-buffer", type=int, metavar="BYTES", help="SO_RCVBUF, before the kernel doubles it")
    add("--send-buffer", type=int, metavar="BYTES", help="SO_SNDBUF, before the kernel doubles it")

    no_limit = "; 0: no limit"
    add("--max-frame", type=int, default=limits.frame, metavar="BYTES", help="one request at most")
    for field, seconds, what in (
        ("idle", limits.idle, "without a request under way"),
        ("request", limits.request, "from a request's first byte to its last"),
        ("write", limits.write, "for a client to take a piece of its reply"),
    ):
        add(f"--{field}-timeout", type=float, default=seconds or 0.0, metavar="S", help=what + no_limit)
    server_class.add_own_options(parser)


def server_from(server_class: type[Server], options: argparse.Namespace) -> Server:
    """The server that the parsed options ask for; ValueError says which of them cannot be."""
    keepalive = {
        field: value
        for field in ("idle", "interval", "count")
        if (value := getattr(options, f"keepalive_{field}")) is not None
    }
    arguments: dict[str, Any] = {
        "keepalive": KeepAlive(**keepalive) if keepalive else None,
        "reuse_address": not options.no_reuse_address,
        "no_delay": not options.no_nodelay,
        "limits": Limits(
            frame=options.max_frame,
            idle=options.idle_timeout or None,
            request=options.request_timeout or None,
            write=options.write_timeout or None,
        ),
    }
    for name in (
        "host",
        "port",
        "ending",
        "delay",
        "linger",
        "grace",
        "backlog",
        "receive_buffer",
        "send_buffer",
    ):
        arguments[name] = getattr(options, name)
    return server_class(**arguments, **server_class.own_arguments(options))


def run_server(server: Server, name: str) -> int:
    """Serve in this process until it is told to stop; the exit status."""
    try:
        return asyncio.run(_serve(server, name))
    except KeyboardInterrupt:  # before the handler was in place
        return 128 + signal.SIGINT


async def _serve(server: Server, name: str) -> int:
    told = asyncio.Event()
    insisted = asyncio.Event()

    def interrupted() -> None:
        # A person at a terminal must get out of `ignore-stop` too; a supervisor's SIGTERM need not.
        (insisted if told.is_set() else told).set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        try:
            await server.start()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
            reason = getattr(error, "strerror", None) or str(error)
            print(f"{name}: cannot listen on {_spell(server.host, server.port)}: {reason}", file=sys.stderr)
            return 2
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know; serve all the same
            print(f"listening on {_spell(*server.address)}", flush=True)
        await _first(told.wait(), server.until(lambda it: it.crashed is not None))
        if server.crashed is None:
            await _first(server.stop(), insisted.wait())
    finally:
        await server.close()
    if server.crashed is not None:
        print(f"{name}: crashed: {server.crashed}", file=sys.stderr)
        return 1
    return 0


async def _first(*waits: Any) -> None:
    """Wait until one of these is through; the others are dropped."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def describe_endings() -> str:
    """The table of endings for a terminal."""
    lines = []
    for row in ENDINGS.values():
        lines.append(row.name)
        for label, text in (("does", row.does), ("seen", row.seen), ("why", row.why)):
            lead = f"  {label:<5} "
            lines += textwrap.wrap(text, 100, initial_indent=lead, subsequent_indent=" " * len(lead))
    return "\n".join(lines)


def _spell(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
