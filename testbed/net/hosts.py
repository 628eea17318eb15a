"""Two hosts on one machine: a network namespace for the client, one for the server, a wire between them.

    with TwoHosts() as hosts:
        with hosts.server.enter():
            listener = socket.create_server((hosts.server.address, 80))
        with hosts.client.enter():
            ...                            # sockets, SockDiag, tcpdump: all of them the client's
        hosts.cut()

The wire is a veth pair of Ethernet frames, with an MTU, addresses of their own (TEST-NET-1, RFC
5737) and checksums that are right.  With ``middle=True`` it goes through a third namespace without
addresses, in which a process can decide about each frame (`net.link`):

    client eth0 ---- client | middle | server ---- eth0 server

Both hosts have this machine's clock.  The namespaces are held by descriptors alone: when this
process ends, however it does, and with it all that was started inside, they are gone.
"""

from __future__ import annotations

import contextlib
import socket
from types import TracebackType
from typing import Final, Literal, Self

from ..errors import CapabilityError, UsageError
from . import libc, links, rtnetlink
from .network import Network

Side = Literal["client", "server"]

INTERFACE: Final = "eth0"
"""Each host's end of the wire."""
PREFIX: Final = 24
ADDRESSES: Final[dict[Side, str]] = {"client": "192.0.2.1", "server": "192.0.2.2"}
HARDWARE: Final[dict[Side, bytes]] = {"client": b"\x02\0\0\0\0\x01", "server": b"\x02\0\0\0\0\x02"}
"""Locally administered (IEEE 802), and the same in every run: captures compare."""
NOWHERE: Final = b"\x02\0\0\0\0\xff"
"""A hardware address that nobody has: what is sent there is lost without a word."""
_MIDDLE: Final[dict[Side, bytes]] = {"client": b"\x02\0\0\0\0\x11", "server": b"\x02\0\0\0\0\x12"}


class Host(Network):
    """One of the two: its network, its address, and its end of the wire (`INTERFACE`)."""

    def __init__(self, side: Side, *, mtu: int) -> None:
        super().__init__(side, mtu=mtu, ipv6=False)
        self.side = side
        self.address = ADDRESSES[side]

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU of this end, in bytes; the other end keeps its own.

        Error handling: UsageError for one that the kernel does not take.
        """
        with self.enter():
            try:
                links.set_mtu(INTERFACE, mtu)
            except OSError as error:
                raise UsageError(f"an MTU of {mtu} bytes is refused: {error.strerror}") from None

    def _furnish(self, mtu: int) -> None:
        with self.enter():
            links.set_mtu(INTERFACE, mtu)
            links.write_checksums(INTERFACE)
            links.raise_link(INTERFACE)
            rtnetlink.add_address(_index(), self.address, PREFIX)

    def _reach(self, peer: Side, hardware: bytes) -> None:
        with self.enter():
            rtnetlink.set_neighbour(_index(), ADDRESSES[peer], hardware)


def _index() -> int:
    return socket.if_nametoindex(INTERFACE)


class TwoHosts:
    """Client and server, each in a network of its own, as a context manager.

    mtu      of the wire at both ends, in bytes (68 to 65535)
    middle   lead the wire through a third network, for `net.link`

    Needs CAP_SYS_ADMIN over one's user namespace: root, or a process after `enter_private_network`.
    The calling thread stays where it is; it goes in with `hosts.client.enter()`.

    Error handling: CapabilityError on entering, with the remedy, where this user may not.
    """

    def __init__(self, *, mtu: int = 1500, middle: bool = False) -> None:
        self.mtu = mtu
        self._wants_middle = middle
        self._stack = contextlib.ExitStack()
        self._entered = False
        self.client: Host
        self.server: Host
        self.middle: Network | None = None

    def __enter__(self) -> Self:
        libc.require_linux("two hosts on one machine")
        if self._entered:
            raise UsageError("TwoHosts can be entered once; make another one")
        self._entered = True
        with contextlib.ExitStack() as stack:
            self.client, self.server = Host("client", mtu=self.mtu), Host("server", mtu=self.mtu)
            stack.callback(self.client.close)
            stack.callback(self.server.close)
            try:
                self._wire(stack)
            except OSError as error:
                raise CapabilityError(
                    f"two hosts cannot be joined by a veth pair here ({error.strerror})",
                    "load the kernel module veth, or run where CAP_NET_ADMIN may make interfaces",
                ) from None
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _wire(self, stack: contextlib.ExitStack) -> None:
        client, server = self.client, self.server
        if self._wants_middle:
            self.middle = middle = Network("middle", mtu=self.mtu, ipv6=False)
            stack.callback(middle.close)
            with middle.enter():
                for host in (client, server):
                    links.join(host.side, _MIDDLE[host.side], host.descriptor, INTERFACE, HARDWARE[host.side])
                    links.set_mtu(host.side, self.mtu)
                    links.raise_link(host.side)
        else:
            with client.enter():
                links.join(INTERFACE, HARDWARE["client"], server.descriptor, INTERFACE, HARDWARE["server"])
        for host in (client, server):
            host._furnish(self.mtu)
        for host in (client, server):
            with host.enter():
                links.until_up(INTERFACE)
            if self.middle is not None:
                with self.middle.enter():
                    links.until_up(host.side)
        self.restore()

    def host(self, side: Side) -> Host:
        """The host of that side."""
        return self.client if side == "client" else self.server

    def cut(self) -> None:
        """Cut the wire: what either host sends is lost, and neither is told.

        Each host's neighbour is set to a hardware address that nobody has.  So the sender's interface
        stays up, as behind a switch, and its capture still shows what it sends.
        """
        self.client._reach("server", NOWHERE)
        self.server._reach("client", NOWHERE)

    def restore(self) -> None:
        """Join the wire again."""
        self.client._reach("server", HARDWARE["server"])
        self.server._reach("client", HARDWARE["client"])

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU of the whole wire, in bytes.

        Error handling: UsageError for one that the kernel does not take.
        """
        if self.middle is not None:
            with self.middle.enter():
                for side in ADDRESSES:
                    links.set_mtu(side, mtu)
        for host in (self.client, self.server):
            host.set_mtu(mtu)

    def set_rto_min(self, seconds: float) -> None:
        """Have neither host send anything again before so long, on connections opened from now on.

        Linux waits for 200 ms at least; where a busy machine may hold a segment for longer than that, its
        copies would tell another story.
        """
        for host in (self.client, self.server):
            with host.enter():
                rtnetlink.set_rto_min(_index(), host.address, PREFIX, round(seconds * 1000))

    def route_to_client(self, network: str, prefix: int) -> None:
        """Have the server's host send what is for `network` to the client's, which drops what is not its own.

        So what it answers to forged addresses is seen on the wire; without a route it would answer nothing.
        """
        with self.server.enter():
            rtnetlink.add_route(network, prefix, self.client.address)

    def sysctl(self, name: str, value: int | str) -> None:
        """Set net.ipv4.`name` on both hosts."""
        for host in (self.client, self.server):
            host.sysctl(name, value)
