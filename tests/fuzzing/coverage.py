"""atheris as the engine: it keeps the inputs that find a new way through the code, and goes on from them.

    python -m tests.fuzzing.coverage TARGET COUNT SEED KEEP

It is no dependency: it is used where it was installed.  libFuzzer, which it is made of, ends the
process by itself, so it has one of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from testbed.errors import CapabilityError

from . import SLOW

LONGEST = 4096
"""Bytes of an input."""


def run(name: str, count: int, *, seed: int, keep: Path) -> int:
    """Exit status 0 when nothing was found, 1 when something was.  CapabilityError without atheris."""
    if importlib.util.find_spec("atheris") is None:
        raise CapabilityError(
            "the engine atheris is not installed",
            "leave --engine out, or: uv pip install --python .venv/bin/python atheris",
        )
    keep.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", __name__, name, str(count), str(seed), str(keep)]
    done = subprocess.run(command, check=False)
    if not any(keep.iterdir()):
        keep.rmdir()
    return 1 if done.returncode else 0


def _fuzz(name: str, count: int, seed: int, keep: Path, corpus: Path) -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["testbed"]):  # hence not at the top
        from .targets import target

        row = target(name)
    for number, data in enumerate(row.seeds()):
        (corpus / f"{number}.bin").write_bytes(data)
    options = {
        "runs": count,
        "seed": seed + 1,  # 0 means any
        "timeout": int(SLOW),
        "max_len": LONGEST,
        "rss_limit_mb": 1024,
        "artifact_prefix": f"{keep}/{name}-",
    }
    command = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)]
    atheris.Setup(command, row.attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    name, count, seed, keep = sys.argv[1:]
    with tempfile.TemporaryDirectory() as corpus:
        _fuzz(name, int(count), int(seed), Path(keep), Path(corpus))
