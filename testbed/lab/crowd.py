"""Many clients of one server at once, driven by one event loop.

Each is a plain non-blocking socket.  A few hundred are on their way at a time, so that no accept queue
overflows; those that have their reply stay open until all have.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from ..errors import ExperimentError
from .scripted import errno_name

AT_ONCE: Final = 200
"""Clients that are on their way at a time."""
LEAVING_AT_ONCE: Final = 20
TELL_EVERY: Final = 100


class Member:
    """One client.

    received  bytes of its reply
    told      how its stream ended: ``EOF``, the name of an errno; "" while it has not
    """

    __slots__ = ("received", "socket", "told")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = 0
        self.told = ""


class Crowd:
    """The clients of the server at `address`.

    tell     called with how far it is, now and then
    timeout  seconds that all of them together may take to open, or to end
    members  in the order in which they began
    """

    def __init__(
        self, address: tuple[str, int], tell: Callable[[str], None], *, timeout: float = 60.0
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.members: list[Member] = []
        self._tell = tell
        self._done = 0

    async def open(self, count: int, request: bytes, reply: int) -> None:
        """Open `count` connections; each sends `request` and has `reply` bytes of answer read.

        Error handling: ExperimentError when one cannot connect or gets less, or it takes too long.
        """

        async def one(_: int) -> None:
            family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
            member = Member(socket.socket(family, socket.SOCK_STREAM))
            self.members.append(member)
            member.socket.setblocking(False)
            try:
                await loop.sock_connect(member.socket, self.address)
                await loop.sock_sendall(member.socket, request)
                while member.received < reply:
                    piece = await loop.sock_recv(member.socket, reply - member.received)
                    if not piece:
                        raise ExperimentError(
                            f"a client was to read {reply} bytes and got {member.received}, then EOF"
                        )
                    member.received += len(piece)
            except OSError as error:
                raise ExperimentError(
                    f"{errno_name(error)} at client {len(self.members):,}, with {self._done:,} open"
                ) from error

        loop = asyncio.get_running_loop()
        if not await self._each(one, range(count), count, "open"):
            raise ExperimentError(f"after {self.timeout:g} s {self._done:,} of {count:,} clients were served")

    async def half_close(self) -> None:
        """shutdown(SHUT_WR) in each: its FIN goes out, it could read on."""

        async def one(member: Member) -> None:
            self._shut(member)
            await asyncio.sleep(0)

        await self._each(one, self.members, len(self.members), "have sent their FIN")

    async def half_close_and_read(self) -> Counter[str]:
        """The same, and read each until it ends, a few at a time; how often it ended how."""

        async def one(member: Member) -> None:
            self._shut(member)
            try:
                while await loop.sock_recv(member.socket, 65536):
                    pass
                member.told = "EOF"
            except OSError as error:
                member.told = errno_name(error)

        loop = asyncio.get_running_loop()
        await self._each(one, self.members, len(self.members), "have been told the end", LEAVING_AT_ONCE)
        return Counter(member.told or "no answer in time" for member in self.members)

    @staticmethod
    def _shut(member: Member) -> None:
        with contextlib.suppress(OSError):  # it has been reset: its end will tell
            member.socket.shutdown(socket.SHUT_WR)

    async def _each(
        self,
        action: Callable[[Any], Awaitable[None]],
        items: Iterable[Any],
        count: int,
        what: str,
        at_once: int = AT_ONCE,
    ) -> bool:
        """Have `action` done to each, `at_once` at a time; whether that was done in time."""
        self._done = 0
        waiting = iter(items)

        async def work() -> None:
            for item in waiting:
                await action(item)
                self._done += 1
                if not self._done % TELL_EVERY:
                    self._tell(f"{self._done:,} of {count:,} {what}")

        tasks = [asyncio.create_task(work()) for _ in range(min(at_once, count))]
        try:
            async with asyncio.timeout(self.timeout):
                await asyncio.gather(*tasks)
        except TimeoutError:
            return False
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return True

    def close(self) -> None:
        """Close them all."""
        for member in self.members:
            member.socket.close()
