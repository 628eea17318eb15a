"""The objects of one connection in this process: found among all that the collector knows.

One pass over the heap (some 30 ms for a million objects) serves any number of connections.  No
table of an event loop is read, so that selector loops, other threads' loops and uvloop are alike;
objects are asked for their addresses only where their class says that they have some.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, TypeGuard, TypeVar

from ...kernel.sample import SocketAddress, normal

T = TypeVar("T")

Pair = tuple[SocketAddress, SocketAddress]
"""A socket's own address and the other end's."""


@dataclass(slots=True)
class Objects:
    """What this process has of one connection.

    writers     the StreamWriters: what a program closes
    transports  asyncio's, the TLS one above the other
    protocols   the transports' protocols
    readers     the StreamReaders
    sockets     plain sockets, below the transports or alone
    """

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    transports: list[Any] = field(default_factory=list)
    protocols: list[Any] = field(default_factory=list)
    readers: list[asyncio.StreamReader] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def all(self) -> list[object]:
        """All of them; what a program would close comes first."""
        return [*self.writers, *self.transports, *self.protocols, *self.sockets, *self.readers]


def find(pairs: Collection[Pair]) -> tuple[dict[Pair, Objects], list[asyncio.Task[Any]]]:
    """The objects of each of these connections, and the tasks of this process that are not done."""
    found: dict[Pair, Objects] = {}
    tasks: list[asyncio.Task[Any]] = []
    writers: list[asyncio.StreamWriter] = []
    for thing in gc.get_objects():
        kind = type(thing)
        if issubclass(kind, asyncio.Task):
            if not thing.done():
                tasks.append(thing)
        elif issubclass(kind, asyncio.StreamWriter):
            writers.append(thing)
        elif issubclass(kind, socket.socket):
            if (pair := pair_of_socket(thing)) in pairs and pair:
                found.setdefault(pair, Objects()).sockets.append(thing)
        elif is_transport(kind) and (pair := pair_of_transport(thing)) in pairs and pair:
            found.setdefault(pair, Objects()).transports.append(thing)
    for mine in found.values():
        _add_above(mine, writers)
    return found, tasks


def _add_above(mine: Objects, writers: list[asyncio.StreamWriter]) -> None:
    """Add what stands above the transports."""
    transports = {id(transport) for transport in mine.transports}
    mine.writers += [writer for writer in writers if id(writer.transport) in transports]
    for transport in mine.transports:
        protocol = transport.get_protocol()
        if protocol is not None and all(protocol is not known for known in mine.protocols):
            mine.protocols.append(protocol)
    for protocol in mine.protocols:
        # the protocol of a stream refers to its reader weakly; no public name leads there
        reader = getattr(protocol, "_stream_reader", None)
        if isinstance(reader, asyncio.StreamReader):
            mine.readers.append(reader)


def is_transport(kind: type) -> bool:
    """Whether its objects are transports of an event loop; uvloop's inherit nothing of asyncio's."""
    return issubclass(kind, asyncio.BaseTransport) or (
        module_of(kind).startswith("uvloop") and hasattr(kind, "get_extra_info")
    )


def pair_of_transport(transport: Any) -> Pair | None:
    """The two addresses of a transport; None where it has no two."""
    try:
        return _pair(transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
    except Exception:  # whoever wrote this transport, neither a task nor a look-up is to fail of it
        return None


def pair_of_socket(sock: socket.socket) -> Pair | None:
    """The two addresses of a TCP socket; None where it has no two."""
    if sock.type != socket.SOCK_STREAM:
        return None
    try:
        return _pair(sock.getsockname(), sock.getpeername())
    except OSError:  # closed, or not connected
        return None


def _pair(*ends: object) -> Pair | None:
    match ends:
        case ((str() as host, int() as port, *_), (str() as peer, int() as peers_port, *_)):
            return normal(host, port), normal(peer, peers_port)
    return None


def pair_of(thing: Any) -> Pair | None:
    """The connection that an object is part of: a stream's writer, a transport, a socket; else None."""
    kind = type(thing)
    if issubclass(kind, asyncio.StreamWriter):
        return pair_of_transport(thing.transport)
    if is_transport(kind):
        return pair_of_transport(thing)
    return pair_of_socket(thing) if issubclass(kind, socket.socket) else None


# ---------------------------------------------------------------- looking at objects whose code is not to run


def is_a(thing: object, kind: type[T]) -> TypeGuard[T]:
    """`isinstance` by the class itself: a proxy's ``__class__`` is a property, and may raise."""
    return issubclass(type(thing), kind)


def module_of(kind: type) -> str:
    """The name of a class's module; some classes of extensions have something else there."""
    return kind.__module__ if is_a(kind.__module__, str) else ""


def namespace_of(thing: object) -> dict[str, object] | None:
    """An object's own ``__dict__``, unless its class makes one up."""
    for cls in type(thing).__mro__:
        descriptor = vars(cls).get("__dict__")
        if descriptor is not None:
            own = descriptor.__get__(thing) if is_a(descriptor, GetSetDescriptorType) else None
            return own if type(own) is dict else None
    return None


def attributes(thing: object) -> Iterator[tuple[str, object]]:
    """What an object has in its ``__dict__`` and its slots."""
    if is_a(thing, ModuleType) or is_a(thing, type):
        return
    yield from list((namespace_of(thing) or {}).items())
    for cls in type(thing).__mro__:
        for name, member in vars(cls).items():
            if is_a(member, MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # a slot without a value
                    yield name, member.__get__(thing)
