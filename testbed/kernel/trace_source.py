"""An instance of the kernel's tracing set up for TCP: filtered, switched on and off, read page by page.

Making one takes about 40 ms and removing it as long, most of which the kernel waits for all its
processors (to change the clock, to let the buffers go); switching the tracepoints on takes up to 16.  So
a process keeps the one that it used last for the next experiment, with filters that let nothing
through; it is removed when the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Collection
from typing import Final

from ..errors import CapabilityError
from . import trace_clock, tracefs
from .events import Event
from .trace_format import FormatError, parse_format, parse_page_header
from .trace_records import TRACEPOINTS, Decoding
from .trace_ring import Page, decode_page

BUFFER_KIB: Final = 1408
"""For each processor: 20 ms of 40,000 connections a second fill it by a tenth."""

_NOTHING: Final = "common_type == 0"
"""A filter that no record passes: the types of events are numbered from 1."""
_TRIES: Final = 5
_READ: Final = 65536  # a page or more, whatever its size is


class SweptError(Exception):
    """Another run took the new instance for one that was left, and removed it."""


class TraceSource:
    """An instance that listens to the tracepoints of `TRACEPOINTS`, off until `listen`.

    clock   the tracing clock it is stamped with
    offset  what makes its stamps the time of day

    Error handling: CapabilityError from the constructor where there is no tracefs, it is not for this
    user, or the kernel has no such tracepoints.
    """

    def __init__(self) -> None:
        if sys.byteorder != "little":
            raise CapabilityError("tracepoints are read on little-endian machines only", "use sock_diag")
        tracefs.sweep()
        self.pid = os.getpid()
        self._instance = instance = tracefs.Instance()
        self.buffers: list[int] = []
        self._on = False
        try:
            self.clock, self._clock_number = trace_clock.choose(instance.read("trace_clock"))
            instance.write("trace_clock", self.clock)
            instance.write("buffer_size_kb", str(BUFFER_KIB))
            self.buffer_kib = BUFFER_KIB
            self._page = parse_page_header((tracefs.root() / "events/header_page").read_text())
            layouts = {
                point: parse_format(instance.read(f"{point.folder}/format"))
                for point in TRACEPOINTS
                if point.needed or (instance.path / point.folder).is_dir()
            }
            self._points = list(layouts)
            self._decoding = Decoding(layouts)
            self.buffers = list(instance.buffers())
        except (OSError, FormatError, LookupError) as error:
            self.close()
            if isinstance(error, OSError) and error.errno in tracefs.GONE:
                raise SweptError from None
            raise CapabilityError(
                f"the kernel's TCP tracepoints cannot be listened to ({error})",
                "a Linux of 5.10 or later with CONFIG_FTRACE, as root",
            ) from None
        except BaseException:
            self.close()
            raise
        self.offset = trace_clock.offset(self._clock_number)

    def close(self) -> None:
        """Remove the instance; again is harmless."""
        buffers, self.buffers = self.buffers, []
        for buffer in buffers:
            os.close(buffer)
        self._instance.remove()

    # ------------------------------------------------------------ listening

    def listen(self, ports: Collection[int]) -> None:
        """Switch it on, for events with one of `ports` at either end; none: the whole machine's.

        What was not read before is thrown away.
        """
        for buffer in self.buffers:
            while self._read(buffer):
                pass
        self.only(ports)
        self.offset = trace_clock.offset(self._clock_number)
        if not self._on:
            for point in self._points:
                self._instance.write(f"{point.folder}/enable", "1")
            self._on = True

    def resize(self, kib: int) -> None:
        """Have so many KiB for each processor."""
        if kib != self.buffer_kib:
            self._instance.write("buffer_size_kb", str(kib))
            self.buffer_kib = kib

    def only(self, ports: Collection[int]) -> None:
        """Change which ports; the kernel does the choosing."""
        self._decoding.only(ports)
        for point in self._points:
            self._instance.write(f"{point.folder}/filter", point.filter_for(ports))

    def rest(self) -> None:
        """Have it tell nothing."""
        for point in self._points:
            self._instance.write(f"{point.folder}/filter", _NOTHING)

    def now(self) -> int:
        """The time on the instance's clock, in ns: what a record made now is stamped with."""
        return time.clock_gettime_ns(self._clock_number)

    def read(self, buffer: int) -> Page | None:
        """The next page of one processor's buffer; None when it is empty.  Never waits.

        Error handling: RingError for a page that makes no sense.
        """
        page = self._read(buffer)
        return decode_page(page, self._page) if page else None

    def _read(self, buffer: int) -> bytes:
        try:
            return os.read(buffer, _READ)
        except BlockingIOError:
            return b""

    def events(self, page: Page) -> list[Event]:
        """The events of a page, with the time of day.

        Error handling: KeyError, struct.error for records that are not what the kernel says they are.
        """
        add = self.offset.add_ns
        found = (self._decoding.event(record) for record in page.records)
        return [event._replace(time_ns=event.time_ns + add) for event in found if event is not None]


_kept: list[TraceSource] = []


def kept() -> TraceSource | None:
    """The source that was kept, for an experiment; None where there is none."""
    while _kept:
        source = _kept.pop()
        if source.pid == os.getpid():  # a forked child's parent uses its own
            return source
    return None


def borrow() -> TraceSource:
    """A source for an experiment: the one kept, or a new one (CapabilityError where there can be none)."""
    if (source := kept()) is not None:
        return source
    for _ in range(_TRIES):
        with contextlib.suppress(SweptError):
            return TraceSource()
    raise CapabilityError("a tracing instance cannot be made: others keep removing it", "try again")


def give_back(source: TraceSource) -> None:
    """Keep it for the next experiment."""
    try:
        source.rest()
    except OSError:
        source.close()
        return
    if _kept:
        source.close()
    else:
        _kept.append(source)


@atexit.register
def release() -> None:
    """Remove what was kept; at the end of a process, and where one ends without its exit handlers."""
    while _kept:
        source = _kept.pop()
        if source.pid == os.getpid():
            source.close()
