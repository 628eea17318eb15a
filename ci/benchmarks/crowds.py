"""The row about many connections open at once in one experiment, each of them judged."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from testbed.errors import ExperimentError

from .measure import Contender
from .table import Job, Options

SERVERS: Final = ("echo", "rpc", "http")
ENDINGS: Final = ("polite", "never")
_PATIENCE: Final = 900


@contextlib.contextmanager
def many(options: Options) -> Iterator[Job]:
    """The catalogue's own experiment, as it is typed; what is seen is how many verdicts are right."""
    yield Job(
        [
            Contender(
                f"{server}, {ending}",
                lambda server=server, ending=ending: right(options.at_once, server, ending),  # type: ignore[misc]
                ours=True,
                note="no packet dropped" + (", and 1.5 s in which no FIN comes" if ending == "never" else ""),
            )
            for server in SERVERS
            for ending in ENDINGS
        ],
        ["testbed run many-connections, with the start of its processes; seen: right verdicts"],
        rounds=1,
    )


def right(connections: int, server: str, ending: str) -> int:
    """How many connections were found to be what they must be.  ExperimentError when a packet was dropped."""
    command = [sys.executable, "-m", "testbed", "run", "many-connections", "--json"]
    command += ["--connections", str(connections), "--server", server, "--ending", ending]
    told = subprocess.run(command, stdout=subprocess.PIPE, timeout=_PATIENCE, check=False)
    if not told.stdout:
        raise SystemExit(told.returncode)  # it has said why
    (run,) = json.loads(told.stdout)["runs"]
    if run["capture"]["dropped"] != 0:
        raise ExperimentError(f"{server}, {ending}: {run['why']}")
    return int(run["connections"]["verdicts"].get("pass", 0))
