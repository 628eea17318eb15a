"""The `testbed` command: a door, with no logic of its own.

What is printed on stdout is the answer; progress and complaints go to stderr.  Exit status: 0 all
as expected, 1 not, 2 bad usage or unreadable input, 3 this machine cannot do it.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from .._version import __version__
from ..errors import Error
from .remarks import remark

COMMANDS = {
    "run": ("run", "Run experiments of the catalogue, live."),
    "step": ("step", "Step through an experiment, one segment at a time: a debugger for TCP."),
    "list": ("list", "What there is to run."),
    "verify": ("verify", "Whether a server opens, idles and says goodbye as it should."),
    "explain": ("explain", "What happened to the connections in a capture file."),
    "scan": ("scan", "Captures of any size: a row for each connection, and the counts."),
    "watch": ("watch", "Connections of a port, a process or a container, live."),
    "exec": ("exec", "Run any command in a private network."),
    "serve": ("serve", "Serve echo, RPC or HTTP, with a chosen way of ending connections."),
    "doctor": ("doctor", "What this machine can do, and the remedy for what it cannot."),
    "completion": ("completion", "Have bash, zsh or fish complete commands and names."),
}
"""Each command: the module of this package it lives in, imported when it is used, and its line."""

START = """\
testbed: did my server close that connection properly?

  testbed run missing-fin          a server that never sends its FIN, live
  testbed list                     what else there is to run
  testbed verify -- ./server       how a server of yours stops, idles and closes
  testbed explain capture.pcap     what happened to the connections in a file
  testbed watch --port 8080        the connections of a running server, live
  testbed doctor                   what this machine can do

`testbed --help` shows all commands, `testbed COMMAND --help` one of them.
"""


class _Lazy(click.Group):
    """Commands whose modules are imported when they are used: `--version` costs no numpy."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}_command")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="testbed", message="%(prog)s %(version)s")
@click.pass_context
def _testbed(ctx: click.Context) -> None:
    """Did my server close that connection properly?

    Live TCP experiments, and verdicts for captures, from three witnesses that are never confused:
    the wire (tcpdump), the kernel, and what the program was told.

    \b
    testbed run missing-fin
    testbed verify -- ./server --port {port}
    testbed explain capture.pcap
    testbed COMMAND --help
    """
    if ctx.invoked_subcommand is None:
        click.echo(START, nl=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.  An error is one line on stderr, never a traceback."""
    try:
        status = _testbed.main(arguments, prog_name="testbed", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        return _complain(" ".join(error.format_message().split()), error.exit_code)
    except Error as error:
        return _complain(str(error), error.exit_status)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has left: `testbed ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain(f"the answer cannot be written: {error.strerror}", 1)


def _complain(text: str, status: int) -> int:
    remark(text)
    return status
