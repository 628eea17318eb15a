"""A scenario: one live experiment of the catalogue, as a row and a story.

Each lives in a file of its own, which reads: what it shows, what is done (`play`), the transcript
that must be seen, the states the kernel must show, what the program must be told, the findings.
The folder is its section of the catalogue.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

from ..capture.tcpdump import BUFFER_KIB
from ..errors import UsageError
from ..lab import Check, Experiment, Lab
from ..lab.lab import SAMPLE_EVERY
from ..lab.shared import SNAPLEN
from ..wire.notation import Direction

SECTIONS: tuple[tuple[str, str], ...] = (
    ("opening", "Opening"),
    ("transfer", "Transfer"),
    ("closing", "Orderly close"),
    ("reset", "Reset"),
    ("anomalies", "Anomalies"),
    ("load", "Load"),
    ("software", "With other people's software"),
)
"""The catalogue's sections in order: folder and title."""


class Load(NamedTuple):
    """The numbers of a scenario that can have others.

    server, ending  of the project's servers, and how it ends connections
    """

    connections: int
    server: str = "echo"
    ending: str = "polite"


def _nothing_more(_: Experiment) -> Iterable[Check]:
    return ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One experiment.

    name        as typed: ``testbed run NAME``
    title       what it shows, in one line
    rfc         where it is written
    play        what is done
    transcript  what must be seen, in the notation; several, in the order in which the connections
                began, where these differ
    lesson      what to take from it, in a sentence or two
    exact       hold the segments one by one, not only what they mean
    elastic     the directions in which buffers decide how much is sent: `transcript` is one that may be
                seen, and of the amounts `after` says what must be
    findings    the codes that must be found; no other error or warning may be
    connections how many connections there must be
    each        whether every one of them is judged by itself, by the one transcript and the findings
    load, sized its numbers, and what makes the same with others; None where it has none
    snaplen, buffer_kib, sample_every  as of `Lab`
    attempts    how often it may be tried where the machine's speed decides what the kernel does, such
                as whether the application is quicker than the delayed ACK; the result tells how often
    seconds     its longest timer, for the progress display
    reset       why the kernel may say that it sent the RST (include/net/rstreason.h), where one is sent;
                several where timing decides
    sysctls     net.ipv4 settings of its network
    mtu         of its loopback or its wire, in bytes
    hosts       whether client and server are two hosts joined by a wire, not one machine's loopback
    interface   where to capture, without `hosts`: ``lo`` or ``any``
    link        with `hosts`: rules for the wire (`testbed.wire.rules`), on which `lab.link` can then make
                more; None: a bare veth pair
    capture_at  with `hosts`: at which end of the wire is captured
    apart       why the wire and the kernels cannot agree on every state: a segment on the wire is older than
                the socket that it seems to come from, or forged; "" where they must agree
    one_host    why it cannot be played between two hosts, and so not be stepped through; "" when it can
    after       more to hold the experiment to
    """

    name: str
    title: str
    rfc: str
    play: Callable[[Lab], Awaitable[None]]
    transcript: str | tuple[str, ...]
    lesson: str
    exact: bool = False
    elastic: tuple[Direction, ...] = ()
    findings: tuple[str, ...] = ()
    connections: int = 1
    each: bool = False
    load: Load | None = None
    sized: Callable[[Load], Scenario] | None = None
    snaplen: int = SNAPLEN
    buffer_kib: int = BUFFER_KIB
    sample_every: float = SAMPLE_EVERY
    attempts: int = 1
    seconds: float = 1.0
    reset: tuple[str, ...] = ()
    sysctls: Mapping[str, int | str] = field(default_factory=dict)
    mtu: int = 1500
    hosts: bool = False
    interface: str = "lo"
    link: tuple[str, ...] | None = None
    capture_at: Literal["client", "server", "both"] = "client"
    apart: str = ""
    one_host: str = ""
    after: Callable[[Experiment], Iterable[Check]] = _nothing_more

    @property
    def transcripts(self) -> tuple[str, ...]:
        """What must be seen, for each connection."""
        if isinstance(self.transcript, str):
            return (self.transcript,) * self.connections
        return self.transcript

    @property
    def section(self) -> str:
        """The folder it lives in."""
        return self.play.__module__.rsplit(".", 2)[-2]


@cache
def catalogue() -> Mapping[str, Scenario]:
    """Every scenario by name, in the catalogue's order."""
    found: dict[str, Scenario] = {}
    for folder, _ in SECTIONS:
        package = importlib.import_module(f"{__package__}.{folder}")
        names = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
        modules = [importlib.import_module(name) for name in names]
        rows = [(m.ORDER, m.SCENARIO) for m in modules]
        for _, row in sorted(rows, key=lambda pair: pair[0]):
            found[row.name] = row
    return found


def find(name: str) -> Scenario:
    """The scenario of that name; UsageError with the nearest names."""
    import difflib

    rows = catalogue()
    if name in rows:
        return rows[name]
    near = difflib.get_close_matches(name, rows, n=3) or list(rows)[:3]
    raise UsageError(f"no scenario called {name!r}; did you mean {', '.join(near)}? `testbed list` shows all")


def with_load(scenario: Scenario, load: Load | None) -> Scenario:
    """The same with other numbers; None: with its own.  UsageError where it can have none or not these."""
    if load is None:
        return scenario
    if scenario.sized is None:
        raise UsageError(f"{scenario.name} has no numbers to choose")
    return scenario.sized(load)
