"""Each configuration put to every check: `testbed verify`, several at once, round after round.

What a round found is the command's report, FOLDER/evidence/NAME/ROUND/report.json; the page is written
from these.  Beside it are the captures of each check that came out as in no round before.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from testbed.net.libc import dying_with_parent

from .install import environment, find_python
from .table import HTTP, Configuration
from .words import steady

MOST_SECONDS = 600.0
"""After which a verification is given up: it has limits of its own, which are far below."""


class Found(NamedTuple):
    """What one round found of one configuration: the report, or why there is none."""

    name: str
    round: int
    report: dict[str, Any] | None
    why: str


def command_of(row: Configuration, folder: Path) -> list[str]:
    """Its command, {port} left in."""
    scripts = folder / "venv" / "bin"
    python = find_python(row.python) if row.python else None
    words = shlex.split(row.command)
    return [
        word.replace("{python}", python or str(scripts / "python")).replace("{bin}", str(scripts))
        for word in words
    ]


def evidence(row: Configuration, folder: Path, number: int) -> Path:
    """Where a round's report and captures are."""
    return folder / "evidence" / re.sub(r"\W+", "-", row.name) / str(number)


def run(
    rows: Sequence[Configuration],
    folder: Path,
    *,
    rounds: int,
    idle: float,
    grace: float,
    at_once: int,
    resume: bool,
) -> Iterator[Found]:
    """Verify all rows `rounds` times, `at_once` at a time; yields what is found as it comes.

    The rounds of one configuration are apart, so that a cell that depends on the moment shows it.

    resume  leave out the rounds whose reports are there
    """
    if not resume:
        for row in rows:
            shutil.rmtree(evidence(row, folder, 1).parent, ignore_errors=True)
    jobs: list[Callable[[], Found]] = [
        lambda row=row, number=number: _verified(row, folder, number, idle, grace)  # type: ignore[misc]
        for number in range(1, rounds + 1)
        for row in rows
        if read(row, folder, number) is None
    ]
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for future in as_completed([pool.submit(job) for job in jobs]):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _verified(row: Configuration, folder: Path, number: int, idle: float, grace: float) -> Found:
    out = evidence(row, folder, number)
    out.mkdir(parents=True, exist_ok=True)
    options = shlex.split(row.options)
    if "--protocol" not in options:
        options += shlex.split(HTTP)
    command = [sys.executable, "-m", "testbed", "verify", "--json", "--out", str(out)]
    command += ["--idle", f"{idle:g}", "--grace", f"{grace:g}", *options, "--", *command_of(row, folder)]
    with subprocess.Popen(
        command,
        cwd=folder / "served",
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=dying_with_parent(signal.SIGTERM),
    ) as process:
        try:
            found, told = process.communicate(timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()
            return Found(row.name, number, None, f"it was not over after {MOST_SECONDS:g} s")
    if found.startswith("{"):
        (out / "report.json").write_text(found, encoding="utf-8")
    last = told.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
    report = read(row, folder, number)
    if report is not None:
        thin_out(row, folder, number, report)
    return Found(row.name, number, report, "" if report else last[0])


def thin_out(row: Configuration, folder: Path, number: int, report: dict[str, Any]) -> None:
    """Remove the captures of checks that came out as in an earlier round: those are there to look at."""
    before = [earlier for n in range(1, number) if (earlier := read(row, folder, n)) is not None]
    known = {_came_out(check) for earlier in before for check in earlier["checks"]}
    for check in report["checks"]:
        if _came_out(check) in known:
            shutil.rmtree(evidence(row, folder, number) / check["id"], ignore_errors=True)


def _came_out(check: dict[str, Any]) -> tuple[str, str, str]:
    """What is the same in rounds in which a check came out alike."""
    return check["id"], check["verdict"], steady(check["what"])


def read(row: Configuration, folder: Path, number: int) -> dict[str, Any] | None:
    """What a round found, from its report; None where there is none."""
    try:
        text = (evidence(row, folder, number) / "report.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    report: dict[str, Any] = json.loads(text)
    return report
