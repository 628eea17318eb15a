"""The listener and its connections: the one accept loop that the three protocols share.

    async with EchoServer(port=0, ending="never") as server:
        reader, writer = await asyncio.open_connection(*server.address)

Leaving the block closes every descriptor at once, whatever the ending says about closing: an ending is
what clients are shown while the server lives (and through `stop()`), not a way to leak into the caller.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Self

from .connection import Connection, ConnectionInfo, Phase
from .conversation import Conversation
from .endings import Ending, find_ending
from .options import KeepAlive, Limits

__all__ = ["Server"]

logger = logging.getLogger(__name__)

#: Out of descriptors or memory: no fault of the connection that waits, and no reason to spin on it.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_PAUSE = 0.05
_ACCEPTS_PER_PASS = 64
_LARGEST_BUFFER = (1 << 30) - 1  # the kernel doubles it into an int


@dataclass(eq=False)
class Server(ABC):
    """A TCP server with an ending.  Subclasses say which protocol it speaks (`converse`).

    host, port       where to listen; a name, an IPv4 or an IPv6 address; port 0 is an ephemeral one
    ending           a row of `ENDINGS` or its name
    delay            seconds, for the endings that wait
    linger           seconds to read on after a FIN of its own, lest unread data draw an RST; 0: not at all
    grace            seconds that `stop()` gives requests under way
    keepalive        None: SO_KEEPALIVE off, which is the kernel's default
    backlog          the accept queue; the kernel holds one more than this
    reuse_address    SO_REUSEADDR on the listener: bind() beside connections in TIME_WAIT
    no_delay         TCP_NODELAY
    receive_buffer   SO_RCVBUF in bytes as asked for (the kernel doubles it); None: the kernel's autotuning
    send_buffer      SO_SNDBUF likewise

    Errors: `start` (and `async with`) raises OSError where the address cannot be bound, ValueError where an
    argument is out of range.
    """

    #: The port of the experiment that the server was written for: the command line's default.
    usual_port: ClassVar[int] = 0

    host: str = "127.0.0.1"
    port: int = 0
    _: KW_ONLY
    ending: Ending | str = "polite"
    delay: float = 1.0
    linger: float = 1.0
    grace: float = 10.0
    keepalive: KeepAlive | None = None
    backlog: int = 128
    reuse_address: bool = True
    no_delay: bool = True
    receive_buffer: int | None = None
    send_buffer: int | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.row = find_ending(self.ending) if isinstance(self.ending, str) else self.ending
        for name, value in (("delay", self.delay), ("linger", self.linger), ("grace", self.grace)):
            if not value >= 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        for name, number, least, most in (
            ("port", self.port, 0, 65535),
            ("backlog", self.backlog, 0, 65535),
            ("receive_buffer", self.receive_buffer, 1, _LARGEST_BUFFER),
            ("send_buffer", self.send_buffer, 1, _LARGEST_BUFFER),
        ):
            if number is not None and not least <= number <= most:
                raise ValueError(f"{name} must be {least} to {most}, not {number}")
        #: Connections taken by accept() so far.
        self.accepted = 0
        #: The error that made `crash-on-reset` give up, else None.
        self.crashed: OSError | None = None
        self._listener: socket.socket | None = None
        self._address: tuple[str, int] | None = None
        self._connections: set[Connection] = set()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._exhausted = False

    @abstractmethod
    def converse(self) -> Conversation:
        """A new connection's protocol."""

    @classmethod
    def add_own_options(cls, parser: argparse.ArgumentParser) -> None:
        """The command-line options that only this protocol has."""
        return

    @classmethod
    def own_arguments(cls, options: argparse.Namespace) -> dict[str, Any]:
        """What those options say, as arguments of the constructor."""
        return {}

    # -- use -----------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Bind and listen; connections are taken from here on."""
        self._listener = self._listen()
        host, port = self._listener.getsockname()[:2]
        self._address = (host, port)
        self.port = port
        if self.row.accepts:
            asyncio.get_running_loop().add_reader(self._listener, self._arrival)
        return self

    async def stop(self) -> None:
        """Stop as the ending stops, then close what is left.  May be called twice, and from two tasks.

        Most endings are through within `grace` seconds; `ignore-stop` and `wait-for-fresh` are not, that
        is what they are for: bound the wait where you call it.
        """
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def close(self) -> None:
        """Close every descriptor now: FIN, or RST where data lies unread."""
        if self._stopping is not None:
            self._stopping.cancel()
            await asyncio.gather(self._stopping, return_exceptions=True)
        await self._close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound, also after the server has stopped; RuntimeError before it started."""
        if self._address is None:
            raise RuntimeError("the server has not been started")
        return self._address

    @property
    def connections(self) -> tuple[ConnectionInfo, ...]:
        """The connections that are not closed, in the order in which they were accepted."""
        return tuple(conn.info for conn in sorted(self._connections, key=lambda conn: conn.number))

    @property
    def listening(self) -> bool:
        """A handshake with this server is still possible."""
        return self._listener is not None

    async def until(self, seen: Callable[[Server], bool]) -> None:
        """Wait for `seen(server)` to hold; looked at after every accept and every change of phase."""
        while not seen(self):
            await self._changed.wait()

    # -- what an ending may do -----------------------------------------------------------------------

    def stop_listening(self, *, drain: bool = True) -> None:
        """Close the listener.  Drained, what is in its queue is accepted; else the kernel resets it."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        if self._timer is not None:
            self._timer.cancel()
        if drain and self.row.accepts:
            while self._accept(listener):
                pass
        listener.close()

    def ask_to_finish(self, *, fresh: bool = True) -> None:
        """Tell each connection to answer what is under way and say goodbye.

        With `fresh` False those that never sent a byte are left to wait for their first request.
        """
        for conn in tuple(self._connections):
            conn.ask_to_finish(wake=fresh or conn.phase is not Phase.FRESH)

    async def settled(self, within: float | None) -> bool:
        """Wait until each connection there is now is closed or held; False after `within` seconds."""
        through = (Phase.CLOSED, Phase.HOLDING)
        present = tuple(self._connections)
        try:
            async with asyncio.timeout(within):
                await self.until(lambda _: all(conn.phase in through for conn in present))
        except TimeoutError:
            return False
        return True

    async def empty(self) -> None:
        """Wait until no connection is left."""
        await self.until(lambda _: not self._connections)

    def cut(self, *, reset: bool) -> None:
        """End every connection, whatever it is doing."""
        for conn in tuple(self._connections):
            conn.cut(reset=reset)

    def crash(self, error: OSError) -> None:
        """Give up as a process does that dies of an unhandled error: everything closed, nothing finished."""
        self.crashed = error
        self.stop_listening(drain=False)
        self.cut(reset=False)
        self._tell()

    def notice(self, conn: Connection) -> None:
        """A connection entered another phase."""
        if conn.phase is Phase.CLOSED:
            self._connections.discard(conn)
        self._tell()

    # -- the accept loop -----------------------------------------------------------------------------

    def _listen(self) -> socket.socket:
        # Not loop.getaddrinfo: it starts a thread, and a process with two can enter no user namespace.
        found = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE, proto=socket.IPPROTO_TCP
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, self.reuse_address)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # What is set before listen() is inherited by each accepted socket, and is in force from the
            # SYN-ACK on: the window scale and a small first window could not be had later.
            if self.receive_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            if self.send_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self.no_delay)
            if self.keepalive is not None:
                self.keepalive.apply(listener)
            listener.bind(address)
            listener.listen(self.backlog)
        except BaseException:
            listener.close()
            raise
        return listener

    def _arrival(self) -> None:
        assert self._listener is not None
        if self.row.accept_pause:
            self._accept_after(self.row.accept_pause)
            return
        for _ in range(_ACCEPTS_PER_PASS):
            if not self._accept(self._listener):
                return

    def _accept_after(self, seconds: float) -> None:
        """Leave the queue alone for a while, then take all of it."""
        loop = asyncio.get_running_loop()
        listener = self._listener
        assert listener is not None
        loop.remove_reader(listener)

        def resume() -> None:
            loop.add_reader(listener, self._arrival)
            while self._accept(listener):
                pass

        self._timer = loop.call_later(seconds, resume)

    def _accept(self, listener: socket.socket) -> bool:
        """Take one connection; False when there is none to be had now."""
        try:
            sock, address = listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                # The error is that of a connection which died in the queue (accept(2)); the next may be well.
                return True
            if not self._exhausted:
                logger.error("cannot accept: %s; trying again", os.strerror(error.errno))
            self._exhausted = True
            if self._listener is not None:
                self._accept_after(_EXHAUSTED_PAUSE)
            return False
        self._exhausted = False
        try:
            sock.setblocking(False)
            conn = Connection(self, sock, (address[0], address[1]), self.converse(), number=self.accepted)
        except BaseException:
            sock.close()
            raise
        self.accepted += 1
        self._connections.add(conn)
        self._tell()
        return True

    # -- the end -------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        if self.crashed is None:
            await self.row.stop(self)
        await self._close()

    async def _close(self) -> None:
        self.stop_listening(drain=False)
        remaining = tuple(self._connections)
        self.cut(reset=False)
        for conn in remaining:
            await conn.gone()
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
