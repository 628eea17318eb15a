"""The command; see `ci/board`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from testbed import __version__
from testbed.errors import CapabilityError
from testbed.net.libc import require_linux

from ..benchmarks.machine import description
from ..program import run_program
from . import install, report, run
from .table import CONFIGURATIONS, Configuration

PAGE = Path(__file__).resolve().parents[1] / "BOARD.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when all was verified, whatever the verdicts; 1 when a server could not be; 2, 3."""
    options = _parser().parse_args(argv)
    rows = [row for row in CONFIGURATIONS if not options.only or row.name in options.only]
    if options.rounds < 1 or options.at_once < 1:
        print("ci/board: at least 1 round and 1 server at once are needed", file=sys.stderr)
        return 2
    if options.write and options.only:
        print("ci/board: --write writes every row; leave --only out", file=sys.stderr)
        return 2
    if options.missing:
        print(*install.debian_packages(rows))
        return 0
    folder: Path = options.folder.absolute()
    try:
        require_linux("ci/board")
        folder.mkdir(parents=True, exist_ok=True)
        lacking = install.lacking(rows)
        if not options.keep:
            install.prepare(rows, folder)
    except CapabilityError as error:
        print(f"ci/board: {error.what}; {error.remedy}", file=sys.stderr)
        return 3
    for name, why in lacking.items():
        print(f"{name}: left out: {why}", flush=True)
    there = [row for row in rows if row.name not in lacking]
    unusable = {} if options.keep else _run(there, folder, options)
    standings = [_standing(row, folder, options.rounds, {**unusable, **lacking}) for row in rows]
    command = f"ci/board --write --rounds {options.rounds} --idle {options.idle:g} --grace {options.grace:g}"
    command += f" --at-once {options.at_once}"
    text = report.page(standings, [f"`{command}`, testbed {__version__}", *description()])
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
        print(f"written: ci/{PAGE.name}")
    else:
        print(text)
    return 1 if unusable else 0


def _run(rows: Sequence[Configuration], folder: Path, options: argparse.Namespace) -> dict[str, str]:
    """Verify them, telling how it goes on; those that could not be, and why."""
    unusable = {}
    began = time.monotonic()
    for number, found in enumerate(
        run.run(
            rows,
            folder,
            rounds=options.rounds,
            idle=options.idle,
            grace=options.grace,
            at_once=options.at_once,
            resume=options.resume,
        ),
        1,
    ):
        if found.report is None:
            unusable[found.name] = found.why
        told = found.why or ", ".join(_complaints(found.report)) or "nothing to complain of"
        took = time.monotonic() - began
        print(f"{took:5.0f} s  {number:3}  {found.name}: {told}", flush=True)
    return unusable


def _complaints(found: dict[str, object] | None) -> list[str]:
    rows = found["checks"] if found else []
    assert isinstance(rows, list)
    return [
        f"{row['verdict']} {row['id']}" for row in rows if row["verdict"] in ("fail", "warn", "inconclusive")
    ]


def _standing(row: Configuration, folder: Path, rounds: int, why: dict[str, str]) -> report.Standing:
    if row.name in why:
        return report.Standing(row, {}, (), why[row.name])
    found = [run.read(row, folder, number) for number in range(1, rounds + 1)]
    reports = [one for one in found if one is not None]
    return report.Standing(
        row, install.versions(row, folder), reports, "" if reports else "no round has been run"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ci/board", description="Real servers under testbed verify, as a table of server by check."
    )
    names = [row.name for row in CONFIGURATIONS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help="this one (again: and this one)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is verified (default 5)")
    parser.add_argument("--idle", type=float, default=6.0, help="seconds for which timeouts are awaited")
    parser.add_argument("--grace", type=float, default=6.0, help="seconds from the stop signal to the end")
    parser.add_argument("--at-once", type=int, default=2, help="servers verified at a time (default 2)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(".venv/board"),
        help="where packages, captures and reports go (default .venv/board); readable for all",
    )
    parser.add_argument("--write", action="store_true", help="write ci/BOARD.md")
    parser.add_argument("--resume", action="store_true", help="leave out rounds whose reports are there")
    parser.add_argument("--keep", action="store_true", help="run nothing: the page from the reports there")
    parser.add_argument("--missing", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    run_program(main)
