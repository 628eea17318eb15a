"""`testbed run`: experiments of the catalogue, live."""

from __future__ import annotations

import shlex
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import click
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..errors import CapabilityError, UsageError
from ..lab import Check, Verdict
from ..render import junit
from ..render.escape import visible
from ..render.wording import counted
from ..report import page
from ..scenarios import Load, RunResult, Scenario, catalogue, find, run, with_load
from ..scenarios import coverage as edges
from . import completing
from .census_output import print_census
from .coverage_output import print_coverage, write_picture
from .output import console, print_json, print_ladder, print_story, width, wrapping

STYLE_OF_WITNESS = {"tracepoint": "cyan", "sock_diag": "blue", "psutil": "blue", "program": "magenta"}
CHECK_INDENT = 12
STYLE = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.SKIPPED: "dim",
}


@click.command("run")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completing.scenarios)
@click.option("--all", "everything", is_flag=True, help="Every scenario, side by side.")
@click.option(
    "--net",
    type=click.Choice(["private", "host"]),
    default="private",
    show_default=True,
    help="A private network for each, or the machine's own loopback.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write captures, ladders and pages to DIR: DIR/index.html leads to them.",
)
@click.option("--timeline", is_flag=True, help="What each witness told, line by line, on one clock.")
@click.option("--coverage", is_flag=True, help="Which edges of RFC 9293's state machine were walked.")
@click.option(
    "--coverage-svg", type=click.Path(dir_okay=False, path_type=Path), help="The same as a picture: FILE."
)
@click.option(
    "--connections", type=click.IntRange(1), metavar="N", help="many-connections: how many are open at once."
)
@click.option(
    "--server", type=click.Choice(["echo", "rpc", "http"]), help="many-connections: who serves them."
)
@click.option("--ending", metavar="NAME", help="many-connections: how the server ends them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout (testbed.run/1).")
@click.option(
    "--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write a JUnit report to FILE."
)
def command(
    names: tuple[str, ...],
    everything: bool,
    net: Literal["private", "host"],
    out: Path | None,
    timeline: bool,
    coverage: bool,
    coverage_svg: Path | None,
    connections: int | None,
    server: str | None,
    ending: str | None,
    as_json: bool,
    junit: Path | None,
) -> int:
    """Run experiments of the catalogue, each live in a private network, and judge them.

    \b
    testbed run missing-fin                 the ladder and the verdict
    testbed run handshake four-way-close    several, side by side
    testbed run --all --junit report.xml    all of them, a summary table
    testbed run --all --coverage            and every edge of the state machine that they walked
    testbed run many-connections --connections 10000 --server http --ending never
    """
    if everything and names:
        raise UsageError("say which scenarios to run, or --all, not both")
    if not everything and not names:
        raise UsageError("say which scenarios to run, or --all; `testbed list` shows them")
    scenarios = list(catalogue().values()) if everything else [find(name) for name in dict.fromkeys(names)]
    load = _load(scenarios, connections, server, ending)
    if load is not None:
        scenarios = [with_load(scenario, load) for scenario in scenarios]
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {out}: {error.strerror}") from error
    if coverage_svg is not None and not coverage_svg.parent.is_dir():
        raise UsageError(f"--coverage-svg {coverage_svg}: No such file or directory")
    began = time.monotonic()
    results = _run(scenarios, net, out, load, quiet=as_json)
    seconds = time.monotonic() - began
    order = {scenario.name: number for number, scenario in enumerate(scenarios)}
    results.sort(key=lambda result: order[result.scenario])
    if junit is not None:
        _write_junit(junit, results)
    walked = edges.coverage(results) if coverage or coverage_svg else []
    if coverage_svg is not None:
        write_picture(coverage_svg, walked, "--coverage-svg")
    elif walked and out is not None:
        write_picture(out / "coverage.svg", walked, "--out")
    if out is not None:
        _write_page(out, results, names if not everything else ("--all",))
    if as_json:
        runs = [result.to_json(timeline=timeline) for result in results]
        document: dict[str, Any] = {"schema": "testbed.run/1", "runs": runs}
        if walked:
            document["coverage"] = [row.to_json() for row in walked]
        print_json(document)
    elif len(results) == 1 and results[0].verdict is not Verdict.SKIPPED:
        _show(results[0], scenarios[0], timeline=timeline)
    elif len(results) > 1:
        _show_table(results, seconds)
    if coverage and not as_json:
        console().print()
        print_coverage(walked)
    return _status(results, everything)


