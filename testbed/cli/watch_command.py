"""`testbed watch`: connections as the kernel shows them, live."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from ..errors import UsageError
from ..net.libc import require_linux
from ..watch.display import JsonLines, Lines, Table
from ..watch.events import Account
from ..watch.live import Settings, watch
from . import completing
from .output import ascii_only, console


@click.command("watch")
@click.option(
    "--port",
    "ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    metavar="N",
    help="Connections with port N at either end; may be repeated.",
)
@click.option(
    "--pid",
    "pids",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="Those of process N and of all that it starts; may be repeated.",
)
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="TEXT",
    help="Those of processes with TEXT in their name or command line, new ones too.",
)
@click.option(
    "--netns",
    type=click.IntRange(1),
    metavar="PID",
    help="In the network that process PID is in, a container's.",
)
@click.option(
    "--tracepoints/--no-tracepoints",
    default=True,
    help="As root, hear the kernel's tracepoints too: what is shorter than the interval, who reset and why.",
)
@click.option(
    "--capture",
    metavar="INTERFACE",
    shell_complete=completing.interfaces,
    help="Capture there too (lo, eth0, any), and explain each connection that has ended by its packets.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.01, 60),
    default=0.1,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks at the kernel's tables.",
)
@click.option(
    "--leak-after",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="So long in CLOSE_WAIT, sending nothing, is a leak; so is a descriptor so long after the end.",
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), metavar="N", help="End after N seconds.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End when N connections have ended.")
@click.option("--all", "everything", is_flag=True, help="Show TIME_WAIT and listeners in the table too.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each event (testbed.watch/1).")
@click.option("--fail-on-leak", is_flag=True, help="Exit 1 where a connection or a descriptor was a leak.")
def command(
    ports: tuple[int, ...],
    pids: tuple[int, ...],
    commands: tuple[str, ...],
    netns: int | None,
    tracepoints: bool,
    capture: str | None,
    interval: float,
    leak_after: float,
    seconds: float | None,
    count: int | None,
    everything: bool,
    as_json: bool,
    fail_on_leak: bool,
) -> int:
    """Watch connections while they live: their states and how long in each, queues, timers, who holds
    them; a line when one opens, closes, is reset or leaks.  Without --port, --pid or --command: all
    of this network's.  Ctrl-C ends it with an account.  Several ports, or several processes, are any of
    them; a port and a process are both.

    No rule or setting is changed, and no packet captured without --capture.  An ordinary user sees
    the states of everybody's connections and the holders of his own; root sees all holders, and has
    the kernel's tracepoints for what is shorter than the interval.

    \b
    testbed watch --port 8080
    testbed watch --command nginx --leak-after 30
    testbed watch --netns $(docker inspect -f '{{.State.Pid}}' web) --port 80
    testbed watch --port 8080 --seconds 60 --fail-on-leak --json > events.jsonl
    """
    require_linux("watching connections")
    settings = Settings(
        ports,
        pids,
        tuple(filter(None, commands)),
        netns,
        tracepoints,
        capture,
        interval,
        leak_after,
        seconds,
        count,
    )
    if len(settings.commands) != len(commands):
        raise UsageError("--command wants a text: every command line holds the empty one")
    display = _display(_subject(settings), as_json=as_json, everything=everything)
    account = asyncio.run(_watch(settings, display))
    return int(fail_on_leak and account.leaked + account.held > 0)


def _display(subject: str, *, as_json: bool, everything: bool) -> JsonLines | Lines | Table:
    if as_json:
        return JsonLines(sys.stdout, subject)
    out = console()
    if out.is_terminal and not out.is_dumb_terminal:
        return Table(out, subject, ascii_only=ascii_only(), everything=everything)
    return Lines(out, subject, ascii_only=ascii_only())


async def _watch(settings: Settings, display: JsonLines | Lines | Table) -> Account:
    """Until a signal says that it is enough; a second one ends it at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    ending = (signal.SIGINT, signal.SIGTERM)

    def enough() -> None:
        stop.set()
        for number in ending:
            loop.remove_signal_handler(number)

    for number in ending:
        loop.add_signal_handler(number, enough)
    account = None
    try:
        account = await watch(settings, display, stop)
    finally:
        display.end(account)
    return account


def _subject(settings: Settings) -> str:
    """What is watched, in a few words."""
    parts = [f"port {port}" for port in settings.ports]
    parts += [f"process {pid}" for pid in settings.pids]
    parts += [f"command {text}" for text in settings.commands]
    where = f" in the network of process {settings.netns}" if settings.netns is not None else ""
    return (" ".join(parts) or "all connections") + where
