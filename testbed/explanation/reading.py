"""One capture explained while it is read: what is over is judged, handed out, and forgotten.

    reading = Reading("big.pcap")
    for explained in reading:               # in the order in which they were over; ids tell how they began
        ...
    print(reading.summary.packets)

So memory is bounded by what is open at one time (`tcp.tracker`), not by what the file holds.  What is
known of a capture only at its end, that packets are missing from it, is a finding of each of its
connections: `flaw`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import BinaryIO, Literal, NamedTuple

from ..findings import Evidence, Finding, Holder, flaw_of, judge, with_flaw
from ..tcp.connection import Connection
from ..tcp.tracker import Tracker
from ..wire.reader import CaptureFile, open_capture
from ..wire.segment import Segment
from .explained import CaptureSummary, Explained

_TIME_OF = attrgetter("time_ns")

Source = str | os.PathLike[str] | BinaryIO


class Live(NamedTuple):
    """What is known of a capture by whoever has just made it.

    end_ns    when it was cut, by its own clock: later than its last packet, perhaps
    dropped   packets that are known to be missing
    complete  as `Evidence.complete`
    holders   who held the sockets of a connection, by the kernel's tables
    """

    end_ns: int
    dropped: int
    complete: bool | None
    holders: Callable[[Connection], tuple[Holder, ...]]


class Reading:
    """The connections of one capture; it can be gone through once.

    segments   as in `explain`
    before     the number of connections in the captures before this one: ids go on from there
    live       for a capture that was made just now
    flows      only segments that go one of these ways, as `Segment.flow` has them; not for a text

    Known once all was read:

    summary    the capture
    evidence   what its connections were judged by
    flaw       what it lacks as a whole: a finding of each of its connections, which those handed out do
               not have yet (`completed`)

    Error handling: as `explain`, once it is gone through.
    """

    summary: CaptureSummary
    evidence: Evidence
    flaw: Finding | None

    def __init__(
        self,
        source: Source,
        *,
        segments: bool | Collection[int] = False,
        before: int = 0,
        live: Live | None = None,
        flows: Collection[bytes] | None = None,
    ) -> None:
        self._flows = flows
        self._source = source
        self._keep = segments if isinstance(segments, bool) else {number - before for number in segments}
        self._before = before
        self._live = live
        self._differ: dict[int, list[tuple[int, str]]] = {}

    def __iter__(self) -> Iterator[Explained]:
        with open_capture(self._source) as capture:
            text = _source(capture) == "text"
            over: list[Connection] = []
            tracker = Tracker(keep=self._keep, over=over.append)
            feed = tracker.feed
            so_far = Evidence(source=_source(capture), icmp_errors=capture.icmp_about)
            total = end_ns = 0
            for _, segments in capture.pieces():
                if text:
                    self._feed_text(tracker, capture, segments)
                else:
                    for segment in segments:
                        if self._flows is None or segment.flow in self._flows:
                            feed(segment)
                end_ns = max(end_ns, max(map(_TIME_OF, segments), default=0))
                total += len(segments)
                if over:
                    yield from self._judged(over, so_far)
                    over.clear()
            tracker.finish()
            self._end(capture, total, end_ns)
        # the flaw is not in it, for all connections to be alike: it is added to all
        yield from self._judged(over, replace(self.evidence, dropped=0, complete=None, problems=()))

    def _feed_text(self, tracker: Tracker, capture: CaptureFile, segments: Iterable[Segment]) -> None:
        """Segments of a text, and to which connections belong the packets whose bytes say otherwise."""
        at: dict[int, list[str]] = {}
        for one in capture.disagreements:
            at.setdefault(one.frame, []).append(str(one))
        for segment in segments:
            connection = tracker.feed(segment)
            for line in at.get(segment.frame, ()):
                self._differ.setdefault(connection.id, []).append((segment.frame, line))

    def _end(self, capture: CaptureFile, total: int, end_ns: int) -> None:
        self.summary = CaptureSummary(
            capture.path,
            capture.format,
            tuple(capture.link_types),
            capture.packets,
            total,
            capture.truncated,
            tuple(capture.problems),
            tuple(map(str, capture.disagreements)),
        )
        self.evidence = Evidence(
            end_ns=end_ns,
            source=_source(capture),
            dropped=capture.drops or 0,
            truncated=capture.truncated,
            problems=self.summary.problems,
            icmp_errors=capture.icmp_about,
        )
        if self._live is not None:
            self.evidence = replace(
                self.evidence,
                end_ns=max(end_ns, self._live.end_ns),
                source="live",
                dropped=self._live.dropped,
                complete=self._live.complete,
            )
        self.flaw = flaw_of(self.evidence)

    def _judged(self, connections: Iterable[Connection], evidence: Evidence) -> Iterator[Explained]:
        for connection in connections:
            held = () if self._live is None else self._live.holders(connection)
            differ = tuple(self._differ.pop(connection.id, ()))
            known = replace(evidence, holders=held, disagreements=differ) if held or differ else evidence
            findings = tuple(judge(connection, known))
            yield Explained(self._before + connection.id, connection, known, findings)

    def completed(self, explained: Explained) -> Explained:
        """One of its connections with all that is known at the end."""
        findings = tuple(with_flaw(explained.findings, self.flaw))
        own = explained.evidence
        evidence = self.evidence
        if own.holders or own.disagreements:
            evidence = replace(evidence, holders=own.holders, disagreements=own.disagreements)
        return Explained(explained.id, explained.connection, evidence, findings)


def _source(capture: CaptureFile) -> Literal["file", "text"]:
    return "text" if capture.format.startswith("text") else "file"


@contextmanager
def no_collections() -> Iterator[None]:
    """Holds off the garbage collector.  Connections refer to each other in no cycle, and each
    collection would walk all of them again: half of the time, with 50,000 of them."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
