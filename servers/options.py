"""What can be set on any server here, whatever protocol it speaks: keepalive numbers and limits."""

from __future__ import annotations

import socket
from dataclasses import dataclass

__all__ = ["KeepAlive", "Limits"]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """SO_KEEPALIVE and its three numbers (RFC 9293, 3.8.4; RFC 1122, 4.2.3.6).

    `idle` and `interval` are whole seconds, since that is all the kernel takes; `count` is the number
    of unanswered probes after which the connection is dead.
    """

    idle: int = 15
    interval: int = 15
    count: int = 8

    def __post_init__(self) -> None:
        # The kernel's own bounds (tcp_keepalive_* in include/net/tcp.h): said here, an error names the field.
        for name, value, most in (
            ("idle", self.idle, 32767),
            ("interval", self.interval, 32767),
            ("count", self.count, 127),
        ):
            if not 1 <= value <= most:
                raise ValueError(f"keepalive {name} must be 1 to {most}, not {value}")

    def apply(self, sock: socket.socket) -> None:
        """Switch the probes on for `sock`."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, self.interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, self.count)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take, so that it costs no other client anything.  None means no limit.

    frame    bytes of one request: an RPC frame, an HTTP body (echo has no frames)
    header   bytes of an HTTP request's line and headers
    idle     seconds without a request under way, a fresh connection included
    request  seconds from a request's first byte to its last (a slow-loris runs into this)
    write    seconds in which a client must take 64 KiB of its reply
    pause    seconds, the longest a client may ask a reply to be put off (`sleep`, `/slow`)
    """

    frame: int = 1 << 20
    header: int = 16 << 10
    idle: float | None = 300.0
    request: float | None = 10.0
    write: float | None = 30.0
    pause: float = 600.0

    def __post_init__(self) -> None:
        for name, number in (("frame", self.frame), ("header", self.header)):
            if number < 1:
                raise ValueError(f"limit {name} must be at least 1 byte, not {number}")
        for name, seconds in (
            ("idle", self.idle),
            ("request", self.request),
            ("write", self.write),
            ("pause", self.pause),
        ):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"limit {name} must be more than 0 seconds, not {seconds}")
