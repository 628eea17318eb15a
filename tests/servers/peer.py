"""A client made of one plain socket, and a look at the kernel's side of its connection.

Plain, because asyncio's streams decide things that these tests are about: when to read, when to close.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from testbed.servers import Server

#: Seconds after which a wait has failed; nothing here takes a tenth of it.
PATIENCE = 10.0


class Peer:
    """A connected client.  Every wait is bounded; `None` from `told` means nothing was said."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.name: tuple[str, int] = sock.getsockname()[:2]
        self.server: tuple[str, int] = sock.getpeername()[:2]

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, size: int) -> bytes:
        """Exactly `size` bytes, or what came before the EOF."""
        data = b""
        async with asyncio.timeout(PATIENCE):
            while len(data) < size and (
                chunk := await asyncio.get_running_loop().sock_recv(self.sock, size - len(data))
            ):
                data += chunk
        return data

    async def told(self, within: float = PATIENCE) -> bytes | str:
        """What is still sent before the EOF; "reset"; or "nothing", when no end came in this time."""
        data = b""
        try:
            async with asyncio.timeout(within):
                while chunk := await asyncio.get_running_loop().sock_recv(self.sock, 65536):
                    data += chunk
        except ConnectionResetError:
            return "reset"
        except TimeoutError:
            return "nothing"
        return data

    def finish(self) -> None:
        """Send FIN, go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def states(self) -> tuple[str, str]:
        """The kernel's states of the server's and of the client's socket, "NONE" for one that is gone."""
        mine = theirs = "NONE"
        for row in psutil.net_connections("tcp"):
            # Both addresses: another server's TIME_WAIT may still know a client of this port.
            ends = row.laddr[:2], row.raddr[:2]
            if ends == (self.name, self.server):
                mine = row.status
            elif ends == (self.server, self.name):
                theirs = row.status
        return theirs, mine

    async def in_states(self, server: str, client: str) -> None:
        """Wait for the two states together."""
        await eventually(lambda: self.states() == (server, client), self.states)


@asynccontextmanager
async def connected(server: Server, *, receive_buffer: int | None = None) -> AsyncIterator[Peer]:
    """A `Peer` of `server`, closed at the end."""
    family = socket.AF_INET6 if ":" in server.address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(sock, server.address)
        yield Peer(sock)


async def eventually(holds: Callable[[], bool], seen: Callable[[], object] = lambda: "not seen") -> None:
    """Poll until `holds()`; for what the kernel does and nobody announces."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, seen()
        await asyncio.sleep(0.005)


async def until(server: Server, seen: Callable[[Server], bool]) -> None:
    """`server.until`, bounded."""
    async with asyncio.timeout(PATIENCE):
        await server.until(seen)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def still_serves(server: Server) -> None:
    """Another client is answered: an echo server with its usual prefix."""
    async with connected(server) as other:
        await other.send(b"hello\r\n")
        assert await other.receive(18) == b"server got:hello\r\n"