def _load(
    scenarios: list[Scenario], connections: int | None, server: str | None, ending: str | None
) -> Load | None:
    """Other numbers than the catalogue's, where some were asked for."""
    if connections is None and server is None and ending is None:
        return None
    if any(scenario.load is None for scenario in scenarios):
        having = ", ".join(name for name, row in catalogue().items() if row.load is not None)
        raise UsageError(f"--connections, --server and --ending are for {having} alone")
    usual = scenarios[0].load
    assert usual is not None
    return Load(connections or usual.connections, server or usual.server, ending or usual.ending)


def _run(
    scenarios: list[Scenario],
    net: Literal["private", "host"],
    out: Path | None,
    load: Load | None,
    *,
    quiet: bool,
) -> list[RunResult]:
    """Run them with a progress display on a terminal."""
    err = console(stderr=True)
    names = [scenario.name for scenario in scenarios]
    if quiet or not err.is_terminal:
        return list(run(names, net=net, out=out, load=load))
    began = time.monotonic()
    steps: dict[str, str] = dict.fromkeys(names, "starting")
    results: list[RunResult] = []

    def picture() -> Table:
        table = Table.grid(padding=(0, 2))
        elapsed = time.monotonic() - began
        for scenario in scenarios:
            if scenario.name in steps:
                left = max(0.0, scenario.seconds - elapsed)
                table.add_row(
                    Spinner("dots", Text(scenario.name, "bold")),
                    Text(f"{left:3.0f} s left" if scenario.seconds > 2 and left else "", "dim"),
                    Text(steps[scenario.name], "dim"),
                )
        return table

    with Live(get_renderable=picture, console=err, refresh_per_second=8, transient=True):
        for result in run(names, net=net, out=out, load=load, report=steps.__setitem__):
            steps.pop(result.scenario, None)
            results.append(result)
    return results


def _show(result: RunResult, scenario: Scenario, *, timeline: bool) -> None:
    """One result: ladder or timeline, what happened, the checks, the verdict."""
    out = console()
    if timeline:
        _show_timeline(result)
        out.print()
    for one in result.shown[: 1 if timeline else None]:
        if not timeline:
            print_ladder(one.ladder)
            out.print()
        print_story("", one.words, one.findings)
        out.print()
    if result.left_out:
        more = "every connection is on the page that --out DIR writes"
        out.print(Text(f"and {counted(result.left_out, 'more connection')}; {more}\n", "dim"))
    if result.census:
        print_census(result.census)
        out.print()
    for check in result.checks:
        _show_check(check)
    if result.artifacts:
        out.print()
        for kind, path in result.artifacts.items():
            out.print(Text(f"  {kind:8} {visible(path)}", "dim"))
    out.print()
    verdict = Text(str(result.verdict), STYLE[result.verdict])
    if result.verdict is Verdict.PASS:
        wrapping().print(Text.assemble(verdict, f"  {scenario.name}: {scenario.lesson}"))
    else:
        wrapping().print(Text.assemble(verdict, f"  {scenario.name}: {result.why}"))


def _show_timeline(result: RunResult) -> None:
    """A line for each moment, in seconds from the connection's first segment on."""
    out = console()
    start = result.shown[0].ladder.origin_ns if result.shown else 0
    for moment in result.timeline:
        seconds = (moment.time_ns - start) / 1e9
        lane = f"{moment.who:7} {moment.witness:10} "
        style = STYLE_OF_WITNESS.get(moment.witness, "")
        out.print(Text.assemble(f"{seconds:12.6f} ", (lane, "dim"), (visible(moment.what), style)))


