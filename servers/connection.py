"""One accepted connection: its socket, its task, and the few moves an ending is made of.

Why plain non-blocking sockets and not asyncio's transports: what is studied here is what the kernel
does, and a transport stands in between.  It reads ahead (bytes that the application left unread are out
of the kernel, so close() sends FIN where RST is to be shown), its abort() is no RST, its pause is
advice, and when a handler leaves its writer, 3.11 and 3.12 keep the connection while 3.13 closes it.
Here bytes leave the kernel when `recv` is called and at no other time, a descriptor lives until
`close` is called, and 3.11, 3.12 and 3.13 do the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import fcntl
import logging
import select
import socket
import struct
import termios
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .conversation import Command, Conversation, Hangup, Pause, Send

if TYPE_CHECKING:
    from .listener import Server

__all__ = ["Connection", "ConnectionInfo", "Phase"]

logger = logging.getLogger(__name__)

READ_SIZE = 64 << 10
WRITE_SIZE = 64 << 10


class Phase(enum.Enum):
    """Where a connection stands, as the server's program sees it (the kernel's states are the kernel's)."""

    FRESH = "fresh"  # nothing has arrived yet
    RECEIVING = "receiving"  # a request has begun
    REPLYING = "replying"
    IDLE = "idle"  # between requests
    CLOSING = "closing"  # the goodbye is on its way
    HOLDING = "holding"  # kept open on purpose: nobody reads, nobody closes
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """A connection as it stood when it was asked about.  `descriptor` is -1 once closed."""

    peer: tuple[str, int]
    phase: Phase
    descriptor: int
    bytes_received: int
    bytes_sent: int
    eof_read: bool


class _Wake(enum.Enum):
    READABLE = enum.auto()
    OVERDUE = enum.auto()
    STOP = enum.auto()


class _Stalled(Exception):
    """The client stopped taking its reply."""


