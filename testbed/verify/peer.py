"""A client of a check: a plain non-blocking socket, read in the background, every step stamped.

What it was told (bytes, end of file, an errno) is kept, but no verdict rests on it alone: a clean EOF
may hide an RST whose error a failing send() consumed.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..kernel import DiagSocket
from ..lab.scripted import Client, errno_name
from ..render.escape import visible
from ..render.ladder import Step
from .dialogue import Request
from .outcome import Outcome, Verdict
from .replies import Reader, Reply
from .seen import Seen

if TYPE_CHECKING:
    from .stage import Stage
    from .tls import TlsLayer

STEP_SECONDS: Final = 10.0
"""How long a step of a client may take: connecting, or sending what fits into the buffers."""

_READ: Final = 1 << 16
_POUR: Final = 1 << 16
_SO_ATTACH_FILTER: Final = 26
_RETURN_NOTHING: Final = struct.pack("HBBI", 6, 0, 0, 0)  # BPF_RET | BPF_K, 0: keep no byte of any packet


class Asked:
    """One request on a connection, and its reply as the client's program was told it.

    request_begins, request_ends  where its bytes (TLS: its records) stand in what the client sent
    begins, ends                  likewise the reply's; `ends` is 0 until it is whole
    sent_ns, replied_ns           when it was sent, and when its reply was whole
    """

    def __init__(self, request: Request, reader: Reader, *, request_begins: int, begins: int) -> None:
        self.request = request
        self.reader = reader
        self.request_begins = request_begins
        self.request_ends = request_begins
        self.begins = begins
        self.ends = 0
        self.sent_ns = 0
        self.replied_ns = 0

    @property
    def reply(self) -> Reply:
        return self.reader.reply


class Peer:
    """A client.

    number       1, 2... in the order in which they were made in this check
    local        its address, once `connect` was called
    asked        its requests
    received     bytes of replies that were read
    sent, taken  bytes each way on the wire, TLS's records included
    ended        "EOF", or the name of the errno with which reading ended; None while it may be read
    silent_for   seconds from the server's last bytes to that end
    """

    def __init__(self, stage: Stage, number: int, *, receive_buffer: int | None = None) -> None:
        self.stage = stage
        self.number = number
        self.steps: list[Step] = []
        self.asked: list[Asked] = []
        self.ended: str | None = None
        self.ended_ns = 0
        self.silent_for = 0.0
        self.received = 0
        self.sent = 0
        self.taken = 0
        self._client = Client(stage.address, self._stamp, timeout=STEP_SECONDS)
        self._changed = asyncio.Event()
        self._reading = False
        self._tls: TlsLayer | None = None
        self._closed = False
        self._over = False  # the server's FIN was read: more data would draw a reset
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)

    @property
    def socket(self) -> socket.socket:
        return self._client.socket

    @property
    def local(self) -> tuple[str, int]:
        return self._client.local

    @property
    def close_notify(self) -> bool | None:
        """Whether TLS's close_notify came before the end; None where it speaks no TLS, or nothing ended."""
        return self._tls.close_notify if self._tls is not None and self.ended else None

    def _stamp(self, text: str) -> None:
        self.steps.append(Step(time.time_ns(), "client", f"client.{text}"))

    # ---- steps

    async def connect(self, *, read: bool = True) -> str:
        """Connect; ``connected`` or the name of the errno.  From then on it is read, unless told not to."""
        told = await self._client.connect()
        if told == "connected" and self.stage.plan.tls:
            from .tls import TlsLayer

            self._tls = TlsLayer(self.stage.address[0])
            told = await self._tls.handshake(self.socket, STEP_SECONDS)
            self.sent, self.taken = self._tls.sent, self._tls.taken
        if told == "connected" and read:
            self.read()
        return told

    def cork(self) -> None:
        """Keep what is sent until `half_close`, which sends it with its FIN (tcp(7): TCP_CORK, 200 ms)."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    async def ask(self, request: Request, *, size: int | None = None) -> Asked:
        """Send the first part of `request`."""
        reader = self.stage.dialogue.reader(request, size)
        asked = Asked(request, reader, request_begins=self.sent, begins=self.taken)
        self.asked.append(asked)
        await self.send(request.first)
        asked.sent_ns = time.time_ns()
        asked.request_ends = self.sent
        return asked

    async def finish(self, asked: Asked) -> None:
        """Send the rest of a request that was held back."""
        await self.send(asked.request.rest)
        asked.request_ends = self.sent

    async def send(self, data: bytes) -> str:
        """Send; ``sent`` or the name of the errno."""
        raw = self._tls.encrypt(data) if self._tls else data
        self.sent += len(raw)
        return await self._client.send(raw)

    async def pour(self, size: int, *, stall: float) -> str:
        """Send `size` bytes of body; ``sent``, ``stalled``, or the name of the errno.

        It is stalled when nothing more is taken for `stall` seconds.
        """
        piece = b"x" * _POUR
        self._stamp(f"send({size} bytes), piece by piece")
        sent = 0
        while sent < size:
            data = piece[: size - sent]
            record = memoryview(self._tls.encrypt(data) if self._tls else data)
            while record:
                try:
                    gone = self.socket.send(record)
                    self.sent += gone
                    record = record[gone:]
                except BlockingIOError:
                    if not await self._writable(stall):
                        return self._client.told("send()", "stalled")
                except OSError as error:
                    return self._client.told("send()", errno_name(error))
            sent += len(data)
            await asyncio.sleep(0)  # the capture is read in this loop too
        return "sent"

    async def _writable(self, within: float) -> bool:
        loop = asyncio.get_running_loop()
        room = asyncio.Event()
        loop.add_writer(self.socket, room.set)
        try:
            async with asyncio.timeout(within):
                await room.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_writer(self.socket)
        return True

    def half_close(self) -> None:
        """FIN; reading goes on.  In TLS close_notify goes before it (RFC 8446, 6.1)."""
        self._quietly(self._goodbye_tls)
        self._quietly(self._client.half_close)

    def close(self) -> None:
        """Leave: FIN, or RST where something was not read."""
        if not self._closed:
            self.pause()
            self._closed = True
            self._quietly(self._goodbye_tls)
            self._client.close()

    def reset(self) -> None:
        """RST."""
        self.pause()
        self._closed = True
        self._client.reset()

    def vanish(self) -> None:
        """Be gone like a host that lost its power: nothing that comes is taken, nothing is answered.

        A filter that keeps no byte of any packet does it; the socket is left as it is.
        """
        self.pause()
        self._stamp("vanishes: answers nothing any more")
        program = ctypes.create_string_buffer(_RETURN_NOTHING, len(_RETURN_NOTHING))
        filter_program = struct.pack("@HP", 1, ctypes.addressof(program))  # struct sock_fprog
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)

    def _goodbye_tls(self) -> None:
        if self._tls is not None and not self._tls.said_goodbye and not self._over:
            data = self._tls.goodbye()
            if data:
                self.socket.send(data)

    def _quietly(self, step: Callable[[], None]) -> None:
        """A goodbye on a connection that the other end has reset is no news."""
        try:
            step()
        except OSError as error:
            self._client.told("goodbye", errno_name(error))

    # ---- reading

    def read(self) -> None:
        """Read from now on, in the background."""
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self.socket, self._readable)

    def pause(self) -> None:
        """Read no more, for now."""
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self.socket)

    def _readable(self) -> None:
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(errno_name(error))
            return
        if not data:
            self._over = True
            self._end("EOF")
            return
        self.taken += len(data)
        plain = self._tls.decrypt(data) if self._tls else data
        if plain:
            self._take(plain)
        if self._tls is not None and self._tls.close_notify:
            self._end("EOF")  # the peer's last word (RFC 8446, 6.1), whether or not its FIN is there

    def _take(self, data: bytes) -> None:
        self.received += len(data)
        self._stamp(f"recv({len(data)} bytes)")
        asked = self._unanswered()
        if asked is not None and asked.reader.feed(data).complete:
            asked.replied_ns, asked.ends = time.time_ns(), self.taken
        self._tell()

    def _end(self, how: str) -> None:
        self.pause()
        self.silent_for = self.silence
        self.ended, self.ended_ns = how, time.time_ns()
        self._stamp(f"recv() -> {how}")
        asked = self._unanswered()
        if asked is not None and how == "EOF" and asked.reader.eof().complete:
            asked.replied_ns, asked.ends = self.ended_ns, self.taken
        self._tell()

    def _unanswered(self) -> Asked | None:
        return next((asked for asked in self.asked if not asked.reply.complete), None)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # ---- waiting

    async def replied(self, asked: Asked, within: float) -> bool:
        """Wait for the whole reply, or the end; whether it is whole."""
        await self._until(lambda: asked.reply.complete or bool(asked.reply.problem) or self.ended, within)
        return asked.reply.complete

    async def over(self, within: float) -> bool:
        """Wait until the server has ended its direction, or the connection is broken."""
        return await self._until(lambda: self.ended, within)

    async def _until(self, holds: Callable[[], object], within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                while not holds():
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    # ---- witnesses

    @property
    def kernel(self) -> DiagSocket | None:
        """The server's end of this connection as the kernel has it now; None when it has none."""
        return self.stage.kernel.lookup(self.stage.address, self.local)

    @property
    def silence(self) -> float:
        """Seconds since the last bytes of the server's came, by this client's kernel where it says so.

        A program's own clock is late by as long as it waited for its turn on the processor.
        """
        row = self.stage.kernel.lookup(self.local, self.stage.address, info=True)
        last = row.info.last_data_recv_ms if row is not None and row.info is not None else None
        if last is None or self._tls is not None:  # there close_notify is such bytes
            return (time.time_ns() - max((asked.replied_ns for asked in self.asked), default=0)) / 1e9
        return last / 1000

    @property
    def waiting(self) -> int:
        """Bytes that lie in this client's own kernel, unread; the server's FIN counts as one."""
        row = self.stage.kernel.lookup(self.local, self.stage.address)
        return row.rqueue if row is not None else 0

    @property
    def seen(self) -> Seen:
        """What the wire shows of it, once the stage has cut its capture."""
        return self.stage.seen(self)

    @property
    def unasked(self) -> str:
        """What the server said behind its reply, or without any request, in words: ``, behind '408 ...'``."""
        said = self.seen.sent(by_client=False)[self.asked[0].ends if self.asked else 0 :]
        if not said or self._tls is not None:  # TLS says of itself: tickets, alerts
            return ""
        first = said.splitlines()[0][:40].decode(errors="replace")
        return f", behind {visible(first)!r}"

    def reply_seen(self, asked: Asked) -> Reply:
        """The reply as the wire carried it; in TLS, as it was decrypted."""
        if self._tls is not None:
            return asked.reply
        reader = self.stage.dialogue.reader(asked.request, self.stage.size_of(asked.request))
        seen = self.seen
        reply = reader.feed(seen.sent(by_client=False)[asked.begins :])
        return reader.eof() if seen.server_fin and not reply.complete else reply


def with_goodbye(outcome: Outcome, peer: Peer) -> Outcome:
    """A pass, but in TLS only when close_notify came before the FIN (RFC 8446, 6.1)."""
    if peer.close_notify is None:
        return outcome
    measured = {**outcome.measured, "close_notify": peer.close_notify}
    if peer.close_notify or outcome.verdict is not Verdict.PASS:
        return replace(outcome, measured=measured)
    return Outcome(
        Verdict.WARN,
        f"{outcome.what}, without TLS's close_notify before it",
        "the client cannot tell an end from a cut (a truncation attack): strict ones report an error",
        "send close_notify before every FIN (RFC 8446, 6.1)",
        measured,
        outcome.frames,
    )
