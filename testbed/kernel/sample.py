"""One socket as a witness saw it at one time."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..tcp.states import State

if TYPE_CHECKING:
    from .diag_socket import DiagSocket

SocketAddress = tuple[str, int]
"""A numeric address and a port."""

Where = SocketAddress | int | None
"""Which sockets are meant: an address and a port, a port at any address, or any at all."""


Witness = Literal["sock_diag", "psutil"]
"""Who says so."""


class SocketSample(NamedTuple):
    """A socket of the kernel's tables.

    time_ns    nanoseconds since the epoch by which it had been read: the capture's clock
    local      its own end, by numeric address; an IPv4 connection of an IPv6 socket by its IPv4 addresses
    remote     the other end; None while there is none (LISTEN)
    state      RFC 9293's name; None: the socket was there before and is no longer in the tables
    pid, fd    who holds it, None where nobody does (TIME_WAIT, an orphan), it may not be seen, or was
               not looked for yet (`Sampler.owner`)
    command    that process's name
    witness    "sock_diag" or "psutil"
    inode      of the descriptor; 0 where nobody holds one; None where the witness does not say
    diag       what sock_diag tells besides: queues, timers, what half is shut
    """

    time_ns: int
    local: SocketAddress
    remote: SocketAddress | None
    state: State | None
    pid: int | None
    fd: int | None
    command: str | None
    witness: Witness
    inode: int | None = None
    diag: DiagSocket | None = None

    def __str__(self) -> str:
        holder = f" held by {self.command or 'process'} {self.pid}, fd {self.fd}" if self.pid else ""
        return f"{name_of(self.local)} -> {name_of(self.remote)} {self.state or 'gone'}{holder}"


def name_of(where: Where) -> str:
    """`where` as a person writes it: "127.0.0.1:80", "[::1]:80", "*:80", "*"."""
    if where is None:
        return "*"
    if isinstance(where, int):
        return f"*:{where}"
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def normal(host: str, port: int) -> SocketAddress:
    """One spelling for each address; IPv4 in IPv6 (RFC 4291 section 2.5.5.2) is IPv4, as on the wire."""
    if ":" in host:
        address = ipaddress.IPv6Address(host.partition("%")[0])
        host = str(address.ipv4_mapped or address)
    return host, port


def is_at(address: SocketAddress | None, where: Where) -> bool:
    """Whether `address` is one of those that `where` means."""
    if where is None:
        return True
    if address is None:
        return False
    if isinstance(where, int):
        return address[1] == where
    return address == normal(*where)


def matching(samples: Iterable[SocketSample], local: Where, remote: Where) -> list[SocketSample]:
    """Those of `samples` with these ends."""
    return [sample for sample in samples if is_at(sample.local, local) and is_at(sample.remote, remote)]