def _show_check(check: Check) -> None:
    """One check: a mark, the witness, the statement; the detail of one that did not pass."""
    out = console()
    mark = {Verdict.PASS: "+", Verdict.FAIL: "x"}.get(check.verdict, "?")
    style = "" if check.verdict is Verdict.PASS else STYLE[check.verdict]
    first, *more = textwrap.wrap(check.statement, width() - CHECK_INDENT)
    out.print(Text.assemble(f"  {mark} ", (f"{check.witness:8}", "dim"), first, style=style))
    for line in more:
        out.print(Text(" " * CHECK_INDENT + line, style))
    for line in check.detail.splitlines():
        for part in textwrap.wrap(visible(line), width() - CHECK_INDENT, drop_whitespace=False) or [""]:
            out.print(Text(" " * CHECK_INDENT + part))


def _show_table(results: list[RunResult], seconds: float) -> None:
    """Several results: a line each, and the detail of those that did not pass."""
    out = console()
    wide = max(len(result.scenario) for result in results)
    for result in results:
        segments = f"{result.captured:4} packets" if result.captured else ""
        out.print(
            Text.assemble(
                (f"{result.verdict:13}", STYLE[result.verdict]),
                f"{result.scenario:{wide}} {result.seconds:6.2f} s  {segments}",
                "" if result.verdict is Verdict.PASS else f"  {result.why}",
            )
        )
        for check in result.checks:
            if check.verdict is not Verdict.PASS and check.detail:
                for line in check.detail.splitlines():
                    out.print(Text(f"    {visible(line)}"))
        if result.remedy:
            out.print(Text(f"    remedy: {result.remedy}"))
    counts = {verdict: sum(r.verdict is verdict for r in results) for verdict in Verdict}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    longest = max(results, key=lambda result: result.seconds)
    out.print()
    out.print(f"{told}; {seconds:.1f} s, the longest ({longest.scenario}) {longest.seconds:.1f} s")


def _write_page(out: Path, results: list[RunResult], asked: Sequence[str]) -> None:
    """The page that leads to each run's."""
    counts = Counter(result.verdict for result in results)
    entries = [
        page.Entry(
            str(result.verdict),
            result.scenario,
            result.why,
            f"{result.scenario}/index.html" if "page" in result.artifacts else "",
        )
        for result in results
    ]
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    worst = max(counts.keys() - {Verdict.SKIPPED}, key=list(Verdict).index, default=Verdict.SKIPPED)
    command = shlex.join(("testbed", "run", *asked))
    try:
        made = page.Page(
            title="experiments",
            kind="testbed run",
            verdict=worst,
            lead=told,
            command=command,
            entries=tuple(entries),
        )
        if (out / "coverage.svg").exists():
            edges_walked = page.Download("the edges of the state machine", "coverage.svg", "coverage.svg")
            made = replace(made, downloads=(edges_walked,))
        page.write(out / "index.html", made)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error


def _write_junit(path: Path, results: list[RunResult]) -> None:
    cases = [
        junit.Case(
            "testbed.run",
            result.scenario,
            result.seconds,
            str(result.verdict),
            result.why,
            "\n".join(c.detail for c in result.checks if c.detail),
        )
        for result in results
    ]
    try:
        path.write_text(junit.report("testbed run", cases), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--junit {path}: {error.strerror}") from error


def _status(results: list[RunResult], everything: bool) -> int:
    verdicts = {result.verdict for result in results}
    if verdicts & {Verdict.FAIL, Verdict.INCONCLUSIVE}:
        return 1
    if Verdict.SKIPPED in verdicts and not (everything and Verdict.PASS in verdicts):
        skipped = next(result for result in results if result.verdict is Verdict.SKIPPED)
        sys.stdout.flush()
        raise CapabilityError(skipped.problem, skipped.remedy)
    return 0
