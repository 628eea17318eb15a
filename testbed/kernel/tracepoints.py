"""The kernel's own account: every change of state, every reset and why, as they happen.

Sampling sees what stands still; a tracepoint misses nothing.  It needs root, and where it cannot be
had the witness says so (`CapabilityError`) and others do what they can.

The records are the whole machine's and say no network namespace.  Where two networks use the same
addresses and ports, it is the callers' that tells them apart (`callers`), or else the time at which a
socket was opened; who joins events to a connection sees to that (`testbed.lab.account`).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

from ..errors import CapabilityError, ExperimentError, UsageError
from .callers import Callers
from .events import Event
from .trace_records import with_ports
from .trace_ring import RingError
from .trace_source import BUFFER_KIB, TraceSource, borrow, give_back, kept

_PAGES_AT_ONCE: Final = 32
"""Pages taken from one processor's buffer before the event loop has its turn: about 10 ms of work."""


async def _borrowed() -> TraceSource:
    """A source: the one kept, or one made in a thread, of which nothing is left when this is cancelled."""
    if (source := kept()) is not None:
        return source
    opening = asyncio.get_running_loop().run_in_executor(None, borrow)  # the thread starts here and now
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        while not opening.done():  # a thread cannot be stopped, and this can be cancelled again
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:
            give_back(opening.result())
        raise


class Tracepoints:
    """Listens to the kernel's TCP, as an async context manager; it may be entered once.

    ports     only events with one of these at either end; empty: the whole machine's.  See `only`
    interval  seconds between two looks into the buffers
    buffer_kib  of each processor's buffer, which holds what was not read yet: some 110 bytes an event
    lost      events overwritten before they were read; -1 when it is not known how many

    Error handling: CapabilityError on entering where there is no tracefs, it is not for this user, or
    the kernel has no such tracepoints; what goes wrong in the background is raised by the next `drain`
    or on leaving.  What was told and not read yet is read on leaving.
    """

    def __init__(
        self, *, ports: Collection[int] = (), interval: float = 0.02, buffer_kib: int = BUFFER_KIB
    ) -> None:
        if interval <= 0:
            raise UsageError(f"an interval of {interval} s is none")
        self.interval = interval
        self.buffer_kib = buffer_kib
        self.lost = 0
        self._ports = frozenset(ports)
        self._events: list[Event] = []
        self._entered = False
        self._callers = Callers()
        self._source: TraceSource | None = None
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ entering, leaving

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("this Tracepoints was entered already; make another one")
        self._entered = True
        source = await _borrowed()
        try:
            source.resize(self.buffer_kib)
            source.listen(self._ports)
        except OSError as error:
            source.close()
            raise CapabilityError(
                f"the kernel's TCP tracepoints cannot be switched on ({error})", "see the kernel's log: dmesg"
            ) from None
        except BaseException:
            source.close()
            raise
        self._source = source
        self._task = asyncio.create_task(self._run(), name="tracepoints")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, source = self._task, self._source
        assert task is not None and source is not None
        task.cancel()
        try:
            await asyncio.wait([task])
            if kind is None:
                await self.drain()
        finally:
            self._source = None
            give_back(source)

    # ------------------------------------------------------------ listening

    @property
    def source(self) -> TraceSource:
        """The instance that is listened to.  UsageError before entering and after leaving."""
        if self._source is None:
            raise UsageError("tracepoints are listened to inside of: async with Tracepoints(...) as kernel")
        return self._source

    def only(self, *ports: int) -> None:
        """From now on only events with one of `ports` at either end; none: the whole machine's.

        The kernel does the choosing, so that a busy machine costs nothing; events told before stay.
        """
        self.source.only(ports)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            await self.drain()

    async def drain(self) -> None:
        """Read all that was told until now.

        Error handling: ExperimentError when the kernel's records make no sense, and of what went wrong
        in the background before.
        """
        task = self._task
        if task is not None and task.done() and not task.cancelled() and (failure := task.exception()):
            raise failure
        until = self.source.now()
        for buffer in self.source.buffers:
            more = True
            while more:
                more = self._read_some(self.source, buffer, until)
                await asyncio.sleep(0)

    def _read_some(self, source: TraceSource, buffer: int, until: int) -> bool:
        """Read up to `_PAGES_AT_ONCE` pages; whether there may be more of before `until`."""
        try:
            for _ in range(_PAGES_AT_ONCE):
                page = source.read(buffer)
                if page is None:
                    return False
                if page.missed:
                    self.lost = -1 if page.missed < 0 or self.lost < 0 else self.lost + page.missed
                self._events += map(self._callers.named, source.events(page))
                if page.records and page.records[-1].time_ns > until:
                    return False  # a busy machine writes as fast as this reads
        except (RingError, KeyError, struct.error) as error:
            told = f"{type(error).__name__}: {error}"
            raise ExperimentError(f"the kernel's trace buffer is not understood ({told})") from error
        return True

    @property
    def events(self) -> list[Event]:
        """All that was told so far, in order of time."""
        return with_ports(sorted(self._events, key=lambda event: event.time_ns))

    def take(self, until_ns: int) -> list[Event]:
        """What was told up to `until_ns` and not taken yet, in order of time: for who listens for days.

        Whole where that lies before the last `drain` began.  What is taken is forgotten.
        """
        taken = [event for event in self.events if event.time_ns <= until_ns]
        self._events = [event for event in self._events if event.time_ns > until_ns]
        return taken

    @property
    def problem(self) -> str:
        """Why the account is not whole; "" when it is."""
        if not self.lost:
            return ""
        count = "some" if self.lost < 0 else str(self.lost)
        return f"{count} of the kernel's events were overwritten before they could be read"
