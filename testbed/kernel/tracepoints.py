"""The kernel's own account: every change of state, every reset and why, as they happen.

Sampling sees what stands still; a tracepoint misses nothing.  It needs root, and where it cannot be
had the witness says so (`CapabilityError`) and others do what they can.

The records are the whole machine's and say no network namespace, so two networks that use the same
addresses and ports at the same time cannot be told apart by them; who joins them to a connection
finds that out by two sockets that claim to be one end of it (`testbed.lab.account`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

from ..errors import CapabilityError, ExperimentError, UsageError
from . import trace_clock, tracefs
from .events import Event
from .trace_format import FormatError, PageLayout, parse_format, parse_page_header
from .trace_records import TRACEPOINTS, Decoding, with_ports
from .trace_ring import RingError, decode_page

BUFFER_KIB: Final = 1408
"""For each processor: 20 ms of 40,000 connections a second fill it by a tenth."""

_PAGES_AT_ONCE: Final = 64
"""Pages taken from one processor's buffer before the event loop has its turn: about 20 ms of work."""
_READ: Final = 65536


class Tracepoints:
    """A private instance of the kernel's tracing that listens to TCP, as an async context manager.

    ports     only events with one of these at either end; empty: the whole machine's.  See `only`
    interval  seconds between two looks into the buffers
    lost      events overwritten before they were read; -1 when it is not known how many
    clock     the tracing clock that is used

    Error handling: CapabilityError on entering where there is no tracefs, it is not for this user, or
    the kernel has no such tracepoints; what goes wrong in the background is raised by the next `drain`
    or on leaving.
    """

    def __init__(self, *, ports: Collection[int] = (), interval: float = 0.02) -> None:
        if interval <= 0:
            raise UsageError(f"an interval of {interval} s is none")
        self.interval = interval
        self.lost = 0
        self.clock = ""
        self.clock_error_ns = 0
        self._ports = frozenset(ports)
        self._events: list[Event] = []
        self._instance: tracefs.Instance | None = None
        self._buffers: list[int] = []
        self._page: PageLayout | None = None
        self._clock_number = 0
        self._offset = trace_clock.Offset(0, 0)
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ entering, leaving

    async def __aenter__(self) -> Self:
        if self._instance is not None:
            raise UsageError("this Tracepoints was entered already; make another one")
        opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread cannot be stopped: what it makes is removed
            with contextlib.suppress(CapabilityError, asyncio.CancelledError):
                await opening
            await asyncio.shield(asyncio.to_thread(self._close))
            raise
        except BaseException:
            self._close()
            raise
        self._task = asyncio.create_task(self._run(), name="tracepoints")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = self._task
        assert task is not None
        task.cancel()
        try:
            await asyncio.wait([task])
        finally:
            # in a thread: the kernel waits for all processors before it lets an instance go (35 ms)
            await asyncio.shield(asyncio.to_thread(self._close))
        if kind is None and not task.cancelled() and (failure := task.exception()):
            raise failure

    def _open(self) -> None:
        """Make the instance and switch it on."""
        if sys.byteorder != "little":
            raise CapabilityError("tracepoints are read on little-endian machines only", "use sock_diag")
        tracefs.sweep()
        self._instance = instance = tracefs.Instance()
        try:
            self.clock, self._clock_number = trace_clock.choose(instance.read("trace_clock"))
            instance.write("trace_clock", self.clock)
            instance.write("buffer_size_kb", str(BUFFER_KIB))
            self._page = parse_page_header((tracefs.root() / "events/header_page").read_text())
            layouts = {
                point: parse_format(instance.read(f"{point.folder}/format"))
                for point in TRACEPOINTS
                if point.needed or (instance.path / point.folder).is_dir()
            }
            self._decoding = Decoding(layouts, self._ports)
            self._points = list(layouts)
            self._filter()
            self._offset = trace_clock.offset(self._clock_number)
            self._buffers = list(instance.buffers())
            for point in self._points:
                instance.write(f"{point.folder}/enable", "1")
        except (OSError, FormatError, LookupError) as error:
            raise CapabilityError(
                f"the kernel's TCP tracepoints cannot be listened to ({error})",
                "a Linux of 5.10 or later with CONFIG_FTRACE, as root",
            ) from None

    def _close(self) -> None:
        for buffer in self._buffers:
            os.close(buffer)
        self._buffers = []
        if self._instance is not None:
            self._instance.remove()

    def _filter(self) -> None:
        assert self._instance is not None
        for point in self._points:
            self._instance.write(f"{point.folder}/filter", point.filter_for(self._ports))

    # ------------------------------------------------------------ listening

    def only(self, *ports: int) -> None:
        """From now on only events with one of `ports` at either end; none: the whole machine's.

        The kernel does the choosing, so that a busy machine costs nothing; events told before stay.
        """
        self._ports = frozenset(ports)
        self._decoding.only(self._ports)
        self._filter()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            await self.drain()

    async def drain(self) -> None:
        """Read all that the buffers hold now.

        Error handling: ExperimentError when the kernel's records make no sense, and of what went wrong
        in the background before.
        """
        task = self._task
        if task is not None and task.done() and not task.cancelled() and (failure := task.exception()):
            raise failure
        for buffer in self._buffers:
            more = True
            while more:
                more = self._read_some(buffer)
                await asyncio.sleep(0)

    def _read_some(self, buffer: int) -> bool:
        """Read up to `_PAGES_AT_ONCE` pages; whether there may be more."""
        for _ in range(_PAGES_AT_ONCE):
            try:
                page = os.read(buffer, _READ)
            except BlockingIOError:
                return False
            if not page:
                return False
            self._take(page)
        return True

    def _take(self, page: bytes) -> None:
        try:
            assert self._page is not None
            records, missed = decode_page(page, self._page)
            if missed:
                self.lost = -1 if missed < 0 or self.lost < 0 else self.lost + missed
            add = self._offset.add_ns
            for record in records:
                event = self._decoding.event(record)
                if event is not None:
                    self._events.append(event._replace(time_ns=event.time_ns + add))
        except (RingError, KeyError, struct.error) as error:
            raise ExperimentError(f"the kernel's trace buffer is not understood: {error}") from error

    @property
    def events(self) -> list[Event]:
        """All that was told so far, in order of time."""
        return with_ports(sorted(self._events, key=lambda event: event.time_ns))

    @property
    def problem(self) -> str:
        """Why the account is not whole; "" when it is."""
        if not self.lost:
            return ""
        count = "some" if self.lost < 0 else str(self.lost)
        return f"{count} of the kernel's events were overwritten before they could be read"
