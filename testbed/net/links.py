"""Network interfaces of the calling thread's network: raised, named and joined through rtnetlink(7),
counted by /proc.

/proc/net is the network of the *process's first* thread (a link to /proc/self/net); a thread that
went into a network of its own finds it under /proc/thread-self.  /sys/class/net shows the network
it was mounted in and is no use here at all.
"""

from __future__ import annotations

import array
import errno
import socket
import struct
import time
from pathlib import Path
from typing import Final

from ..errors import UsageError
from . import rtnetlink
from .rtnetlink import attribute, number

PRIVATE_MARK: Final = "testbed: private network"
"""The alias of a private network's `lo`.  The mark lies in the network itself, so that whoever is
inside can tell, through any number of forks and execs."""

_SMALLEST_GSO: Final = 512  # the kernel refuses less than a TCP header of the largest kind
_OPERSTATE_UP: Final = b"\x06"  # IF_OPER_UP, RFC 2863
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17


def _sizes(mtu: int) -> bytes:
    """Attributes for an MTU in bytes, and packets never joined beyond it.

    Without the limits on segmentation offload an interface carries up to 64 KiB in one "segment",
    which no wire does.
    """
    found = attribute(rtnetlink.IFLA_MTU, number(mtu))
    if mtu < 65536:
        size = number(max(mtu, _SMALLEST_GSO))
        found += attribute(rtnetlink.IFLA_GSO_MAX_SIZE, size) + attribute(rtnetlink.IFLA_GRO_MAX_SIZE, size)
    return found


def raise_link(name: str, *, mtu: int | None = None, alias: str | None = None) -> None:
    """Set interface `name` up, with an MTU in bytes and packets never joined beyond it.

    Error handling: OSError with the kernel's reason (EPERM: no CAP_NET_ADMIN here).
    """
    attributes = b"" if mtu is None else _sizes(mtu)
    if alias is not None:
        attributes += attribute(rtnetlink.IFLA_IFALIAS, alias.encode())
    rtnetlink.change_interface(socket.if_nametoindex(name), attributes, up=True)


def set_mtu(name: str, mtu: int) -> None:
    """Change the MTU of interface `name`, in bytes.  OSError (EINVAL) for one that it cannot have."""
    rtnetlink.change_interface(socket.if_nametoindex(name), _sizes(mtu))


def join(name: str, hardware: bytes, network: int, peer_name: str, peer_hardware: bytes) -> None:
    """Make a veth pair: `name` here, `peer_name` in the network that descriptor `network` holds."""
    here = attribute(rtnetlink.IFLA_IFNAME, name.encode() + b"\0")
    there = attribute(rtnetlink.IFLA_IFNAME, peer_name.encode() + b"\0")
    here += attribute(rtnetlink.IFLA_ADDRESS, hardware)
    there += attribute(rtnetlink.IFLA_ADDRESS, peer_hardware)
    rtnetlink.add_veth(here, there + attribute(rtnetlink.IFLA_NET_NS_FD, number(network)))


def write_checksums(name: str) -> None:
    """Have the kernel fill in checksums before a packet leaves through `name` (ethtool -K NAME tx off).

    A veth leaves that to hardware which is not there: a capture shows wrong ones, and a packet that
    comes back through a packet socket is thrown away for it.  Segmentation offload goes with it.
    """
    import fcntl  # not on every system on which this module can be imported

    value = array.array("I", (_ETHTOOL_STXCSUM, 0))  # struct ethtool_value
    address, _ = value.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        request = struct.pack("16sP16x", name.encode(), address)  # struct ifreq
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


def alias(name: str) -> str:
    """The alias that was given to interface `name`, "" when none was."""
    answer = rtnetlink.interface(socket.if_nametoindex(name))
    for kind, value in rtnetlink.attributes_of(answer):
        if kind == rtnetlink.IFLA_IFALIAS:
            return value.rstrip(b"\0").decode(errors="replace")
    return ""


def until_up(name: str, *, timeout: float = 3.0) -> None:
    """Wait until interface `name`, whose peer is raised too, carries packets.

    The end that was raised first learns of the other by a work queue of the kernel (net/core/link_watch.c),
    which may put it off for a second.  Until then it loses without a word what is sent.  From Linux 6.8 on
    to ask is enough.

    Error handling: OSError (ETIMEDOUT) when it does not come to it.
    """
    index = socket.if_nametoindex(name)
    deadline = time.monotonic() + timeout
    while (rtnetlink.IFLA_OPERSTATE, _OPERSTATE_UP) not in rtnetlink.attributes_of(
        rtnetlink.interface(index)
    ):
        if time.monotonic() > deadline:
            raise OSError(errno.ETIMEDOUT, f"{name} does not come up")
        time.sleep(0.001)


def in_private_network() -> bool:
    """Whether the calling thread is in a network that `net.private` or `net.hosts` made."""
    try:
        return alias("lo") == PRIVATE_MARK
    except OSError:
        return False


def passed_packets(name: str) -> int:
    """Packets that a capture on interface `name` of this thread's network should have seen so far.

    Those received and those sent; on `lo` each packet is both, and seen once.  One received is counted
    before the taps see it, so whoever has captured as many as were counted has lost none; one sent just
    after they saw it, within the sender's system call.
    """
    received, sent = _counters(name)
    return received if name == "lo" else received + sent


def _counters(name: str) -> tuple[int, int]:
    """Packets received and packets sent (proc_pid_net(5): eight columns of each, the second is packets)."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        interface, colon, numbers = line.partition(":")
        if colon and interface.strip() == name:
            columns = numbers.split()
            return int(columns[1]), int(columns[9])
    raise UsageError(f"no interface {name!r} in this network; there are: {', '.join(names())}")


def names() -> list[str]:
    """The interfaces of this thread's network, in the kernel's order."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    return [line.partition(":")[0].strip() for line in lines if ":" in line]
