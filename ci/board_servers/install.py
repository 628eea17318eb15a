"""What the configurations need, in a folder of the board's own: an environment, and the files it serves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from testbed.errors import CapabilityError

from .apps import pages
from .table import Configuration

APPS: Final = Path(__file__).parent / "apps"
PYTHON: Final = "3.12"
"""The interpreter of everything that comes from the package index."""

SYSTEM: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Not on every ordinary user's PATH."""


def environment() -> dict[str, str]:
    """The environment in which all is run."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM])
    return {**os.environ, "PATH": path}


def debian_packages(rows: Sequence[Configuration]) -> list[str]:
    """What apt-get is to install: the packages of programs that are not there."""
    path = environment()["PATH"]
    missing = {row.debian for row in rows if row.program and not shutil.which(row.program, path=path)}
    return sorted(missing)


def prepare(rows: Sequence[Configuration], folder: Path) -> None:
    """Install what is needed.

    Error handling: CapabilityError where the packages of the index cannot be installed.
    """
    served = folder / "served"
    shutil.copytree(APPS, served, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    static = served / "pages"
    static.mkdir(exist_ok=True)
    (static / "index.html").write_bytes(pages.body("/"))
    (static / "large").write_bytes(pages.body("/large"))
    (static / "slow").write_bytes(b"x" * 7500)  # at nginx's limit_rate and apache's: about two seconds
    wanted = sorted({package for row in rows for package in row.packages})
    if wanted:
        _install(wanted, folder / "venv")


def lacking(rows: Sequence[Configuration]) -> dict[str, str]:
    """By name the configurations that cannot be run here, and why."""
    reasons = {row.name: _lacks(row) for row in rows}
    return {name: reason for name, reason in reasons.items() if reason}


def _install(packages: Sequence[str], venv: Path) -> None:
    interpreter = find_python(PYTHON)
    if interpreter is None:
        raise CapabilityError(f"no Python {PYTHON} here", "install it (pyenv install, or the system's own)")
    if not (venv / "bin" / "python").exists():
        subprocess.run([interpreter, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *packages], stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise CapabilityError("pip could not install the servers", "see above; is a package index reachable?")


def _lacks(row: Configuration) -> str:
    if row.program and not shutil.which(row.program, path=environment()["PATH"]):
        return f"{row.program} is not installed: apt-get install {row.debian}"
    if row.python and find_python(row.python) is None:
        return f"there is no Python {row.python}: pyenv install {row.python}"
    return ""


@cache
def find_python(version: str) -> str | None:
    """An interpreter of that version: on PATH, or pyenv's newest."""
    on_path = shutil.which(f"python{version}", path=environment()["PATH"])
    if on_path and _python_version(on_path).startswith(f"{version}."):
        return on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    there = sorted(pyenv.glob(f"versions/{version}.*/bin/python"), key=_numbers)
    return str(there[-1]) if there else None


def _numbers(interpreter: Path) -> list[int]:
    """The version that is in its path, to sort by."""
    return [int(number) for number in re.findall(r"\d+", interpreter.parts[-3])]


@cache
def _python_version(program: str) -> str:
    """``3.12.1``; "" for what does not run (a pyenv shim of a version that is not active)."""
    done = subprocess.run(
        [program, "-c", "import platform; print(platform.python_version())"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def versions(row: Configuration, folder: Path) -> dict[str, str]:
    """The versions of all that a configuration is made of, by name."""
    found: dict[str, str] = {}
    if row.packages:
        there = _distributions(folder / "venv" / "bin" / "python")
        found.update({name: there[name] for name in row.packages})
        found["Python"] = _python_version(str(folder / "venv" / "bin" / "python"))
    if row.python:
        found["Python"] = _python_version(find_python(row.python) or "")
    if row.program:
        done = subprocess.run(
            [row.program, row.tells], env=environment(), capture_output=True, text=True, timeout=30,
            check=False,
        )  # fmt: skip
        number = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
        found[row.program] = number[0] if number else "of an unknown version"
    return found


@cache
def _distributions(python: Path) -> Mapping[str, str]:
    """The version of everything that is installed there, by name."""
    code = "from importlib.metadata import distributions as d\nfor x in d(): print(x.name.lower(), x.version)"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
