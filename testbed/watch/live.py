"""The loop: a look at the tables each interval, the holders of what is told, until it is enough."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..capture import Tcpdump
from ..errors import CapabilityError, ExperimentError, UsageError
from ..findings.phrases import count
from ..kernel.callers import network
from ..kernel.counters import ResetCounter
from ..kernel.diag_socket import DiagSocket
from ..kernel.owners import Owner
from ..kernel.sample import SocketAddress
from ..kernel.sock_diag import SockDiag
from ..kernel.sock_diag_codec import CodecError
from ..kernel.tracepoints import Tracepoints
from ..net.enter import is_only_network, network_of
from ..tcp.states import State
from .connections import End
from .events import Account, Event, Kind
from .holders import Holders, still_holds
from .wanted import Chooser, Named, Tree, Wanted
from .watcher import Watcher
from .wire import Wire, filter_for

_MANY: Final = 5_000
"""Sockets from which on only those with the wanted ports are asked for, and by another thread."""
_SNAPLEN: Final = 256
_REMEMBERED: Final = 20_000
_ALONE_LOOKS: Final = 10
"""Looks after which it is asked again whether this is the machine's only network."""
_ENDINGS: Final = frozenset({Kind.CLOSED, Kind.RESET, Kind.EXPIRED, Kind.FAILED, Kind.ENDED})


@dataclass(frozen=True, slots=True)
class Settings:
    """What is watched, and how.

    ports       at either end; none: any
    pids        processes, with all that they start
    commands    texts, one of which a process's name or command line holds
    netns       a process in whose network the looking is done; None: this one's
    tracepoints whether they are listened to where this user may
    capture     an interface whose packets are captured, so that each connection that has ended is
                explained by them; None: no capture
    interval    seconds between looks
    leak_after  seconds in CLOSE_WAIT after which it is called a leak
    seconds     after which the watch ends by itself; None: never
    count       ended connections after which it does; None: never
    """

    ports: Sequence[int] = ()
    pids: Sequence[int] = ()
    commands: Sequence[str] = ()
    netns: int | None = None
    tracepoints: bool = True
    capture: str | None = None
    interval: float = 0.1
    leak_after: float = 10.0
    seconds: float | None = None
    count: int | None = None


class Display(Protocol):
    """Where it is shown."""

    def begin(self, witnesses: Sequence[str]) -> None:
        """The first look was made, by these witnesses: what happens from now on is told."""

    def wants(self, watcher: Watcher) -> Iterable[int]:
        """The inodes of those sockets whose holder is to be shown."""

    def show(self, events: Sequence[Event], watcher: Watcher, holders: Holders) -> None:
        """A look was made, and `events` happened."""


async def watch(settings: Settings, display: Display, stop: asyncio.Event) -> Account:
    """Watch until `stop` is set, or the settings say that it is enough; the account of it.

    Error handling: UsageError for a process that is not there; CapabilityError where the kernel does
    not tell, or a process or its network is closed to this user; CodecError when the kernel stops
    answering.
    """
    choosers: list[Chooser] = [Tree(settings.pids)] if settings.pids else []
    choosers += [Named(text) for text in settings.commands]
    async with contextlib.AsyncExitStack() as opened:
        if settings.netns is not None:
            opened.enter_context(network_of(settings.netns))
        tables = opened.enter_context(SockDiag())
        counter = opened.enter_context(ResetCounter())
        session = _Session(settings, display, tables, counter, Wanted(settings.ports, tuple(choosers)))
        if settings.tracepoints:
            try:
                session.listen(await opened.enter_async_context(Tracepoints(ports=settings.ports)))
            except CapabilityError as error:
                session.deaf = error.what
        if settings.capture is not None:
            await session.capture(opened, settings.capture)
        return await session.run(stop)


