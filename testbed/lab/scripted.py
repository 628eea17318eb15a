"""Scripted sockets: plain and non-blocking, each step stamped on the experiment's clock.

What the program is told (bytes, EOF, an errno) is returned *and* written down, because it is one
of the three witnesses.  No library stands between the step and the kernel: no reading ahead, no
closing behind one's back.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..errors import ExperimentError
from ..kernel.tcp_info import LAYOUT

LINGER_ZERO = struct.pack("ii", 1, 0)
TCP_REPAIR = 19
Stamp = Callable[[str], None]
"""Writes a step down, with the time."""


class StampOf(Protocol):
    """The same for one of several connections: `port` is its client's; 0: for none of them."""

    def __call__(self, text: str, *, port: int = 0) -> None: ...


class ScriptedSocket:
    """A connected socket of a script: every call stamped, everything it tells returned.

    stamp    writes a step down: a call when it is made, what it told when it has returned
    timeout  seconds that any one step may take
    """

    def __init__(self, sock: socket.socket, stamp: Stamp, *, timeout: float = 20.0) -> None:
        self.socket = sock
        self.socket.setblocking(False)
        self.timeout = timeout
        self._stamp = stamp

    async def send(self, data: bytes) -> str:
        """Send all of `data`; returns ``sent`` or the name of the errno."""
        loop = asyncio.get_running_loop()
        self._stamp(f"send({len(data)} bytes)")
        try:
            await asyncio.wait_for(loop.sock_sendall(self.socket, data), self.timeout)
        except OSError as error:
            return self.told("send()", errno_name(error))
        return "sent"

    async def recv_exactly(self, count: int) -> bytes:
        """Read exactly `count` bytes.  ExperimentError when the stream ends before."""
        loop = asyncio.get_running_loop()
        data = b""
        while len(data) < count:
            try:
                piece = await asyncio.wait_for(loop.sock_recv(self.socket, count - len(data)), self.timeout)
            except OSError as error:
                self.told(f"recv({count})", errno_name(error))
                raise ExperimentError(
                    f"the client was to read {count} bytes and got {len(data)}, then {errno_name(error)}"
                ) from error
            if not piece:
                self.told(f"recv({count})", f"EOF after {len(data)} bytes")
                raise ExperimentError(f"the client was to read {count} bytes and got {len(data)}, then EOF")
            data += piece
        self._stamp(f"recv({count} bytes)")
        return data

    async def recv_to_end(self, limit: int = 1 << 24) -> tuple[bytes, str]:
        """Read until EOF or an error: the bytes, and ``EOF`` or the name of the errno.

        ExperimentError when it has not ended after `limit` bytes.
        """
        loop = asyncio.get_running_loop()
        data = b""
        while len(data) < limit:
            try:
                piece = await asyncio.wait_for(loop.sock_recv(self.socket, 65536), self.timeout)
            except OSError as error:
                return data, self.told("recv()", errno_name(error))
            if not piece:
                return data, self.told("recv()", "EOF")
            data += piece
        raise ExperimentError(f"the server sent more than {limit} bytes")

    def half_close(self) -> None:
        """shutdown(SHUT_WR): our FIN goes out, we go on reading (RFC 9293 section 3.6, case 1)."""
        self._stamp("shutdown(SHUT_WR)")
        self.socket.shutdown(socket.SHUT_WR)

    def duplicate(self) -> ScriptedSocket:
        """Another descriptor of the same socket, as after dup() or fork()."""
        self._stamp("dup()")
        return ScriptedSocket(self.socket.dup(), self._stamp, timeout=self.timeout)

    def shutdown_read(self) -> None:
        """shutdown(SHUT_RD): sends nothing; our reads end (Linux net/ipv4/tcp.c, tcp_shutdown)."""
        self._stamp("shutdown(SHUT_RD)")
        self.socket.shutdown(socket.SHUT_RD)

    def send_urgent(self, data: bytes) -> None:
        """send() with MSG_OOB: the last byte is urgent (RFC 6093)."""
        self._stamp(f"send({len(data)} bytes, MSG_OOB)")
        self.socket.send(data, socket.MSG_OOB)

    def close(self) -> None:
        """close(): FIN, or RST where data lies unread (RFC 2525 section 2.17)."""
        self._stamp("close()")
        self.socket.close()

    def reset(self) -> None:
        """close() with SO_LINGER {1, 0}: RST (RFC 9293 section 3.10.5; Linux net/ipv4/tcp.c)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self._stamp("close() with SO_LINGER {1, 0}")
        self.socket.close()

    async def close_lingering(self, seconds: int) -> None:
        """close() with SO_LINGER {1, `seconds`}: it blocks, so a thread calls it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
        self._stamp(f"close() with SO_LINGER {{1, {seconds}}}")
        await asyncio.to_thread(self.socket.close)
        self.told("close()", "0")

    def vanish(self) -> None:
        """Be gone without a packet, as a host that lost its power: TCP_REPAIR, then close().

        PermissionError without CAP_NET_ADMIN (Linux net/ipv4/tcp.c, tcp_can_repair_sock).
        """
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self._stamp("vanishes without a packet")
        self.socket.close()

    def receive_buffer(self, size: int) -> None:
        """SO_RCVBUF, in bytes (Linux doubles it): before connect() it bounds the window from the SYN on."""
        self._stamp(f"setsockopt(SO_RCVBUF, {size} bytes)")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def send_buffer(self, size: int) -> None:
        """SO_SNDBUF, in bytes (Linux doubles it): how much send() takes before the peer has."""
        self._stamp(f"setsockopt(SO_SNDBUF, {size} bytes)")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def no_delay(self) -> None:
        """TCP_NODELAY: small writes do not wait for an ACK (RFC 9293 section 3.7.4 on Nagle)."""
        self._stamp("setsockopt(TCP_NODELAY)")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def user_timeout(self, milliseconds: int) -> None:
        """TCP_USER_TIMEOUT: how long sent data may stay unacknowledged (RFC 5482)."""
        self._stamp(f"setsockopt(TCP_USER_TIMEOUT, {milliseconds} ms)")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def keep_alive(self, idle: int, interval: int, count: int) -> None:
        """Arm SO_KEEPALIVE with its three numbers: seconds, seconds, probes (RFC 9293 section 3.8.4)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, idle),
            (socket.TCP_KEEPINTVL, interval),
            (socket.TCP_KEEPCNT, count),
        ):
            self.socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def told(self, what: str, result: str) -> str:
        """Write down what a call told; returns it."""
        self._stamp(f"{what} -> {result}")
        return result


class Client(ScriptedSocket):
    """A client of the server at `address`; `connect` it first.

    port     its own, 0: one that the kernel chooses; ExperimentError where it cannot have it
    timeout  seconds that any one step may take
    server   where it connects to, local where from: ("", 0) until it does
    """

    def __init__(
        self, address: tuple[str, int], stamp: Stamp, *, timeout: float = 20.0, port: int = 0
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(socket.socket(family, socket.SOCK_STREAM), stamp, timeout=timeout)
        self.server = address
        self.local: tuple[str, int] = ("", 0)
        if port:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(("", port))
            except OSError as error:
                self.socket.close()
                raise ExperimentError(f"the client cannot have port {port}: {error.strerror}") from error

    async def connect(self) -> str:
        """Connect; returns ``connected`` or the name of the errno.  `local` is known from the SYN on."""
        self._stamp("connect()")
        number = self.socket.connect_ex(self.server)
        self.local = self.socket.getsockname()[:2]
        if number == errno.EINPROGRESS:
            number = await self._outcome()
        return "connected" if not number else self.told("connect()", errno_name(OSError(number, "")))

    async def connect_with(self, data: bytes) -> str:
        """Connect with `data` in the SYN, where the server has given a cookie before (RFC 7413).

        Without one the SYN asks for it, and `data` is not sent.  Returns as `connect` does.
        """
        self._stamp(f"sendto({len(data)} bytes, MSG_FASTOPEN)")
        number = 0
        try:
            self.socket.sendto(data, socket.MSG_FASTOPEN, self.server)
        except OSError as error:
            number = error.errno or 0
        self.local = self.socket.getsockname()[:2]
        if number == errno.EINPROGRESS:
            number = await self._outcome()
        return "connected" if not number else self.told("sendto()", errno_name(OSError(number, "")))

    async def _outcome(self) -> int:
        """The errno of a connect() under way, 0 when it succeeds; ETIMEDOUT when it takes too long for us."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self.socket, ready.set)
        try:
            await asyncio.wait_for(ready.wait(), self.timeout)
        except TimeoutError:
            return errno.ETIMEDOUT
        finally:
            loop.remove_writer(self.socket)
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


