"""A command run as it is, with all its TCP captured and its leaks watched: somebody's whole test suite.

    recorded = record(["pytest", "tests/"], Path("capture.pcap"))
    recorded.status, recorded.live

The capture is cut when the command has ended, and has been given a moment to finish its closes, but
before what it left running is ended: nothing in the capture is of our making.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ..capture.recording import Recording
from ..capture.tcpdump import Tcpdump
from ..errors import CapabilityError, Error
from ..explanation.reading import Live
from ..findings import Holder
from ..findings.table import Side
from ..kernel.leaks import Held, Leaks
from ..kernel.sample import SocketAddress
from ..kernel.sock_diag import SockDiag
from ..net.command import Command, emptied
from ..net.private import enter_private_network
from ..tcp.connection import Connection
from ..wire.pcap import PcapWriter
from .account import ends_of

ETHERNET: Final = 1

POLL_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.25
CUT_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 1.2
"""How long closes under way may take after the command's end: longer than `missing-fin` waits."""


class Recorded(NamedTuple):
    """What came of it.

    status   the command's exit status, 128 + n when signal n ended it
    live     what is known of the capture, for `Reading`
    problem  why the capture ended before the command did; "" when it did not
    """

    status: int
    live: Live
    problem: str


def record(
    argv: Sequence[str],
    path: Path,
    *,
    private: bool = True,
    mtu: int = 65536,
    interface: str = "lo",
    filter: Sequence[str] = (),
) -> Recorded:
    """Run `argv`, with its network captured into the file `path`.

    With `private` this process enters a private network, for good, and the command runs in it; without,
    `interface` of this process's network is captured, as far as `filter` says.  Signals, streams
    and leftovers: as `net.command.exec_private`; outside of a private network what the command leaves
    running is left alone.  Call it from the main thread of a process that has one.

    Error handling: UsageError and CapabilityError before the command is started; afterwards a capture
    that fails does not disturb the command.
    """
    if private:
        enter_private_network(mtu=mtu)
    return asyncio.run(_Run(path, private).run(argv, interface, filter))


class _Run:
    def __init__(self, path: Path, private: bool) -> None:
        self._private = private
        self._file = _File(path)
        self._problem = ""

    async def run(self, argv: Sequence[str], interface: str, filter: Sequence[str]) -> Recorded:
        with contextlib.ExitStack() as stack:
            leaks: Leaks | None = None
            with contextlib.suppress(CapabilityError):  # then nobody is named
                leaks = Leaks(stack.enter_context(SockDiag()))
            stack.enter_context(self._file)
            async with Tcpdump(interface, filter=filter) as capture:
                with Command(argv) as command:
                    if self._private:
                        stack.enter_context(emptied(command.network, {os.getpid(), capture.pid}))
                    status = await self._watch(command, capture, leaks)
                    await self._settle(capture, leaks)
        held = leaks.held.values() if leaks else ()
        complete = False if self._problem else self._file.complete
        live = Live(self._file.cut_ns, self._file.dropped, complete, _Holders(held).of)
        return Recorded(status, live, self._problem)

    async def _watch(self, command: Command, capture: Tcpdump, leaks: Leaks | None) -> int:
        clock = asyncio.get_running_loop().time
        next_look = next_cut = clock()
        while (status := command.poll()) is None:
            await asyncio.sleep(POLL_SECONDS)
            if leaks is not None and clock() >= next_look:
                with contextlib.suppress(Error):  # the next look may succeed
                    leaks.look()
                next_look = clock() + LOOK_SECONDS
            if clock() >= next_cut:  # what is in the file is not in memory
                await self._cut(capture)
                next_cut = clock() + CUT_SECONDS
        return status

    async def _settle(self, capture: Tcpdump, leaks: Leaks | None) -> None:
        """Wait until closes under way are done, look once more, and cut."""
        with contextlib.suppress(Error):
            for _ in range(round(SETTLE_SECONDS / POLL_SECONDS)):
                await asyncio.sleep(POLL_SECONDS)
                # on the host's network there are others' closes, too
                if leaks is None or not self._private or not leaks.unsettled():
                    break
            if leaks is not None:
                leaks.look(last=True)
        await self._cut(capture)

    async def _cut(self, capture: Tcpdump) -> None:
        if self._problem:
            return
        try:
            self._file.write(await capture.cut())
        except (Error, OSError) as error:
            self._problem = str(error)


class _File:
    """A pcap file that recordings are appended to, and what is known of all of them together.

    cut_ns  when the last of them was cut; 0 while there is none
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None
        self._writer: PcapWriter | None = None
        self.cut_ns = 0
        self.dropped = 0
        self._proved = True

    @property
    def complete(self) -> bool | None:
        """As `Recording.complete`, of all of them."""
        return False if self.dropped else True if self._proved else None

    def __enter__(self) -> None:
        self._stream = self._path.open("wb")

    def write(self, recording: Recording) -> None:
        assert self._stream is not None
        if self._writer is None:
            self._writer = PcapWriter(self._stream, recording.link_type, recording.snaplen)
        for packet in recording.packets:
            self._writer.write(packet)
        self.cut_ns = recording.cut_ns
        self.dropped += recording.dropped or 0  # fewer than none: they came late, and were not lost
        self._proved = self._proved and recording.complete is not None

    def __exit__(self, *error: object) -> None:
        assert self._stream is not None
        if self._writer is None:  # the capture failed before its first packet
            PcapWriter(self._stream, ETHERNET)
        self._stream.close()


class _Holders:
    """Which process held which end of a connection."""

    def __init__(self, held: Iterable[Held]) -> None:
        self._held: dict[tuple[SocketAddress, SocketAddress], list[Held]] = defaultdict(list)
        for one in held:
            self._held[one.local, one.remote].append(one)

    def of(self, connection: Connection) -> tuple[Holder, ...]:
        if not self._held:
            return ()
        client, server = ends_of(connection)
        after = connection.successor
        ends: tuple[tuple[Side, SocketAddress, SocketAddress], ...] = (
            ("client", client, server),
            ("server", server, client),
        )
        return tuple(
            Holder(side, *one.owner, str(one.state), "sock_diag", seen_ns=one.last_ns)
            for side, local, remote in ends
            for one in self._held.get((local, remote), ())
            if one.last_ns >= connection.start_ns and (after is None or one.first_ns < after.time_ns)
        )


__all__ = ["Recorded", "record"]
