"""`testbed scan`: captures too big, or too many, to be explained one connection at a time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from ..errors import UnreadableInput, UsageError
from ..findings import Severity
from ..render.escape import visible
from ..render.wording import counted
from .output import STYLE, console, print_json, print_ladder, print_story
from .remarks import remark

if TYPE_CHECKING:
    from ..scan.job import Job
    from ..scan.output import Table
    from ..scan.summary import Summary

SUFFIXES = (".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz", ".cap.gz")
"""What is taken of a folder."""

MOST_CAPTURES = 5
"""More than these are told in one line."""

Told = Callable[[int], object]


@click.command("scan")
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a row for each connection to FILE: .parquet, .jsonl or .csv.",
)
@click.option(
    "--where", default="", metavar="EXPR", help="Only connections of which this is true; see below."
)
@click.option("--explain", "explains", is_flag=True, help="Explain the worst of them, as `explain` does.")
@click.option(
    "--limit", type=click.IntRange(0), default=20, show_default=True, help="Connections explained at most."
)
@click.option("--jobs", type=click.IntRange(1), help="Processes for several captures; by default one a core.")
@click.option("--dask", metavar="ADDRESS", help="Scan on a Dask cluster: tcp://scheduler:8786.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout (testbed.scan/1).")
@click.option(
    "--fail-on", type=click.Choice(["error", "warning"]), help="Exit 1 where a finding is this bad."
)
def command(
    paths: tuple[str, ...],
    out: Path | None,
    where: str,
    explains: bool,
    limit: int,
    jobs: int | None,
    dask: str | None,
    as_json: bool,
    fail_on: str | None,
) -> int:
    """Scan captures of any size: one row for each connection, and the counts.

    Reads pcap and pcapng, either gzipped; a folder's captures; - is stdin. An expression compares columns
    with values, with and, or, not and in; docs/scan.md lists the columns.

    \b
    testbed scan monday.pcap --out connections.parquet
    testbed scan captures/ --where "ending == 'half-closed' and first_fin == 'client'" --explain
    testbed scan big.pcap.gz --where "'missing-fin' in findings and server_port in (80, 443)"
    """
    if not paths:
        raise UsageError("say which captures to scan: testbed scan PATH...")
    if explains and as_json:
        raise UsageError("--explain tells in words; leave --json out, or use explain --json")
    files = [file for path in paths for file in _captures(path)]
    if files.count("-") > 1 or ("-" in files and (explains or dask or len(files) > 1)):
        raise UsageError("- is standard input: scan it alone, and not with --explain or --dask")
    # numpy's library of linear algebra, which nothing here uses, keeps a core for each of its threads busy
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    by_processes = dask is None and len(files) > 1 and jobs != 1
    if by_processes:
        from ..scan import workers

        workers.begin()
    from ..scan.compiled import NEEDED, nothing_cached, require

    require(*NEEDED)
    from ..scan import where as filters
    from ..scan.job import Job
    from ..scan.output import form, writing

    if where:
        filters.parse(where)
    part = form(out) if out is not None else ""
    wanted = [Job(file, where, part, limit=limit) for file in files]
    if nothing_cached():
        remark("compiling, this once: it takes some 15 seconds")
    with contextlib.ExitStack() as stack:
        table = stack.enter_context(writing(out)) if out is not None else None
        if dask is not None or by_processes:
            summary = _side_by_side(wanted, table, dask, jobs)
        else:
            summary = _one_by_one(wanted, table)
    if as_json:
        print_json({**summary.to_json(), "out": None if out is None else str(out)})
    else:
        _tell(summary, out, filtered=bool(where))
        if explains:
            _explain(summary)
    if fail_on is None:
        return 0
    if not summary.chosen and not where:
        remark("inconclusive: no connection was seen that could be judged")
        return 1
    return int(summary.worst is not None and summary.worst.rank <= Severity(fail_on).rank)


def _captures(path: str) -> Iterator[str]:
    """The captures that a path names: itself, or those in the folder."""
    if path == "-" or "://" in path or not Path(path).is_dir():
        yield path
        return
    found = sorted(str(file) for file in Path(path).iterdir() if file.name.endswith(SUFFIXES))
    if not found:
        raise UnreadableInput(f"{path}: no captures in this folder ({', '.join(SUFFIXES[:3])}, or with .gz)")
    yield from found


# ---------------------------------------------------------------- scanning


def _one_by_one(jobs: Sequence[Job], table: Table | None) -> Summary:
    from ..scan.job import scan
    from ..scan.summary import Summary

    total = Summary(jobs[0].limit)
    with _progress(sum(map(_size, jobs)), "bytes") as told:
        for job in jobs:
            total += scan(job, table.write if table is not None else lambda rows: None, told)
    return total


def _side_by_side(jobs: Sequence[Job], table: Table | None, dask: str | None, count: int | None) -> Summary:
    from ..scan import pool, workers
    from ..scan.summary import Summary

    total = Summary(jobs[0].limit)
    with contextlib.ExitStack() as stack:
        if dask is not None:
            executor = stack.enter_context(pool.cluster(dask))
        else:
            if table is not None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="testbed-scan-"))
                jobs = [job._replace(folder=folder) for job in jobs]
            executor = stack.enter_context(workers.processes(min(count or workers.cores(), len(jobs))))
        told = stack.enter_context(_progress(len(jobs), "captures"))
        results = stack.enter_context(contextlib.closing(pool.scan_all(jobs, executor)))
        for summary, rows in results:
            total += summary
            if table is not None:
                pool.append(table, rows)
            told(1)
    return total


def _size(job: Job) -> int:
    return Path(job.path).stat().st_size if Path(job.path).is_file() else 0


@contextlib.contextmanager
def _progress(total: int, unit: str) -> Iterator[Told]:
    """A bar on stderr, where that is a terminal; compressed bytes are not known beforehand."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda done: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    how_many = TextColumn("{task.completed} of {task.total} captures")
    columns = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (how_many,)
    with Progress(BarColumn(), *columns, TimeRemainingColumn(), console=out, transient=True) as progress:
        task = progress.add_task("", total=total or None)
        yield lambda done: progress.advance(task, done)


