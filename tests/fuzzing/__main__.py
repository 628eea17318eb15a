"""The command behind `ci/fuzz`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import CapabilityError

from . import coverage, engine
from .targets import TARGETS, target


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when nothing was found, 1 when something was, 3 without the engine asked for."""
    parser = argparse.ArgumentParser(
        prog="ci/fuzz", description="Damage good input; nothing but a clean refusal may come of it."
    )
    names = [row.name for row in TARGETS]
    parser.add_argument(
        "--codec", choices=names, default=names[0], help=f"what is fuzzed (default {names[0]})"
    )
    parser.add_argument(
        "--runs", "--count", type=int, default=200_000, metavar="N", help="inputs (default 200000)"
    )
    parser.add_argument("--minutes", type=float, help="stop after this long, whatever the number")
    parser.add_argument("--seed", type=int, default=0, help="the first mutation's number (default 0)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="where failures are kept")
    parser.add_argument("--engine", choices=("own", "atheris"), default="own", help="who makes the inputs")
    options = parser.parse_args(argv)
    row = target(options.codec)
    if options.engine == "own":
        outcome = engine.run(row, options.runs, seed=options.seed, minutes=options.minutes, keep=options.keep)
        return engine.report(row, outcome)
    if options.minutes is not None:
        parser.error("--minutes is for the project's own engine; give atheris --runs")
    try:
        return coverage.run(row.name, options.runs, seed=options.seed, keep=options.keep)
    except CapabilityError as error:
        print(f"ci/fuzz: {error.what}; {error.remedy}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
