"""The command: every row in a process of its own, one after the other.

A row's process is in a private network that ends with it, so that none meets what another left behind.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import CapabilityError, Error
from testbed.net.libc import dying_with_parent, require_linux

from ..program import run_program
from .machine import description, load
from .measure import Result, in_turns
from .report import Measured, in_markdown, in_text
from .table import ROWS, Options, Row

PEERS = Path(sys.prefix, "bench")
"""Where ci/bench has installed what is compared with."""

PAGE = Path(__file__).resolve().parents[1] / "BENCHMARKS.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when all was measured; 2 for bad usage; 3 where this machine cannot."""
    options = _parser().parse_args(argv)
    if options.sockets < 2 or min(getattr(options, name) for name in Options._fields) < 1:
        print(
            "ci/bench: at least 1 round and 2 sockets are needed, and 1 of each other thing", file=sys.stderr
        )
        return 2
    if options.write and options.only:
        print("ci/bench: --write writes every row; leave --only out", file=sys.stderr)
        return 2
    wanted = Options(**{name: getattr(options, name) for name in Options._fields})
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    try:
        require_linux("ci/bench")
        if options.in_this_process:
            sys.path.append(str(PEERS))
            print(json.dumps(_measure(rows[0], wanted)))
            return 0
        machine = [*description(), load()]
        print("; ".join(machine), flush=True)
        measured = []
        for row in rows:
            measured.append(_in_a_process(row, wanted))
            print(f"\n{in_text(measured[-1])}", flush=True)
    except CapabilityError as error:
        print(f"ci/bench: {error.what}; {error.remedy}", file=sys.stderr)
        return 3
    except Error as error:
        print(f"ci/bench: {error}", file=sys.stderr)
        return 1
    if options.write:
        command = " ".join(["ci/bench --write", *(o for o in _given(wanted) if o not in _given(Options()))])
        PAGE.write_text(in_markdown(measured, machine, command), encoding="utf-8")
        print(f"\nwritten: ci/{PAGE.name}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ci/bench", description="How long things take, beside what others take for the same."
    )
    parser.add_argument(
        "--only", action="append", choices=[row.name for row in ROWS], help="this row (again: and this one)"
    )
    for name, what in (
        ("sockets", "how many are open"),
        ("rounds", "figures of each contender"),
        ("connections", "how many a capture holds"),
        ("packets", "how many one to scan holds, at least"),
        ("experiments", "how many are done one after the other"),
        ("at_once", "how many connections are open in one experiment"),
        ("open", "how many are open at the end of a capture"),
    ):
        usual = Options._field_defaults[name]
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=usual, metavar="N", help=f"{what} (default {usual})")
    parser.add_argument("--write", action="store_true", help="write the results to ci/BENCHMARKS.md too")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    return parser


def _given(options: Options) -> list[str]:
    """Options as they are typed."""
    return [f"--{name.replace('_', '-')} {value}" for name, value in options._asdict().items()]


def _measure(row: Row, options: Options) -> dict[str, object]:
    with row.prepare(options) as job:
        results = in_turns(job.contenders, min(options.rounds, job.rounds))
    return {"circumstances": job.circumstances, "results": [one.to_json() for one in results]}


def _in_a_process(row: Row, options: Options) -> Measured:
    command = [sys.executable, "-m", __package__, "--in-this-process", "--only", row.name]
    command += " ".join(_given(options)).split()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=dying_with_parent(signal.SIGKILL)
    ) as process:
        told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)  # it has said why
    found = json.loads(told)
    return Measured(
        row,
        row.title.format(**options._asdict()),
        found["circumstances"],
        [Result.from_json(values) for values in found["results"]],
    )


if __name__ == "__main__":
    run_program(main)
