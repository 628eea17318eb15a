"""Interfaces of the calling thread's network: raised by rtnetlink, counted by /proc.

/proc/net is the network of the *process's first* thread (a link to /proc/self/net); a thread that
went into a network of its own finds it under /proc/thread-self.  /sys/class/net shows the network
it was mounted in and is no use here at all.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Final

from ..errors import UsageError

PRIVATE_MARK: Final = "testbed: private network"
"""The alias of a private network's `lo`.  The mark lies in the network itself, so that whoever is
inside can tell, through any number of forks and execs."""

_AF_NETLINK: Final = 16
_NETLINK_ROUTE: Final = 0
_NLMSG_ERROR: Final = 2
_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_IFLA_MTU, _IFLA_IFALIAS, _IFLA_GSO_MAX_SIZE, _IFLA_GRO_MAX_SIZE = 4, 20, 41, 58
_IFF_UP: Final = 1
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr
_INTERFACE: Final = struct.Struct("=BxHiII")  # ifinfomsg
_ATTRIBUTE: Final = struct.Struct("=HH")
_SMALLEST_GSO: Final = 512  # the kernel refuses less than a TCP header of the largest kind


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def _ask(kind: int, index: int, flags: int, change: int, attributes: bytes = b"") -> bytes:
    """One request about interface `index`; the payload of the answer, OSError for a refusal."""
    body = _INTERFACE.pack(0, 0, index, flags, change) + attributes
    wanted = _NLM_F_REQUEST | (_NLM_F_ACK if kind == _RTM_NEWLINK else 0)
    with socket.socket(_AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE) as link:
        link.settimeout(5.0)
        link.send(_HEADER.pack(_HEADER.size + len(body), kind, wanted, 1, 0) + body)
        answer = link.recv(65536)
    length, answered, _, _, _ = _HEADER.unpack_from(answer)
    if answered == _NLMSG_ERROR:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        if number:
            raise OSError(-number, os.strerror(-number))
    return answer[_HEADER.size : length]


def raise_link(name: str, *, mtu: int | None = None, alias: str | None = None) -> None:
    """Set interface `name` up, with an MTU in bytes and packets never joined beyond it.

    Without the limits on segmentation offload `lo` carries up to 64 KiB in one "segment", which no
    wire does.  Error handling: OSError with the kernel's reason (EPERM: no CAP_NET_ADMIN here).
    """
    attributes = b""
    if mtu is not None:
        size = struct.pack("=I", max(mtu, _SMALLEST_GSO))
        attributes += _attribute(_IFLA_MTU, struct.pack("=I", mtu))
        if mtu < 65536:
            attributes += _attribute(_IFLA_GSO_MAX_SIZE, size) + _attribute(_IFLA_GRO_MAX_SIZE, size)
    if alias is not None:
        attributes += _attribute(_IFLA_IFALIAS, alias.encode())
    _ask(_RTM_NEWLINK, socket.if_nametoindex(name), _IFF_UP, _IFF_UP, attributes)


def alias(name: str) -> str:
    """The alias that was given to interface `name`, "" when none was."""
    answer = _ask(_RTM_GETLINK, socket.if_nametoindex(name), 0, 0)
    at = _INTERFACE.size
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if length < _ATTRIBUTE.size:
            break
        if kind == _IFLA_IFALIAS:
            return answer[at + _ATTRIBUTE.size : at + length].rstrip(b"\0").decode(errors="replace")
        at += (length + 3) & ~3
    return ""


def in_private_network() -> bool:
    """Whether the calling thread is in a network that `net.private` made."""
    try:
        return alias("lo") == PRIVATE_MARK
    except OSError:
        return False


def rx_packets(name: str = "lo") -> int:
    """Packets that interface `name` of this thread's network has received so far ("received packets").

    On `lo` every packet sent is received once.  A packet is counted before it reaches the taps, so
    whoever has captured as many as were counted has lost none.
    """
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        interface, colon, numbers = line.partition(":")
        if colon and interface.strip() == name:
            return int(numbers.split()[1])
    raise UsageError(f"no interface {name!r} in this network; there are: {', '.join(names())}")


def names() -> list[str]:
    """The interfaces of this thread's network, in the kernel's order."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    return [line.partition(":")[0].strip() for line in lines if ":" in line]