# ---------------------------------------------------------------- telling


def _tell(summary: Summary, out: Path | None, *, filtered: bool) -> None:
    to = console()
    _tell_captures(summary)
    total = counted(summary.connections, "connection")
    to.print(f"{total}, {summary.chosen:,} of them as asked for" if filtered else total)
    for ending, count in summary.endings():
        to.print(f"  {ending:39}{count:>12,}  {count / summary.chosen:6.1%}")
    for row in summary.findings():
        label = Text(f"  {row.severity:8}", STYLE[row.severity])
        to.print(label + f"{row.code:31}{row.connections:>12,}  {row.connections / summary.chosen:6.1%}")
    servers = summary.servers()
    if servers:
        to.print("servers whose closing is in trouble, of so many connections")
    for server in servers:
        address = f"[{server.address}]" if ":" in server.address else server.address
        codes = ", ".join(f"{count:,} {code}" for code, count in server.by_code.items())
        to.print(f"  {address + ':' + str(server.port):39}{server.connections:>12,}  {codes}")
    if out is not None:
        to.print(f"{counted(summary.chosen, 'row')} written to {visible(str(out))}")


def _tell_captures(summary: Summary) -> None:
    """A line for each capture; of many, one for all of them, and the problems."""
    to = console()
    captures = [scanned.capture for scanned in summary.scanned]
    if len(captures) > MOST_CAPTURES:
        packets = counted(sum(one.packets for one in captures), "packet")
        of_tcp = sum(one.tcp_segments for one in captures)
        to.print(f"{len(captures):,} captures: {packets}, {of_tcp:,} of TCP")
    for capture in captures:
        name = Text(visible(capture.file), "bold")
        if len(captures) <= MOST_CAPTURES:
            packets, cut = counted(capture.packets, "packet"), f"{capture.truncated:,} cut by the snap length"
            text = f": {capture.format}, {packets}, {capture.tcp_segments:,} of TCP"
            to.print(name + text + (f", {cut}" if capture.truncated else ""))
        elif capture.problems:
            to.print(name)
        for problem in capture.problems:
            to.print(Text.assemble(("  problem: ", "yellow"), visible(problem)))
    decoded = counted(sum(one.secondly for one in summary.scanned), "packet")
    followed = counted(sum(one.by_pure for one in summary.scanned), "connection")
    to.print(f"left to the pure core: {decoded} to decode, {followed} to follow", style="dim")


def _explain(summary: Summary) -> None:
    from ..report.folder import ladder_of
    from ..scan.telling import explained
    from .telling import LADDER_SEGMENTS

    several = len(summary.scanned) > 1
    for file, one in explained(summary.guilty):
        console().print()
        print_story(f"{file + ' ' if several else ''}#{one.id}  ", one.story, one.findings)
        if one.packets <= LADDER_SEGMENTS or len(summary.guilty) == 1:
            console().print()
            print_ladder(ladder_of(one, LADDER_SEGMENTS))
    left = summary.chosen - len(summary.guilty)
    if left > 0:
        console().print(f"\n{counted(left, 'more connection')} not told: --limit and --where choose")
