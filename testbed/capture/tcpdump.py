"""`Tcpdump`: a capture that knows when it began, what it holds, and whether it holds everything.

    async with Tcpdump("lo") as capture:
        ...                                # an experiment
        recording = await capture.cut()    # everything up to here; the capture goes on

One tcpdump serves many experiments: starting one takes 16 ms, a cut 0.3 ms.  It may outlast an event
loop: `rest` takes it out of one, `resume` into the next.

A cut sends a sentinel (`capture.sentinel`) and waits until it comes back through tcpdump.  In a
private network without a filter it also takes whatever the interface had counted when the cut was
asked for, even if a packet from another CPU passed after the sentinel; and compares both counts, which
is the proof that nothing is missing.  Cut when both ends are final: what comes later is the next
recording's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final, Self

from ..errors import CapabilityError, ExperimentError, UsageError
from ..net import libc, links
from ..wire.pcap import MAX_CAPTURED, PcapParser, Row
from ..wire.segment import Packet
from .arguments import check_filter, command, complaint, find_tcpdump, last_words
from .process import TcpdumpProcess
from .recording import Recording
from .sentinel import MAX_SIZE, Sentinel

BUFFER_KIB: Final = 16384
START_SECONDS: Final = 15.0
SENTINEL_SECONDS: Final = 10.0
RESEND_SECONDS: Final = 0.005
SETTLE_SECONDS: Final = 0.25
"""How long a count may lag behind the interface's before packets are called lost."""
_ALIGN_ATTEMPTS: Final = 20


