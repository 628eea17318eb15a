"""`testbed list`: what there is to run."""

from __future__ import annotations

import click

from ..scenarios import SECTIONS, catalogue
from .output import print_json


@click.command("list")
@click.option("--long", "long_form", is_flag=True, help="With the lesson and the transcript of each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(long_form: bool, as_json: bool) -> int:
    """What there is to run: the catalogue of experiments, by section.

    \b
    testbed list
    testbed list --long | less
    testbed list --json
    """
    rows = list(catalogue().values())
    if as_json:
        print_json(
            {
                "schema": "testbed.list/1",
                "scenarios": [
                    {
                        "name": row.name,
                        "section": row.section,
                        "title": row.title,
                        "rfc": row.rfc,
                        "lesson": row.lesson,
                        "seconds": row.seconds,
                        "transcripts": [
                            [line.strip() for line in text.splitlines() if line.strip()]
                            for text in row.transcripts
                        ],
                        "findings": list(row.findings),
                    }
                    for row in rows
                ],
            }
        )
        return 0
    wide = max(len(row.name) for row in rows)
    for folder, title in SECTIONS:
        click.echo(title)
        for row in (r for r in rows if r.section == folder):
            takes = f"  ({row.seconds:.0f} s)" if row.seconds >= 5 else ""
            click.echo(f"  {row.name:{wide}}  {row.title}{takes}")
            if long_form:
                click.echo(click.wrap_text(f"{row.lesson} ({row.rfc})", 100, "      ", "      "))
                if row.findings:
                    click.echo(f"      finds {', '.join(row.findings)}: testbed explain --code CODE")
                for line in filter(None, (text.strip() for text in row.transcripts[0].splitlines())):
                    click.echo(f"        {line}")
        click.echo()
    click.echo("testbed run NAME runs one, testbed run --all all of them side by side.")
    return 0
