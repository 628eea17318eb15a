"""`testbed doctor`: what this machine can do."""

from __future__ import annotations

import click
from rich.text import Text

from ..doctor import examine, verdict
from .output import console, print_json


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(as_json: bool) -> int:
    """What this machine can do, found by trying, and the remedy for what it cannot.

    \b
    testbed doctor
    testbed doctor --json
    """
    found = examine()
    if as_json:
        print_json({"schema": "testbed.doctor/1", "capabilities": [c._asdict() for c in found]})
        return 0
    out = console()
    wide = max(len(c.name) for c in found)
    told: dict[str, str] = {}
    for capability in found:
        mark, style = ("yes", "green") if capability.available else ("no ", "yellow")
        out.print(Text.assemble((mark, style), f"  {capability.name:{wide}}  {capability.detail}"))
        if not capability.available:
            first = told.setdefault(capability.remedy, capability.name)
            remedy = capability.remedy if first == capability.name else f"as of {first}"
            for label, text in (("without it", capability.without), ("remedy", remedy)):
                out.print(Text(f"     {'':{wide}}  {label}: {text}"))
    out.print()
    out.print(verdict(found))
    return 0
