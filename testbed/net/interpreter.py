"""This Python, to run one of the package's own modules in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""The folder that this package is in."""


def run_module(name: str, *arguments: str) -> list[str]:
    """The command that runs module `name` of this package.

    ``python -m`` looks in the current directory first; ``-P`` keeps it from taking a folder there that
    happens to be called the same.
    """
    return [sys.executable, *(() if _here() == ROOT else ("-P",)), "-m", name, *arguments]


def _here() -> Path | None:
    """The current directory, unless it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
