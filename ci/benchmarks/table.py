"""What is measured: one row, one job, and everybody who can do it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from typing import Any, Final, NamedTuple

from .measure import Contender


class Options(NamedTuple):
    """What the rows are told.

    sockets      how many are open, where a row is about many
    rounds       figures taken of each contender
    connections  how many a capture holds, some ten segments each
    packets      how many a capture that is to be scanned holds, at least
    experiments  how many are done one after the other
    at_once      how many connections are open at once in one experiment
    open         how many are open at the end of a capture that is to be scanned
    """

    sockets: int = 36_000
    rounds: int = 9
    connections: int = 50_000
    packets: int = 8_000_000
    experiments: int = 2_000
    at_once: int = 10_000
    open: int = 1_000_000


class Job(NamedTuple):
    """What a row's function yields: everybody who takes part, and what to know of the circumstances.

    rounds  at most so many, where one takes long
    """

    contenders: list[Contender]
    circumstances: list[str]
    rounds: int = 1000


class Row(NamedTuple):
    """One row.

    title     may name the fields of `Options`
    promise   what is promised of it, in a sentence
    module    where its function is, imported in the process that measures it and nowhere else
    function  a context manager that takes the `Options` and yields the `Job`
    options   handed to the function besides
    """

    name: str
    title: str
    promise: str
    module: str
    function: str
    options: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's default, never written to

    @property
    def prepare(self) -> Callable[[Options], AbstractContextManager[Job]]:
        """The row's function, ready to be called."""
        module = import_module(f".{self.module}", __package__)
        return partial(getattr(module, self.function), **self.options)


ROWS: Final = (
    Row(
        "experiment",
        "One short experiment: captured, closed, cut, decoded and judged",
        "5 ms in a network that experiments share; 45 ms with a capture of its own.",
        "experiments",
        "experiment",
    ),
    Row(
        "lost",
        "{experiments:,} short experiments one after the other",
        "Not one packet is lost.",
        "experiments",
        "lost",
    ),
    Row(
        "many",
        "{at_once:,} connections open at once, and a verdict for each",
        "Every verdict is right, and no packet is dropped.",
        "crowds",
        "many",
    ),
    Row(
        "sample",
        "One sample of {sockets:,} sockets",
        "Sampler.sample takes at most 1/12 of psutil's time.",
        "kernel",
        "sample",
    ),
    Row(
        "sample-timers",
        "The same where every socket's timer runs",
        "No row is as it was at the last sample: the kernel counts a keepalive timer down in each.",
        "kernel",
        "sample",
        {"keepalive": True},
    ),
    Row(
        "lookup",
        "One exact look-up",
        "SockDiag.lookup takes less than 20 microseconds.",
        "kernel",
        "lookup",
    ),
    Row(
        "explain",
        "A capture of {connections:,} short connections explained",
        "testbed explain goes through 150,000 segments in a second.",
        "captures",
        "explain",
    ),
    Row(
        "scan",
        "A capture of {packets:,} packets scanned",
        "testbed scan goes through 10 million packets in a second, and no slower than tcpdump reads them.",
        "scans",
        "scan",
    ),
    Row(
        "scan-memory",
        "A capture at whose end {open:,} connections are open",
        "testbed scan has at most 200 MB, and 300 bytes for each of them.",
        "scans",
        "memory",
    ),
    Row(
        "scan-side-by-side",
        "Eight captures with {packets:,} packets together",
        "Two processes on two cores are 1.8 times as fast as one.",
        "scans",
        "side_by_side",
    ),
)
