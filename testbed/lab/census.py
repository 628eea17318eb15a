"""How many sockets were in which state, each second: what is left to say of ten thousand of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..kernel.look import Look
from ..kernel.sample import SocketAddress
from ..tcp.states import State

EVERY_NS: Final = 900_000_000
"""Looks nearer to the one before are left out: a wait may look a hundred times a second."""


class Census(NamedTuple):
    """One count, by sock_diag or psutil.

    time_ns  nanoseconds since the epoch
    clients  how many of the clients' ends are in which state
    servers  and of the server's, its listener left out
    """

    time_ns: int
    clients: Mapping[State, int]
    servers: Mapping[State, int]

    def to_json(self) -> dict[str, Any]:
        """As in `run --json`."""
        return {
            "time_ns": self.time_ns,
            **{
                side: {str(state): count for state, count in of.items()}
                for side, of in (("client", self.clients), ("server", self.servers))
            },
        }


def counted(look: Look, server: SocketAddress) -> Census:
    """The sockets of a look that have to do with `server`."""
    clients: dict[State, int] = {}
    servers: dict[State, int] = {}
    for sample in look:
        side = servers if sample.local == server else clients if sample.remote == server else None
        if side is not None and sample.remote is not None and sample.state is not None:
            side[sample.state] = side.get(sample.state, 0) + 1
    return Census(look.time_ns, clients, servers)


def is_due(so_far: Sequence[Census], time_ns: int) -> bool:
    """Whether the last one is a second old."""
    return not so_far or time_ns - so_far[-1].time_ns >= EVERY_NS
