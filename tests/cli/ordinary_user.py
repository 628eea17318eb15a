"""The command as an ordinary user runs it: without privilege, in a user namespace that it makes itself."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

NOBODY: Final = 65534

_MODULES: Final = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *site.getsitepackages()])
_ENVIRONMENT: Final = {"PYTHONPATH": _MODULES, "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}


def as_ordinary_user(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run testbed without privilege: as nobody where we are root, else as who we are."""
    return _run(ordinary_python(), "-m", "testbed", *arguments, stdin=stdin)


def ordinary_python() -> str:
    """An interpreter that such a user may run, and that finds our modules; skips where there is none.

    One of root's own, such as pyenv's, is behind a folder that nobody else may enter.
    """
    if os.geteuid() != 0:
        return sys.executable
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            done = _run(candidate, "-c", "import testbed.cli, psutil")
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.skip("no interpreter that an ordinary user may run finds this checkout")


def _run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=100, cwd="/", env=_ENVIRONMENT, **who
    )
