"""`testbed exec`: any command in a private network."""

from __future__ import annotations

import click

from ..net.command import exec_private


@click.command("exec", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option(
    "--mtu",
    type=click.IntRange(68, 65536),
    default=65536,
    show_default=True,
    help="MTU of the private loopback, in bytes.",
)
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]...")
def command(mtu: int, argv: tuple[str, ...]) -> int:
    """Run CMD in a private network: a loopback and nothing else, gone when CMD has ended, with whatever
    CMD has left running in it.

    As an ordinary user it runs in a user namespace, in which it may capture and set the
    network's TCP settings.  The exit status is CMD's; 128 + N when signal N ended it.

    \b
    testbed exec -- pytest tests/
    testbed exec -- sh -c 'redis-server --port 6379 & sleep 1; ./my-tests'
    """
    return exec_private(list(argv), mtu=mtu)
