"""What the wire shows of one client's connection: the packets that verdicts rest on.

Numbers are by sequence space, never by counting packets: what was sent twice counts once
(loopback retransmits too).  Times are the capture's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..tcp.connection import Connection
from ..tcp.facts import Exchange
from ..wire.segment import ACK, FIN, RST, SYN

_MASK = 0xFFFFFFFF


class Mark(NamedTuple):
    """A packet: its number in the check's capture, and when it was captured (ns since the epoch)."""

    frame: int
    time_ns: int


class Seen:
    """One connection.  All is None or empty where the connection was not seen at all."""

    def __init__(self, connection: Connection | None) -> None:
        self.connection = connection
        self._exchanges: list[Exchange] = (connection.exchanges or []) if connection else []

    # ---- single packets, each the first of its kind

    @property
    def client_fin(self) -> Mark | None:
        return self._first(FIN, from_client=True)

    @property
    def server_fin(self) -> Mark | None:
        return self._first(FIN, from_client=False)

    @property
    def client_rst(self) -> Mark | None:
        return self._first(RST, from_client=True)

    @property
    def server_rst(self) -> Mark | None:
        """None also for one that only says that the connection is over, which both FINs had ended.

        A loopback on two processors does not keep order: an ACK that was overtaken by the last one finds
        nothing left, and the kernel says so with an RST of which no program knows.
        """
        rst = self._first(RST, from_client=False)
        over = self._over()
        return rst if rst is None or over is None or rst.frame < over else None

    def _over(self) -> int | None:
        """The frame by which both FINs were acknowledged; None where they were not."""
        if self.connection is None:
            return None
        acked = self.connection.client.fin_acked_frame, self.connection.server.fin_acked_frame
        return max(acked) if all(acked) else None

    @property
    def server_end(self) -> Mark | None:
        """The server's FIN or RST, whichever came first."""
        marks = [mark for mark in (self.server_fin, self.server_rst) if mark]
        return min(marks, key=lambda mark: mark.time_ns, default=None)

    @property
    def opened(self) -> bool:
        """The handshake was answered."""
        return any(not e.from_client and e.segment.flags & (SYN | ACK) == SYN | ACK for e in self._exchanges)

    @property
    def refused(self) -> bool:
        """The SYN was answered with an RST."""
        return bool(self.server_rst) and not self.opened

    def _first(self, flag: int, *, from_client: bool) -> Mark | None:
        for exchange in self._exchanges:
            if exchange.from_client == from_client and exchange.segment.flags & flag:
                return _mark(exchange)
        return None

    def last(self, *, by_client: bool, before: Mark) -> Mark | None:
        """The last packet of one end before that one."""
        earlier = [
            e for e in self._exchanges if e.from_client == by_client and e.segment.frame < before.frame
        ]
        return _mark(earlier[-1]) if earlier else None

    # ---- streams

    def sent(self, *, by_client: bool) -> bytes:
        """The bytes that one end sent, in order, up to the first that is missing."""
        return b"".join(piece for piece, _ in self._stream(by_client))

    def byte(self, position: int, *, by_client: bool) -> Mark | None:
        """The packet that first carried the byte at `position` (from 0); None when it was never sent."""
        at = 0
        for piece, exchange in self._stream(by_client):
            at += len(piece)
            if position < at:
                return _mark(exchange)
        return None

    def acknowledged(self, count: int, *, by_client: bool) -> Mark | None:
        """The first packet with which an end acknowledged `count` bytes of its peer's."""
        for exchange in self._exchanges:
            if (
                exchange.from_client == by_client
                and exchange.segment.flags & ACK
                and not exchange.segment.flags & RST
                and exchange.ack >= count + 1  # the SYN is number 0
            ):
                return _mark(exchange)
        return None

    def _stream(self, by_client: bool) -> Iterator[tuple[bytes, Exchange]]:
        """New bytes with the packet that brought them, in the order of their numbers."""
        pieces = [
            (exchange.seq - 1, exchange)
            for exchange in self._exchanges
            if exchange.from_client == by_client
            and exchange.segment.length
            and exchange.seq is not None
            and not exchange.segment.flags & (SYN | RST)
        ]
        at = 0
        for start, exchange in sorted(pieces, key=lambda pair: (pair[0], pair[1].segment.frame)):
            payload = exchange.segment.payload
            if start > at:
                return
            if start + len(payload) > at:
                yield payload[at - start :], exchange
                at = start + len(payload)


def _mark(exchange: Exchange) -> Mark:
    return Mark(exchange.segment.frame, exchange.segment.time_ns)


def between(first: Mark | int, second: Mark | int) -> float:
    """Seconds from one to the other."""
    one = first.time_ns if isinstance(first, Mark) else first
    other = second.time_ns if isinstance(second, Mark) else second
    return (other - one) / 1e9


def frames(*marks: Mark | None) -> tuple[int, ...]:
    """Their numbers, without those that are not there."""
    return tuple(mark.frame for mark in marks if mark)


def at(*marks: Mark | None) -> str:
    """``(frame 12)``, ``(frames 9, 12)``, or nothing."""
    numbers = [str(mark.frame) for mark in marks if mark]
    if not numbers:
        return ""
    return f" (frame {numbers[0]})" if len(numbers) == 1 else f" (frames {', '.join(numbers)})"
