"""rtnetlink(7): one question about interfaces, addresses or neighbours, and the kernel's answer.

Each function speaks of the calling thread's network.  A refusal is an OSError with the kernel's
errno (EPERM: no CAP_NET_ADMIN there; EEXIST, ENODEV and so on).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

_AF_NETLINK: Final = 16
_NETLINK_ROUTE: Final = 0
_NLMSG_ERROR: Final = 2
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE = 1, 4, 0x100, 0x200, 0x400
_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_NEWROUTE, _RTM_NEWNEIGH = 16, 18, 20, 24, 28

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 18, 20
IFLA_OPERSTATE = 16
IFLA_NET_NS_FD, IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE = 28, 41, 58
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _NDA_DST, _NDA_LLADDR = 1, 2, 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS = 1, 4, 5, 7, 8
_RTAX_LOCK, _RTAX_RTO_MIN = 1, 13
_TABLE_MAIN, _PROTOCOL_KERNEL, _PROTOCOL_STATIC, _UNICAST = 254, 2, 4, 1
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_NUD_PERMANENT: Final = 0x80
_IFF_UP: Final = 1

_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr
_INTERFACE: Final = struct.Struct("=BxHiII")  # ifinfomsg
_IPV4_ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # rtmsg
_NEIGHBOUR: Final = struct.Struct("=BxHiHBB")  # ndmsg
_ATTRIBUTE: Final = struct.Struct("=HH")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute (struct nlattr), padded to four bytes; several joined may be another's value."""
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def number(value: int) -> bytes:
    """A 32-bit attribute's value."""
    return struct.pack("=I", value)


def attributes_of(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes behind the ifinfomsg of an answer about an interface: kind and value."""
    at = _INTERFACE.size
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, answer[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _ask(kind: int, flags: int, body: bytes) -> bytes:
    """Send one request; the payload of the answer."""
    with socket.socket(_AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE) as link:
        link.settimeout(5.0)
        link.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body)
        answer = link.recv(65536)
    length, answered, _, _, _ = _HEADER.unpack_from(answer)
    if answered == _NLMSG_ERROR:
        (error,) = struct.unpack_from("=i", answer, _HEADER.size)
        if error:
            raise OSError(-error, os.strerror(-error))
    return answer[_HEADER.size : length]


def change_interface(index: int, attributes: bytes = b"", *, up: bool | None = None) -> None:
    """Give interface `index` new attributes; raise it, lower it, or leave it as it is."""
    flags, change = (0, 0) if up is None else (_IFF_UP if up else 0, _IFF_UP)
    _ask(_RTM_NEWLINK, _ACK, _INTERFACE.pack(0, 0, index, flags, change) + attributes)


def interface(index: int) -> bytes:
    """All that is known of interface `index`, for `attributes_of`."""
    return _ask(_RTM_GETLINK, 0, _INTERFACE.pack(0, 0, index, 0, 0))


def add_veth(here: bytes, there: bytes) -> None:
    """Make a veth pair out of both ends' attributes; IFLA_NET_NS_FD puts an end into another network."""
    nothing = _INTERFACE.pack(0, 0, 0, 0, 0)
    peer = attribute(_VETH_INFO_PEER, nothing + there)
    info = attribute(_IFLA_INFO_KIND, b"veth") + attribute(_IFLA_INFO_DATA, peer)
    _ask(_RTM_NEWLINK, _ACK | _CREATE | _EXCL, nothing + here + attribute(IFLA_LINKINFO, info))


def add_address(index: int, address: str, prefix: int) -> None:
    """Give interface `index` an IPv4 address."""
    packed = socket.inet_aton(address)
    body = _IPV4_ADDRESS.pack(socket.AF_INET, prefix, 0, 0, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    _ask(_RTM_NEWADDR, _ACK | _CREATE | _REPLACE, body)


def set_neighbour(index: int, address: str, hardware: bytes) -> None:
    """Say for good which hardware address `address` has behind interface `index`: no ARP is needed."""
    body = _NEIGHBOUR.pack(socket.AF_INET, 0, index, _NUD_PERMANENT, 0, 0)
    body += attribute(_NDA_DST, socket.inet_aton(address)) + attribute(_NDA_LLADDR, hardware)
    _ask(_RTM_NEWNEIGH, _ACK | _CREATE | _REPLACE, body)


def set_rto_min(index: int, address: str, prefix: int, milliseconds: int) -> None:
    """Have TCP wait so long before it sends anything again through interface `index`, which has `address`.

    It is the route's (ip-route(8), rto_min), and holds for connections opened from now on.
    """
    packed = int.from_bytes(socket.inet_aton(address), "big")
    network = (packed >> (32 - prefix) << (32 - prefix)).to_bytes(4, "big")
    metrics = attribute(_RTAX_LOCK, number(1 << _RTAX_RTO_MIN)) + attribute(
        _RTAX_RTO_MIN, number(milliseconds)
    )
    body = _ROUTE.pack(socket.AF_INET, prefix, 0, 0, _TABLE_MAIN, _PROTOCOL_KERNEL, _SCOPE_LINK, _UNICAST, 0)
    body += attribute(_RTA_DST, network) + attribute(_RTA_OIF, number(index))
    body += attribute(_RTA_PREFSRC, socket.inet_aton(address)) + attribute(_RTA_METRICS, metrics)
    _ask(_RTM_NEWROUTE, _ACK | _CREATE | _REPLACE, body)


def add_route(network: str, prefix: int, gateway: str) -> None:
    """Have what is for `network` sent to `gateway`, which must be on a wire of this network."""
    body = _ROUTE.pack(
        socket.AF_INET, prefix, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _UNICAST, 0
    )
    body += attribute(_RTA_DST, socket.inet_aton(network)) + attribute(
        _RTA_GATEWAY, socket.inet_aton(gateway)
    )
    _ask(_RTM_NEWROUTE, _ACK | _CREATE | _REPLACE, body)
