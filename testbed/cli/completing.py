"""What a shell may offer behind a word: names out of the program's own tables, read when asked for."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem


def _beginning(incomplete: str, rows: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    """Those whose name begins so, with what zsh and fish show beside it."""
    return [CompletionItem(name, help=told) for name, told in rows if name.startswith(incomplete)]


def scenarios(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Those that were not named yet; for `step`, those that can be stepped through."""
    from ..scenarios import catalogue
    from ..stepper.session import why_not

    named = ctx.params.get("names") or ()
    rows = [row for row in catalogue().values() if row.name not in named]
    if ctx.info_name == "step":
        rows = [row for row in rows if not why_not(row)]
    return _beginning(incomplete, ((row.name, row.title) for row in rows))


def findings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from ..findings import RULES

    return _beginning(incomplete, ((rule.code, rule.title) for rule in RULES))


def checks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from ..verify.checks import CHECKS

    return _beginning(incomplete, ((check.id, check.question) for check in CHECKS.values()))


def interfaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    import socket

    return _beginning(incomplete, ((name, "") for _, name in socket.if_nameindex()))


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shell knows them best."""
    return [CompletionItem(incomplete, type="file")]


def server_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Behind `--ending` the endings; the servers' other options are argparse's."""
    from ..servers.endings import ENDINGS

    words = ctx.params.get("options") or ("",)
    if words[-1] != "--ending":
        return []
    return _beginning(incomplete, ((row.name, row.does) for row in ENDINGS.values()))