class Connection:
    """A client's connection from accept() to close().  Made by a `Server`, used by its ending."""

    def __init__(
        self, server: Server, sock: socket.socket, peer: tuple[str, int], talk: Conversation, *, number: int
    ) -> None:
        self.server = server
        self.number = number
        self.peer = peer
        self.phase = Phase.FRESH
        self.bytes_received = 0
        self.bytes_sent = 0
        self.eof_read = False
        self._talk = talk
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._hung_up = False
        self._stopping = False
        self._leaving = False
        self._reset_at_close = False
        self._waiter: asyncio.Future[_Wake] | None = None
        self._request_began: tuple[int, float] | None = None  # how many were complete, and when
        self._task = self._loop.create_task(self._run())
        # Not in a `finally` of the task: one that is cancelled before its first step runs none.
        self._task.add_done_callback(self._release)

    # -- what an ending may do -----------------------------------------------------------------------

    @property
    def delay(self) -> float:
        """The server's `delay`, in seconds."""
        return self.server.delay

    @property
    def mid_request(self) -> bool:
        """A request has begun to arrive and is not complete."""
        return self._talk.mid_request

    async def perform(self, command: Command) -> None:
        """Carry out one command; nothing once the connection is closed."""
        if self.phase is Phase.CLOSED:
            return
        match command:
            case Send(data):
                await self._send(data)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Hangup(why):
                logger.debug("%s: hanging up: %s", self, why)
                self._hung_up = True

    async def client_fin(self, within: float | None = None) -> bool:
        """Wait for the client's FIN (or RST) without taking anything out of the kernel.

        False when it did not come `within` so many seconds.  EPOLLRDHUP tells a FIN behind unread data
        too, which readability does not.
        """
        came: asyncio.Future[_Wake] = self._loop.create_future()
        with select.epoll() as poll:
            poll.register(self._sock, select.EPOLLRDHUP)
            # An epoll descriptor can itself be polled: the loop needs to know nothing about RDHUP.
            self._loop.add_reader(poll.fileno(), _settle, came, _Wake.READABLE)
            try:
                async with asyncio.timeout(within):
                    await came
            except TimeoutError:
                return False
            finally:
                self._loop.remove_reader(poll.fileno())
        return True

    async def unless_client_fin(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do `work`, but drop it the moment the client's FIN is there; False when it was dropped."""
        doing = self._loop.create_task(work)
        watching = self._loop.create_task(self.client_fin())
        try:
            await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
            finished = doing.done()
            if finished:
                doing.result()
            return finished
        finally:
            for task in (doing, watching):
                task.cancel()
            await asyncio.gather(doing, watching, return_exceptions=True)

    async def something_to_read(self) -> int:
        """Wait until bytes, an EOF or an error lie in the kernel; the number of bytes there."""
        self._enter(Phase.HOLDING)
        await self._wait_readable(None, heed_stop=False)
        waiting = fcntl.ioctl(self._sock, termios.FIONREAD, bytes(4))
        return int(struct.unpack("i", waiting)[0])

    async def wait(self, seconds: float) -> None:
        """Keep the connection as it is for a while."""
        self._enter(Phase.CLOSING)
        await asyncio.sleep(seconds)

    async def hold(self) -> None:
        """Keep the descriptor until the server is gone: no reading, no closing.  Does not return."""
        self._enter(Phase.HOLDING)
        await self._loop.create_future()

    def shutdown_write(self) -> None:
        """Send FIN and keep the descriptor."""
        with contextlib.suppress(OSError):  # the client may have reset it first
            self._sock.shutdown(socket.SHUT_WR)

    async def close_lingering(self) -> None:
        """Close without losing a byte of what was sent.

        close() with unread data in the kernel sends RST, and an RST takes with it what the client has
        not read yet.  So: FIN first, then read and throw away until the client's FIN or for `linger`
        seconds.  Where the EOF was read already nothing can be unread, and it is a plain close().
        """
        if self.eof_read or not self.server.linger or self.phase is Phase.CLOSED:
            self.close()
            return
        self._enter(Phase.CLOSING)
        self.shutdown_write()
        with contextlib.suppress(OSError):  # TimeoutError too: the client had its time
            async with asyncio.timeout(self.server.linger):
                while await self._wait_readable(None, heed_stop=False) and self._recv():
                    pass
        self.close()

    def close(self) -> None:
        """close(): the kernel sends FIN, or RST when data lies unread."""
        if self.phase is not Phase.CLOSED:
            self._sock.close()
            self._enter(Phase.CLOSED)

    def reset(self) -> None:
        """close() with SO_LINGER {1, 0}: the kernel sends RST and forgets the connection."""
        if self.phase is not Phase.CLOSED:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    # -- what the server may do ----------------------------------------------------------------------

    @property
    def info(self) -> ConnectionInfo:
        """A picture of this moment."""
        return ConnectionInfo(
            self.peer, self.phase, self._sock.fileno(), self.bytes_received, self.bytes_sent, self.eof_read
        )

    def ask_to_finish(self, *, wake: bool = True) -> None:
        """Answer the request under way, if any, then say goodbye.

        Not woken, a connection without a request under way waits for one more.
        """
        self._stopping = True
        self._talk.last = True
        self._leaving = wake
        if wake and self._waiter is not None:
            _settle(self._waiter, _Wake.STOP)

    def cut(self, *, reset: bool) -> None:
        """End it now, whatever it is doing; the socket is closed when the loop next runs."""
        self._reset_at_close = reset
        self._task.cancel()

    async def gone(self) -> None:
        """Wait for the connection's task; its errors are its own."""
        await asyncio.gather(self._task, return_exceptions=True)

    def __str__(self) -> str:
        return f"connection from {self.peer[0]}:{self.peer[1]}"

    # -- the life of a connection --------------------------------------------------------------------

    async def _run(self) -> None:
        ending = self.server.row
        try:
            try:
                await self._converse()
            except _Stalled as stalled:
                # What it did not take cannot be delivered: FIN would queue behind it for ever.
                logger.debug("%s: %s", self, stalled)
                self.reset()
            except OSError as error:
                logger.debug("%s: %s", self, error)
                await ending.fault(self, error)
        except asyncio.CancelledError:
            # Only the server cancels (`cut`), and it waits for nothing but the close below.
            pass
        except Exception as error:
            # A fault in a handler is this connection's end and nobody else's.
            logger.error("%s: closed: %s: %s (%s)", self, type(error).__name__, error, _origin(error))

    def _release(self, task: asyncio.Task[None]) -> None:
        if self._reset_at_close:
            self.reset()
        self.close()

    async def _converse(self) -> None:
        ending = self.server.row
        while True:
            data = await self._next()
            if data:
                self._enter(Phase.REPLYING)
                await ending.respond(self, self._talk.feed(data))
            elif data is not None:
                await ending.respond(self, self._talk.eof())
            elif self._talk.mid_request:
                await ending.respond(self, self._talk.overdue())
            if self.phase is Phase.CLOSED:
                return
            if not data or self._hung_up or (self._stopping and not self._talk.mid_request):
                await ending.goodbye(self)
                return

    async def _next(self) -> bytes | None:
        """What arrived; b"" for EOF; None when there is nothing to wait for any more."""
        limits = self.server.limits
        mid_request = self._talk.mid_request
        if mid_request:
            self._enter(Phase.RECEIVING)
            if self._request_began is None or self._request_began[0] != self._talk.completed:
                # Each request has its own clock, also where one begins in the segment that ended another.
                self._request_began = self._talk.completed, self._loop.time()
            deadline = None if limits.request is None else self._request_began[1] + limits.request
        else:
            self._request_began = None
            self._enter(Phase.IDLE if self.bytes_received else Phase.FRESH)
            deadline = None if limits.idle is None else self._loop.time() + limits.idle
        while True:
            leaving = self._leaving and not mid_request
            wake = None if leaving else await self._wait_readable(deadline, heed_stop=not mid_request)
            if wake is _Wake.OVERDUE:
                # A request that came while this process waited for its turn is no idle connection's.
                return None if mid_request else self._recv()
            # Told to stop, one last look: a request that lies in the kernel already is still answered.
            data = self._recv()
            if data is not None or wake is not _Wake.READABLE:
                return data

    def _recv(self) -> bytes | None:
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        self.bytes_received += len(data)
        self.eof_read = self.eof_read or not data
        return data

    async def _wait_readable(self, deadline: float | None, *, heed_stop: bool) -> _Wake:
        """Sleep until the socket is readable, until `deadline` (loop time), or until told to stop."""
        waiter: asyncio.Future[_Wake] = self._loop.create_future()
        self._waiter = waiter if heed_stop else None
        timer = None if deadline is None else self._loop.call_at(deadline, _settle, waiter, _Wake.OVERDUE)
        descriptor = self._sock.fileno()
        self._loop.add_reader(descriptor, _settle, waiter, _Wake.READABLE)
        try:
            return await waiter
        finally:
            self._loop.remove_reader(descriptor)
            self._waiter = None
            if timer is not None:
                timer.cancel()

    async def _send(self, data: bytes) -> None:
        """Every byte into the kernel, at the pace at which the client takes them."""
        rest = memoryview(data)
        while rest:
            try:
                sent = self._sock.send(rest[:WRITE_SIZE])
            except (BlockingIOError, InterruptedError):
                await self._wait_writable()
                continue
            self.bytes_sent += sent
            rest = rest[sent:]
            if rest:
                await asyncio.sleep(0)  # a fast reader of a large reply must not starve the others

    async def _wait_writable(self) -> None:
        room: asyncio.Future[_Wake] = self._loop.create_future()
        descriptor = self._sock.fileno()
        self._loop.add_writer(descriptor, _settle, room, _Wake.READABLE)
        try:
            async with asyncio.timeout(self.server.limits.write):
                await room
        except TimeoutError:
            raise _Stalled(f"took nothing for {self.server.limits.write} s") from None
        finally:
            self._loop.remove_writer(descriptor)

    def _enter(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self.server.notice(self)


def _settle(waiter: asyncio.Future[_Wake], reason: _Wake) -> None:
    if not waiter.done():
        waiter.set_result(reason)


def _origin(error: BaseException) -> str:
    """File and line that raised `error`: what makes a one-line log entry enough to find it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return "no traceback"
    return f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
