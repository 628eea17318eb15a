"""`testbed completion`: what makes a shell complete `testbed`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_TESTBED_COMPLETE"
"""In this variable of its environment `testbed` is told that a shell asks, and which."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes a shell complete commands, options, and the names of scenarios,
    findings, checks and profiles.

    \b
    eval "$(testbed completion bash)"       in this shell; in ~/.bashrc for good
    eval "$(testbed completion zsh)"        in ~/.zshrc, behind compinit
    testbed completion fish > ~/.config/fish/completions/testbed.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # click's own three
    click.echo(found(click.Group(), {}, "testbed", VARIABLE).source())
