"""The options that a server has set on one of its sockets, asked of the kernel through a second descriptor.

sock_diag tells that keepalive is armed, not its interval and count.  pidfd_getfd(2) gives a second
descriptor of the very same socket, which getsockopt(2) answers for; it is closed before anything else
happens, as a close() by the server sends no FIN while it is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from typing import Final, NamedTuple

_SYS_PIDFD_GETFD: Final = 438  # the same on every architecture since 5.6
_TCP_USER_TIMEOUT: Final = 18


class SocketOptions(NamedTuple):
    """What is set; times in seconds.

    keepalive     SO_KEEPALIVE; with it `idle`, `interval` and `probes`, their number (tcp(7))
    user_timeout  TCP_USER_TIMEOUT, 0 for the kernel's own limit
    linger        SO_LINGER's seconds, None where it is off: 0 makes close() a reset
    """

    keepalive: bool
    idle: int
    interval: int
    probes: int
    user_timeout: float
    linger: int | None

    @property
    def gives_up(self) -> int:
        """Seconds after which the kernel gives up a peer that answers no probe."""
        return self.idle + self.interval * self.probes


def read_options(pid: int, descriptor: int) -> SocketOptions | None:
    """The options of a process's socket; None where this user may not look into that process."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(_SYS_PIDFD_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    if copy < 0:
        return None
    with contextlib.suppress(OSError), socket.socket(fileno=copy) as sock:
        on, seconds = struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        tcp = socket.IPPROTO_TCP
        return SocketOptions(
            bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
            sock.getsockopt(tcp, socket.TCP_KEEPIDLE),
            sock.getsockopt(tcp, socket.TCP_KEEPINTVL),
            sock.getsockopt(tcp, socket.TCP_KEEPCNT),
            sock.getsockopt(tcp, _TCP_USER_TIMEOUT) / 1000,
            seconds if on else None,
        )
    return None