class ScriptedServer:
    """A listening socket of a script: nothing is accepted, read or closed but by its steps.

    backlog  as of listen(2): the kernel queues one connection more
    timeout  seconds that any one step of it or of an accepted socket may take
    """

    def __init__(
        self, address: tuple[str, int], stamp: StampOf, *, backlog: int = 128, timeout: float = 20.0
    ) -> None:
        self.timeout = timeout
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(address)
            self.socket.listen(backlog)
        except OSError as error:
            self.socket.close()
            raise ExperimentError(f"cannot listen on {address[0]}:{address[1]}: {error.strerror}") from error
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()[:2]
        self.accepted: list[ScriptedSocket] = []
        self._stamp = stamp

    async def accept(self, *, timeout: float | None = None) -> ScriptedSocket:
        """Take the next connection.  ExperimentError when none comes in time."""
        timeout = self.timeout if timeout is None else timeout
        self._stamp("accept()")
        try:
            sock, peer = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(self.socket), timeout)
        except TimeoutError:
            raise ExperimentError(f"no connection came in {timeout:g} s") from None
        taken = ScriptedSocket(sock, partial(self._stamp, port=peer[1]), timeout=timeout)
        self.accepted.append(taken)
        return taken

    def receive_buffer(self, size: int) -> None:
        """SO_RCVBUF of the connections to come, in bytes: see `ScriptedSocket.receive_buffer`."""
        self._stamp(f"setsockopt(SO_RCVBUF, {size} bytes) of the listener")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    @property
    def waiting(self) -> int:
        """How many connections wait for accept(): tcpi_unacked of a listener (Linux)."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        count: int = struct.unpack_from("=I", info, LAYOUT["unacked"][0])[0]
        return count

    def close(self) -> None:
        """Close the listener: the kernel resets the connections that nobody accepted."""
        self._stamp("close() of the listener")
        self.socket.close()

    def end(self) -> None:
        """Close whatever is still open, without a step."""
        for taken in self.accepted:
            taken.socket.close()
        self.socket.close()


def errno_name(error: OSError) -> str:
    """``ECONNRESET`` and so on; a timeout of ours is ``no answer``."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    return errno.errorcode.get(error.errno or 0, str(error))