class _Session:
    """One watch, with all that it has opened."""

    def __init__(
        self,
        settings: Settings,
        display: Display,
        tables: SockDiag,
        counter: ResetCounter,
        wanted: Wanted,
    ) -> None:
        self.settings = settings
        self.display = display
        self.tables = tables
        self.counter = counter
        self.wanted = wanted
        self.holders = Holders()
        self.watcher = Watcher(
            leak_after_ns=int(settings.leak_after * 1e9),
            chosen=wanted,
            heard_ms=self._heard,
            sent_ms=self._sent,
        )
        self.ended = 0
        self.notes: list[str] = []
        self.deaf = ""
        self._wire: Wire | None = None
        self._ended: deque[tuple[int, End, Owner]] = deque(maxlen=_REMEMBERED)
        self._descriptors = 0
        self._numbers: OrderedDict[frozenset[SocketAddress], int] = OrderedDict()
        self._tracepoints: Tracepoints | None = None
        self._alone = False
        self._home = network()
        self._aborts = counter.read()
        self._whole = True
        self._many = False

    def listen(self, tracepoints: Tracepoints) -> None:
        """Hear the kernel's tracepoints too."""
        self._tracepoints = tracepoints

    async def capture(self, opened: contextlib.AsyncExitStack, interface: str) -> None:
        """Have the packets on `interface` explain what has ended."""
        tcpdump = Tcpdump(interface, filter=filter_for(self.settings.ports), snaplen=_SNAPLEN)
        self._wire = Wire(await opened.enter_async_context(tcpdump))

    async def run(self, stop: asyncio.Event) -> Account:
        clock = time.monotonic
        began = clock()
        end = None if self.settings.seconds is None else began + self.settings.seconds
        due = began
        while True:
            await self._look()
            if self._enough(end):
                break
            due = max(due + self.settings.interval, clock())
            left = due if end is None else min(due, end)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, left - clock()))
            if stop.is_set():
                await self._look()
                break
        last = [*self.watcher.finish(), *await self._explained(last=True)]
        await self._show(last, last=True)
        missed = self._missed()
        notes = [*self.notes, *missed, *(self._wire.notes if self._wire else ())]
        return self._with_holders(self.watcher.account(complete=not missed, notes=notes))

    def _witnesses(self) -> list[str]:
        heard = ["tracepoints"] if self._tracepoints is not None else []
        return ["sock_diag", *heard, *(["wire"] if self._wire is not None else [])]

    def _enough(self, end: float | None) -> bool:
        if end is not None and time.monotonic() >= end:
            return True
        if self.settings.count is not None and self.ended >= self.settings.count:
            return True
        if self.settings.pids and self.watcher.looks % 10 == 0 and self.wanted.all_ended:
            over = all(one.state is State.TIME_WAIT for one in self.watcher.ends)
            if over:
                self.notes.append("the watched processes have ended")
            return over
        return False

    # ---- a look

    async def _look(self) -> None:
        before, began = self.counter.read(), time.time_ns()
        try:
            rows = await self._dump()
        except CodecError:
            raise
        except ExperimentError:  # the tables changed faster than they can be read: the next look will do
            return
        now = time.time_ns()
        resets = self.counter.read() - self._aborts
        self._aborts = before
        if await self.wanted.renew(rows):
            self.holders.learn(self.wanted.inodes)
        await self._hear(began)
        events = self.watcher.look(rows, now, resets, whole=self._whole)
        if self.watcher.looks == 1:
            self.display.begin(self._witnesses())
        events += self._held(now)
        self._remember(events)
        self.ended += sum(event.kind in _ENDINGS for event in events)
        await self._show([*events, *await self._explained()])

    async def _hear(self, began: int) -> None:
        """Hand on what the tracepoints have told up to now; the tables are older than that.

        began  when the reading of the tables began: what was told before the first is no news
        """
        if self._tracepoints is None:
            return
        if self.watcher.looks % _ALONE_LOOKS == 0:
            self._alone = await asyncio.to_thread(is_only_network)
        until = time.time_ns() if self.watcher.looks else began
        await self._tracepoints.drain()
        self.watcher.heard(self._tracepoints.take(until), home=self._home, alone=self._alone)

    def _held(self, now: int) -> list[Event]:
        """The descriptors that are still open, as long after their sockets' end as CLOSE_WAIT may last.

        An aborted connection leaves the tables, and its descriptor stays until somebody closes it.
        """
        for end in self.watcher.let_go():
            if end.connection.number and (owner := self.holders.of(end.inode)):
                self._ended.append((now, end, owner))
        told = []
        while self._ended and now - self._ended[0][0] >= self.settings.leak_after * 1e9:
            since, end, owner = self._ended.popleft()
            if still_holds(owner, end.inode):
                self._descriptors += 1
                told.append(
                    Event(now, Kind.HELD, end.connection.number, end.local, end.remote, end.side, None, None,
                          now - since, False, "sock_diag", inode=end.inode,
                          text="the connection is over, and its program has not closed the descriptor")
                )  # fmt: skip
        return told

    async def _explained(self, *, last: bool = False) -> list[Event]:
        """What the packets tell of those that have ended."""
        if self._wire is None:
            return []
        told = []
        for story in await self._wire.stories(time.monotonic(), last=last):
            number = self._numbers.get(frozenset((story.client, story.server)), 0)
            if number or not self.wanted.choosers:
                told.append(
                    Event(story.time_ns, Kind.EXPLAINED, number, story.client, story.server, "client", None,
                          None, None, False, "wire", text=story.text)
                )  # fmt: skip
        return told

    def _remember(self, events: Sequence[Event]) -> None:
        """Which number the addresses of a packet's connection have."""
        for event in events:
            pair = frozenset((event.local, event.remote))
            self._numbers[pair] = event.connection
            self._numbers.move_to_end(pair)
        while len(self._numbers) > _REMEMBERED:
            self._numbers.popitem(last=False)

    def _missed(self) -> list[str]:
        """Why something may have come and gone unseen, a line each; none where nothing can have."""
        brief = f"that lived for less than {self.settings.interval:g} s may have been missed"
        if self._tracepoints is None:
            why = f"; the kernel's tracepoints would show them, as root ({self.deaf})" if self.deaf else ""
            return [f"connections {brief}{why}"]
        missed = []
        if self.watcher.doubted:
            missed.append(
                f"up to {count(self.watcher.doubted, 'connection')} {brief}: the kernel's tracepoints do not"
                " say whether they were this network's or another's of this machine"
            )
        if self._tracepoints.lost:
            missed.append(f"connections may have been missed: {self._tracepoints.problem}")
        if self.wanted.choosers:
            missed.append(f"connections that these processes made and {brief}")
        return missed

    async def _dump(self) -> list[DiagSocket]:
        """All sockets of the network: that they are all is evidence; of very many the wanted ones."""
        ports = self.settings.ports if self._many else ()
        rows = await asyncio.to_thread(self.tables.dump, ports=ports) if self._many else self.tables.dump()
        self._whole = not ports
        self._many = self._many or len(rows) > _MANY
        return rows

    async def _show(self, events: Sequence[Event], *, last: bool = False) -> None:
        wanted = {event.inode for event in events}
        wanted.update(self.display.wants(self.watcher))
        now = last or self.holders.rested or any(event.kind is Kind.LEAK for event in events)
        if now and (unknown := self.holders.unknown(wanted)):
            await asyncio.to_thread(self.holders.find, unknown)
        told = [event._replace(holder=self.holders.of(event.inode)) for event in events]
        self.display.show(told, self.watcher, self.holders)

    def _with_holders(self, account: Account) -> Account:
        longest = account.longest
        return account._replace(
            held=self._descriptors,
            leaks=tuple(leak._replace(holder=self.holders.of(leak.inode)) for leak in account.leaks),
            longest=longest and longest._replace(holder=self.holders.of(longest.inode)),
        )

    # ---- what TCP_INFO knows

    def _heard(self, row: DiagSocket) -> int | None:
        now = self._info(row)
        return None if now is None or now.info is None else now.info.last_ack_recv_ms

    def _sent(self, row: DiagSocket) -> int | None:
        now = self._info(row)
        return None if now is None or now.info is None else now.info.last_data_sent_ms

    def _info(self, row: DiagSocket) -> DiagSocket | None:
        assert row.remote is not None
        try:
            return self.tables.lookup(row.local, row.remote, interface=row.interface, info=True)
        except (UsageError, CapabilityError):
            return None
