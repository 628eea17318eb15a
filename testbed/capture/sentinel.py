"""A datagram of one's own that is seen to come back: what passed before it has been captured too.

On `lo` it goes from a socket to that same socket: sent to a port where nobody listens, each one
would draw an ICMP error into the capture.  Nobody reads it; once the socket's buffer is full the
kernel drops it behind the tap.  Through any other interface a datagram for one's own address would
never pass (it takes `lo`), so there it is multicast, link-local by its time to live of 1.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

DISCARD: Final = 9
"""The UDP port of the discard service (RFC 863)."""

GROUP: Final = "239.255.83.9"
"""In the block for local use that nobody needs to be given (RFC 2365 section 6.1)."""

MAX_SIZE: Final = 128
"""Bytes that a packet with a sentinel never exceeds, whatever its link type."""

_NUMBER: Final = struct.Struct(">I")
_TOKEN: Final = 16
_UDP: Final = 8
_TO_GROUP: Final = socket.inet_aton(GROUP)


class Sentinel:
    """Numbered datagrams that carry a random token, by which one knows one's own.

    port   the UDP port that they go to
    sent   datagrams sent so far
    """

    def __init__(self, interface: str) -> None:
        self.sent = 0
        self._token = os.urandom(_TOKEN)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            if interface in ("lo", "any"):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                self._socket.bind(("127.0.0.1", 0))
                self._to: tuple[str, int] = self._socket.getsockname()
            else:
                index = socket.if_nametoindex(interface)
                nothing = socket.inet_aton("0.0.0.0")
                request = struct.pack("=4s4si", nothing, nothing, index)  # struct ip_mreqn
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
                self._to = (GROUP, DISCARD)
        except BaseException:
            self._socket.close()
            raise

    @property
    def port(self) -> int:
        return self._to[1]

    def send(self, number: int) -> None:
        """Send datagram `number`; OSError where the interface does not take it."""
        self._socket.sendto(self._token + _NUMBER.pack(number), self._to)
        self.sent += 1

    def number_of(self, data: bytes) -> int | None:
        """The number of the datagram in a captured packet; None when the packet is not one of ours."""
        if len(data) > MAX_SIZE or data[-_TOKEN - _NUMBER.size : -_NUMBER.size] != self._token:
            return None
        number: int = _NUMBER.unpack_from(data, len(data) - _NUMBER.size)[0]
        return number

    @staticmethod
    def is_anothers(data: bytes) -> bool:
        """Whether a captured packet that has no number of ours is the sentinel of a capture at the wire's
        other end: it comes through to this one."""
        at = len(data) - _TOKEN - _NUMBER.size - _UDP
        return (
            at >= 4
            and len(data) <= MAX_SIZE
            and data[at - 4 : at] == _TO_GROUP
            and data[at + 2 : at + 4] == DISCARD.to_bytes(2, "big")
        )

    def close(self) -> None:
        self._socket.close()
