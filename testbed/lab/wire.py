"""The wire between a lab's two hosts: cut, joined, made narrower, led through a link with its faults."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UsageError
from ..findings.table import Side
from ..net import sysctl
from ..net.hosts import TwoHosts
from ..net.link import Link
from .shared import SharedNetwork


class Wire:
    """What a lab can do to its wire; each doing is a step of the experiment.

    hosts  None on one machine's loopback, where there is no wire
    """

    hosts: TwoHosts | None
    _link: Link | None
    _shared: SharedNetwork | None
    step: Callable[..., None]

    @property
    def link(self) -> Link:
        """The wire, where each segment can be dropped, held, duplicated, reordered or forged."""
        if self._link is None:
            raise UsageError("this lab has no link: Lab(net='hosts', link=[...]), once it is entered")
        return self._link

    def _stamp_link(self, text: str) -> None:
        self.step(f"link: {text}")

    async def cut_wire(self) -> None:
        """Lose all that either host sends from here on; neither is told."""
        if self._link is not None:
            await self._link.cut()
        else:
            self._two_hosts().cut()
            self.step("the wire is cut")

    async def restore_wire(self) -> None:
        """Carry everything again."""
        if self._link is not None:
            await self._link.restore()
        else:
            self._two_hosts().restore()
            self.step("the wire is joined again")

    def set_mtu(self, mtu: int, side: Side | None = None) -> None:
        """Change the MTU of the wire, or of one host's end, in bytes."""
        hosts = self._two_hosts()
        if side is None:
            hosts.set_mtu(mtu)
        else:
            hosts.host(side).set_mtu(mtu)
        self.step(f"the MTU of {f'the {side}' if side else 'the wire'} is {mtu}")

    def set_rto_min(self, seconds: float) -> None:
        """Have neither host send anything again before so long, on connections opened from now on."""
        self._two_hosts().set_rto_min(seconds)
        self.step(f"nothing is sent again before {seconds:g} s (rto_min of the route)")

    def set_sysctl(self, name: str, value: int | str) -> None:
        """Change net.ipv4.`name` while the experiment goes on; of two hosts, on the server's.

        Error handling: UsageError outside a private network and for a name that this kernel does not have.
        """
        self._change_settings()
        sysctl.set(name, value)  # this thread is on the server's host
        self.step(f"{name} is {value}" + (" on the server's host" if self.hosts is not None else ""))

    def _change_settings(self) -> None:
        """A network that is not as it was made is no other lab's."""
        if self._shared is not None:
            self._shared.changed = True

    def route_to_client(self, network: str, prefix: int) -> None:
        """Have the server answer addresses of `network`, which nobody has: the wire shows it."""
        self._two_hosts().route_to_client(network, prefix)

    def _two_hosts(self) -> TwoHosts:
        if self.hosts is None:
            raise UsageError("there is no wire on one machine's loopback: Lab(net='hosts')")
        return self.hosts

    @property
    def host(self) -> str:
        """The address that servers listen on."""
        return self.hosts.server.address if self.hosts is not None else "127.0.0.1"