class Tcpdump:
    """A capture on one interface of the calling thread's network, as an async context manager.

    interface    such as "lo", "any", a veth
    filter       words of pcap-filter(7); with one, completeness cannot be proven
    snaplen      bytes kept of each packet, at least 128; small ones make the ring hold more packets
    buffer_kib   size of the kernel's ring.  While the event loop is busy elsewhere it and the pipe hold
                 about 12,000 short packets by default; 10,000 connections at once want 131,072 KiB
                 or a snap length of 256
    inside       a context in which the thread is in the network to capture in, if that is another one
                 than the calling thread's (`net.hosts`)

    Enter it from the thread that works in the network, and from the main thread if it can be: tcpdump
    ends with the thread that started it.

    Error handling: entering raises CapabilityError when tcpdump is missing or not permitted and
    UsageError for an interface or a filter that is none; `cut` raises ExperimentError when tcpdump
    ended or no longer answers.  `stderr` has all that tcpdump said.
    """

    def __init__(
        self,
        interface: str = "lo",
        *,
        filter: Sequence[str] = (),
        snaplen: int = 2048,
        buffer_kib: int = BUFFER_KIB,
        inside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        if isinstance(filter, str):
            raise UsageError("a filter is a sequence of words, such as ['tcp', 'port', '80']")
        if not MAX_SIZE <= snaplen <= MAX_CAPTURED:
            raise UsageError(f"a snap length of {snaplen} is not between {MAX_SIZE} and {MAX_CAPTURED} bytes")
        if buffer_kib < 1:
            raise UsageError(f"a buffer of {buffer_kib} KiB holds nothing")
        self.interface = interface
        self.filter = tuple(filter)
        self.snaplen = snaplen
        self.buffer_kib = buffer_kib
        self._inside = inside
        self._process: TcpdumpProcess | None = None
        self._sentinel: Sentinel | None = None
        self._parser = PcapParser()
        self._rows: list[Row] = []  # captured and not yet cut, without sentinels
        self._others = 0  # sentinels of a capture at the other end of the wire
        self._cut_at = 0  # packets captured before the first of _rows
        self._sentinel_number = 0
        self._sentinel_at: int | None = None  # packets captured before the sentinel waited for
        self._sentinel_ns = 0  # when that passed
        self._counts_from: int | None = None  # the interface's count when nothing was captured
        self._lost = 0  # packets known to be missing so far
        self._dropped = 0  # tcpdump's own count at the last cut

    # ---- its life

    async def __aenter__(self) -> Self:
        libc.require_linux("a live capture")
        if self._process is not None:
            raise UsageError("this Tcpdump was entered already; make another one")
        program = find_tcpdump()
        with self._inside():
            if self.filter:
                check_filter(program, self.interface, self.filter)
            if self.interface != "any" and self.interface not in (there := links.names()):
                raise UsageError(
                    f"no interface {self.interface!r} in this network; there are: {', '.join(there)}"
                )
            self._sentinel = Sentinel(self.interface)
        try:
            await self._start(program, self._sentinel)
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _start(self, program: str, sentinel: Sentinel) -> None:
        arguments = command(
            program,
            self.interface,
            filter=self.filter,
            port=sentinel.port,
            snaplen=self.snaplen,
            buffer_kib=self.buffer_kib,
        )
        with self._inside():
            private = links.in_private_network()
            process = self._process = TcpdumpProcess(arguments, self._take)
        if not await process.listening(START_SECONDS):
            if process.ended:
                raise complaint(self.interface, self.filter, process.stderr)
            raise ExperimentError(f"tcpdump on {self.interface} did not listen within {START_SECONDS:g} s")
        provable = self.interface != "any" and not self.filter and private
        for _ in range(_ALIGN_ATTEMPTS if provable else 0):
            if await self._align(sentinel):
                break
        else:
            await self._sent_and_seen()
        self._drop_rows(self._captured)

    async def _align(self, sentinel: Sentinel) -> bool:
        """Find what the interface had counted when nothing was captured.  Sending counts at once, so a
        count that grew by no more than that says that the sentinel came in alone."""
        before = self._counted()
        sentinel.send(self._next_number())
        alone = self._counted() == before
        await self._seen(sent=True)
        assert self._sentinel_at is not None
        self._counts_from = before - self._sentinel_at if alone else None
        return alone

    def close(self) -> None:
        """End it, in an event loop or outside; again is harmless."""
        try:
            if self._process is not None:
                self._process.stop()
        finally:
            if self._sentinel is not None:
                self._sentinel.close()

    def rest(self) -> None:
        """Leave the event loop.  What passes meanwhile is captured, and waits in the pipe and the ring."""
        self._running().detach()

    def resume(self) -> None:
        """Go on, in the running event loop."""
        self._running().attach()

    @property
    def pid(self) -> int:
        """tcpdump's process id."""
        return self._running().pid

    @property
    def stderr(self) -> str:
        """All that tcpdump said so far."""
        return self._process.stderr.decode(errors="replace") if self._process else ""

    def _running(self) -> TcpdumpProcess:
        if self._process is None:
            raise UsageError("this Tcpdump is not entered: use `async with`")
        return self._process

    # ---- what comes through the pipe

    @property
    def _captured(self) -> int:
        return self._cut_at + len(self._rows)

    def _take(self, chunk: bytes) -> None:
        """Keep what came, but for our own sentinels: they mark a place."""
        sentinel = self._sentinel
        assert sentinel is not None
        number_of, keep = sentinel.number_of, self._rows.append
        for row in self._parser.feed(chunk):
            number = number_of(row[3])
            if number is None:
                if sentinel.is_anothers(row[3]):
                    self._others += 1
                else:
                    keep(row)
            elif number == self._sentinel_number and self._sentinel_at is None:
                self._sentinel_at, self._sentinel_ns = self._captured, row[1]

    def _counted(self) -> int:
        """Packets that the interface has counted; sentinels not among them, not even lost ones."""
        assert self._sentinel is not None
        with self._inside():
            return links.passed_packets(self.interface) - self._sentinel.sent - self._others

    def _drop_rows(self, end: int) -> list[Row]:
        """Take out what was captured as packet `end` at the latest."""
        count = end - self._cut_at
        rows = self._rows[:count]
        del self._rows[:count]
        self._cut_at = end
        return rows

    # ---- the cut

    async def cut(self) -> Recording:
        """Everything captured since the last cut (or the start) up to now."""
        process = self._running()
        counted = None if self._counts_from is None else self._counted() - self._counts_from
        await self._sent_and_seen()
        assert self._sentinel_at is not None
        end = self._sentinel_at
        lost: int | None = None
        if counted is not None:
            lost = await self._settled()
            # what had been counted belongs to this recording even where it came after the sentinel
            end = min(max(end, counted - lost), self._captured)
        packets = [Packet(frame, *row[1:]) for frame, row in enumerate(self._drop_rows(end), 1)]
        if lost is None:
            dropped = await self._dropped_since(process)
            return self._recording(packets, None, dropped, False if dropped else None)
        missing, self._lost = lost - self._lost, lost
        return self._recording(packets, len(packets) + missing, missing, missing == 0)

    def _recording(
        self, packets: list[Packet], interface_packets: int | None, dropped: int | None, complete: bool | None
    ) -> Recording:
        cut_ns = max(self._sentinel_ns, packets[-1].time_ns if packets else 0)
        link_type = self._parser.link_type
        return Recording(packets, cut_ns, link_type, self.snaplen, interface_packets, dropped, complete)

    def _next_number(self) -> int:
        self._sentinel_number += 1
        self._sentinel_at = None
        return self._sentinel_number

    async def _sent_and_seen(self) -> None:
        self._next_number()
        await self._seen(sent=False)

    async def _seen(self, *, sent: bool) -> None:
        """Wait until the sentinel came back, sent again every few milliseconds: a ring that is full
        at the moment drops sentinels like any packet."""
        process, sentinel = self._running(), self._sentinel
        assert sentinel is not None
        clock = asyncio.get_running_loop().time
        deadline = clock() + SENTINEL_SECONDS
        resend = clock() + (RESEND_SECONDS if sent else 0.0)
        while self._sentinel_at is None:
            now = clock()
            if process.ended:
                await process.last_words()
                raise ExperimentError(f"tcpdump on {self.interface} ended: {last_words(process.stderr)}")
            if now >= deadline:
                raise ExperimentError(
                    f"nothing came back through tcpdump on {self.interface} within {SENTINEL_SECONDS:g} s"
                )
            if now >= resend:
                self._send(sentinel)
                resend = now + RESEND_SECONDS
            await process.changed(resend - now)

    def _send(self, sentinel: Sentinel) -> None:
        try:
            sentinel.send(self._sentinel_number)
        except OSError as error:
            raise CapabilityError(
                f"no datagram can be sent through {self.interface} ({error.strerror})",
                "raise the interface and give it an IPv4 address",
            ) from None

    async def _settled(self) -> int:
        """Packets missing of those that the interface has counted.

        The interface counts before tcpdump hands on, so each reading is an upper bound: the smallest
        one counts, and none below what was missing before can come.
        """
        assert self._counts_from is not None
        process = self._running()
        clock = asyncio.get_running_loop().time
        deadline = clock() + SETTLE_SECONDS
        least: int | None = None
        while True:
            process.read()
            lacking = self._counted() - self._counts_from - self._captured
            least = lacking if least is None else min(least, lacking)
            if least <= self._lost or clock() >= deadline or process.ended:
                return least
            await process.changed(0.005)

    async def _dropped_since(self, process: TcpdumpProcess) -> int | None:
        total = await process.dropped()
        if total is None:
            return None
        since, self._dropped = total - self._dropped, total
        return since
