"""`testbed serve`: the servers under study, by hand."""

from __future__ import annotations

import importlib

import click

from . import completing


@click.command("serve", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("protocol", type=click.Choice(["echo", "rpc", "http"]))
@click.argument(
    "options",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[OPTIONS OF THE SERVER]...",
    shell_complete=completing.server_words,
)
def command(protocol: str, options: tuple[str, ...]) -> int:
    """Serve echo, RPC or HTTP until Ctrl-C, with a chosen way of ending connections.

    \b
    testbed serve rpc --port 2333 --ending never
    testbed serve echo --list-endings
    testbed serve http --help
    """
    status: int = importlib.import_module(f"testbed.servers.{protocol}").main(list(options))
    return status
