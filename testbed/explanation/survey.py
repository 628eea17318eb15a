"""Captures gone through once, however big: counts of everything, the worst connections, all rows.

    with Survey(Wanted(port="443"), limit=20) as survey:
        survey.read("monday.pcap")
        survey.read("tuesday.pcap")
        survey.tally.rows(), survey.told

Only what is told and what is open at one time is in memory; rows go to a `Spool`.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, Self

from ..findings import Finding, Severity, with_flaw
from .explained import SCHEMA, CaptureSummary, Explained
from .reading import Live, Reading, Source, no_collections
from .spool import Spool
from .tally import Tally

_NOTHING = len(Severity)
_WHOLE_CAPTURE = "capture-incomplete"
"""The code of the finding that may turn out at the end to be every connection's."""


class Wanted(NamedTuple):
    """Which connections are asked for: those to which all of it applies."""

    numbers: Collection[int] = ()
    code: str | None = None
    host: str | None = None
    port: str | None = None

    def concerns(self, explained: Explained) -> bool:
        """Whether all but the code applies."""
        if self.numbers and explained.id not in self.numbers:
            return False
        if self.host is None and self.port is None:
            return True
        ends = explained.connection.addresses
        return (self.host is None or any(self.host == end.host for end in ends)) and (
            self.port is None or any(self.port == end.port for end in ends)
        )


class Row(NamedTuple):
    """One connection of one capture, as in the document."""

    capture: CaptureSummary
    document: dict[str, Any]


class Survey:
    """What `read` has gone through.

    wanted     which connections are chosen
    limit      how many of them are told: the worst, the first of those that are equally bad
    rows       keep the document of each chosen connection, for `documents`
    segments   with their segments; as in `explain`
    live       for a capture that was made just now

    tally      counts all connections
    chosen     how many were chosen
    told       the worst of the chosen, in their order
    worst      the worst severity among all that were chosen; None where nothing was found
    """

    def __init__(
        self,
        wanted: Wanted = Wanted(),  # noqa: B008 - it cannot be changed
        *,
        limit: int = 20,
        rows: bool = False,
        segments: bool | Collection[int] = False,
        live: Live | None = None,
    ) -> None:
        self.wanted = wanted
        self.limit = limit
        self.segments = segments
        self.live = live
        self.captures: list[CaptureSummary] = []
        self.tally = Tally()
        self.chosen = 0
        self.worst: Severity | None = None
        self.told: list[Explained] = []
        self._keep_rows = rows
        self._spools = ExitStack()
        self._rows: list[tuple[CaptureSummary, Spool, Finding | None]] = []

    def read(self, source: Source) -> None:
        """Go through one more capture.  Error handling: as `explain`."""
        reading = Reading(source, segments=self.segments, before=self.tally.connections, live=self.live)
        tally, worst, others = Tally(), _Worst(self.limit), _Worst(self.limit)
        spool = Spool()
        self._spools.callback(spool.close)
        with no_collections():
            for explained in reading:
                tally.add(explained)
                if not self.wanted.concerns(explained):
                    continue
                code = self.wanted.code
                if code is None or any(f.code == code for f in explained.findings):
                    worst.add(explained)
                elif code == _WHOLE_CAPTURE:
                    others.add(explained)  # the end of the capture will tell
                else:
                    continue
                if self._keep_rows:
                    spool.put(explained.id, json.dumps(explained.to_json(segments=bool(self.segments))))
        tally.add_to_all(reading.flaw)
        self.tally += tally
        self.captures.append(reading.summary)
        self._rows.append((reading.summary, spool, reading.flaw))
        for group in [worst, others] if reading.flaw and self.wanted.code == _WHOLE_CAPTURE else [worst]:
            self.chosen += group.count
            self._tell([reading.completed(explained) for explained in group.kept])
            if group.count:
                rank = min(group.rank, _NOTHING if reading.flaw is None else reading.flaw.severity.rank)
                self._note(rank)

    def _tell(self, explained: list[Explained]) -> None:
        self.told = worst_of([*self.told, *explained], self.limit)

    def _note(self, rank: int) -> None:
        if rank < (_NOTHING if self.worst is None else self.worst.rank):
            self.worst = list(Severity)[rank]

    def documents(self) -> Iterator[Row]:
        """The chosen connections, in their order, as in the document."""
        for capture, text in self._texts():
            yield Row(capture, json.loads(text))

    def _texts(self) -> Iterator[tuple[CaptureSummary, str]]:
        code = self.wanted.code
        for capture, spool, flaw in self._rows:
            for text in spool:
                if flaw is not None:
                    document = json.loads(text)
                    document["findings"] = _with_flaw(document["findings"], flaw)
                    yield capture, json.dumps(document)
                elif code != _WHOLE_CAPTURE or any(f["code"] == code for f in json.loads(text)["findings"]):
                    yield capture, text

    def json(self) -> Iterator[str]:
        """The document `testbed.explain/1` in pieces, a line for each connection."""
        captures = ",\n".join(json.dumps(capture.to_json()) for capture in self.captures)
        yield f'{{"schema": "{SCHEMA}",\n"captures": [\n{captures}\n],\n"connections": ['
        separator = "\n"
        for _, text in self._texts():
            yield separator + text
            separator = ",\n"
        yield "\n]}\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._spools.close()  # the temporary files


def worst_of(explained: Iterable[Explained], limit: int) -> list[Explained]:
    """The worst `limit` of some connections, in their order."""
    first = heapq.nsmallest(limit, explained, key=lambda one: (_rank(one), one.id))
    return sorted(first, key=lambda one: one.id)


class _Worst:
    """The worst of many connections; `kept` is at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.rank = _NOTHING
        self._heap: list[tuple[int, int, Explained]] = []  # the least bad and latest on top

    def add(self, explained: Explained) -> None:
        self.count += 1
        rank = _rank(explained)
        self.rank = min(self.rank, rank)
        entry = (-rank, -explained.id, explained)
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, entry)
        elif self._heap and entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    @property
    def kept(self) -> list[Explained]:
        return [entry[2] for entry in self._heap]


def _rank(explained: Explained) -> int:
    """How bad the worst of its findings is: they come worst first."""
    return explained.findings[0].severity.rank if explained.findings else _NOTHING


def _with_flaw(findings: list[dict[str, Any]], flaw: Finding) -> list[dict[str, Any]]:
    had = [Finding(**{**found, "severity": Severity(found["severity"])}) for found in findings]
    return [finding.to_json() for finding in with_flaw(had, flaw)]
