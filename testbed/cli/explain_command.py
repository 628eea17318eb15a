"""`testbed explain`: what happened to the connections in a capture file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.text import Text

from ..errors import UsageError
from ..explanation import Explained, Explanation, explain
from ..findings import RULES, Rule, Severity
from ..render import ladder as ladders
from ..render import svg
from ..render.escape import visible
from .output import STYLE, console, print_json, print_ladder, print_story, wrapping

LADDER_SEGMENTS = 60
"""The most segments of a connection that a ladder on the terminal shows."""


@click.command("explain")
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--connection", "numbers", type=click.IntRange(1), multiple=True, help="Only connection N.")
@click.option("--finding", "code_wanted", metavar="CODE", help="Only connections with this finding.")
@click.option("--host", help="Only connections with this address at either end.")
@click.option("--port", help="Only connections with this port at either end.")
@click.option(
    "--limit", type=click.IntRange(0), default=20, show_default=True, help="Connections told at most."
)
@click.option("--ladder/--no-ladder", default=None, help="Draw them; by default when one is told.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout (testbed.explain/1).")
@click.option("--segments", is_flag=True, help="With --json: every segment of every connection.")
@click.option(
    "--fail-on", type=click.Choice(["error", "warning"]), help="Exit 1 where a finding is this bad."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write a ladder (SVG) for each to DIR."
)
@click.option("--code", metavar="CODE", help="Explain a finding's code instead of a file.")
def command(
    files: tuple[str, ...],
    numbers: tuple[int, ...],
    code_wanted: str | None,
    host: str | None,
    port: str | None,
    limit: int,
    ladder: bool | None,
    as_json: bool,
    segments: bool,
    fail_on: str | None,
    out: Path | None,
    code: str | None,
) -> int:
    """What happened to the connections in a capture: how each opened, who closed first, what was wrong.

    Reads pcap, pcapng, either gzipped, and what tcpdump printed, with or without hex; - is stdin.

    \b
    testbed explain incident.pcapng
    testbed explain incident.pcapng --finding missing-fin --ladder
    tcpdump -r incident.pcap -n | testbed explain -
    testbed explain --code missing-fin
    """
    if code is not None:
        return _tell_rule(_rule(code), as_json)
    if segments and not as_json:
        raise UsageError("--segments goes with --json; a ladder shows them as text: --ladder")
    if not files:
        raise UsageError("say which capture to explain: testbed explain FILE...")
    if code_wanted is not None:
        _rule(code_wanted)
    explanation = explain(*files, segments=segments or "-" in files)  # stdin cannot be read again
    chosen = [
        e
        for e in explanation.connections
        if (not numbers or e.id in numbers)
        and (code_wanted is None or any(f.code == code_wanted for f in e.findings))
        and (host is None or any(host == a.host for a in e.connection.addresses))
        and (port is None or any(port == a.port for a in e.connection.addresses))
    ]
    if numbers and max(numbers) > len(explanation.connections):
        raise UsageError(f"there is no connection {max(numbers)}: {len(explanation.connections)} were found")
    drawn = chosen[:limit] if not as_json and (ladder or (ladder is None and len(chosen) == 1)) else []
    whole = _with_segments(files, drawn if out is None else chosen)
    if as_json:
        document = explanation.to_json(segments=segments)
        wanted = {e.id for e in chosen}
        document["connections"] = [c for c in document["connections"] if c["id"] in wanted]
        print_json(document)
    else:
        _show(explanation, chosen, limit, {e.id: whole[e.id] for e in drawn})
    if out is not None:
        _write(whole.values(), out)
    if fail_on is None:
        return 0
    if not chosen:
        click.echo("testbed: inconclusive: no connection was seen that could be judged", err=True)
        return 1
    return int(any(f.severity.rank <= Severity(fail_on).rank for e in chosen for f in e.findings))


def _with_segments(files: tuple[str, ...], wanted: list[Explained]) -> dict[int, Explained]:
    """The same connections with their segments, by id: read again for those that have none yet."""
    if not all(explained.connection.exchanges for explained in wanted):
        ids = {explained.id for explained in wanted}
        wanted = [e for e in explain(*files, segments=ids).connections if e.id in ids]
    return {explained.id: explained for explained in wanted}


def _show(
    explanation: Explanation, chosen: list[Explained], limit: int, drawable: dict[int, Explained]
) -> None:
    out = console()
    for capture in explanation.captures:
        links = f", {', '.join(capture.link_types)}" if capture.link_types else ""
        cut = f", {capture.truncated} cut by the snap length" if capture.truncated else ""
        out.print(
            Text.assemble(
                (visible(capture.file), "bold"),
                f": {capture.format}{links}, {_counted(capture.packets, 'packet')}, ",
                f"{capture.tcp_segments:,} of TCP{cut}",
            )
        )
        for problem in capture.problems:
            out.print(Text.assemble(("  problem: ", "yellow"), visible(problem)))
    rows = explanation.summary_rows()
    total = len(explanation.connections)
    endings = ", ".join(f"{count} {ending}" for ending, count in rows.endings)
    out.print(f"{_counted(total, 'connection')}{': ' if endings else ''}{endings}")
    for row in rows.findings:
        count = _counted(row.connections, "connection")
        out.print(Text.assemble((f"  {row.severity:8}", STYLE[row.severity]), f"{row.code:28} in {count}"))
    if explanation.connections and not chosen:
        out.print("none of them is what was asked for")
    for explained in chosen[:limit]:
        out.print()
        print_story(f"#{explained.id}  ", explained.story, explained.findings)
        if explained.id in drawable:
            out.print()
            print_ladder(_ladder_of(drawable[explained.id], LADDER_SEGMENTS))
    if len(chosen) > limit:
        out.print()
        out.print(f"{len(chosen) - limit} more not told; --limit, --connection N and --finding CODE choose")


def _ladder_of(explained: Explained, limit: int | None) -> ladders.Ladder:
    return ladders.from_connection(
        explained.connection, title=f"connection {explained.id}", findings=explained.findings, limit=limit
    )


def _write(chosen: Iterable[Explained], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for explained in chosen:
            if explained.connection.exchanges:
                drawn = svg.draw(_ladder_of(explained, 2000))
                (folder / f"connection-{explained.id}.svg").write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}") from error


def _rule(code: str) -> Rule:
    for rule in RULES:
        if rule.code == code:
            return rule
    raise UsageError(f"no finding called {code!r}; there are: {', '.join(rule.code for rule in RULES)}")


def _tell_rule(rule: Rule, as_json: bool) -> int:
    if as_json:
        fields = ("code", "severity", "title", "meaning", "cause", "remedy", "rfc", "disproof")
        print_json({"schema": "testbed.finding/1", **{name: str(getattr(rule, name)) for name in fields}})
        return 0
    out = console()
    out.print(Text.assemble((rule.code, "bold"), f"  {rule.severity}: {rule.title}"))
    for label, text in (
        ("means", rule.meaning),
        ("cause", rule.cause),
        ("remedy", rule.remedy),
        ("disproof", rule.disproof),
        ("source", rule.rfc),
    ):
        wrapping().print(Text.assemble((f"  {label:9}", "dim"), text))
    return 0


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
