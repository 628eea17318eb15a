"""Records of the kernel's TCP tracepoints made into events.  Pure.

Each tracepoint is a row of `TRACEPOINTS`: where it lives, whether the witness can do without it, the
filter that keeps other ports' records out of the buffer, and how its record is read.  The records are
those of include/trace/events/sock.h and tcp.h; addresses are read in their IPv6 form, which every
record has, IPv4 ones mapped.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from ..tcp.states import State
from .events import Event, ResetReceived, ResetSent, Retransmission, Transition
from .sample import SocketAddress
from .sock_diag_codec import STATES
from .trace_format import Layout
from .trace_ring import Record

_TCP: Final = 6
_AF_INET: Final = 2
_MAPPED: Final = bytes(10) + b"\xff\xff"
_NUMBERS: Final = {**STATES, 12: State.SYN_RECEIVED}  # 12: a request socket
_SOCKADDR_SIZE: Final = 28  # struct sockaddr_in6, in which both families are kept
_SOCKADDR: Final = struct.Struct("=H2s4s16s")  # family, port, IPv4 address or flow label, IPv6 address

Decoder = Callable[[Record], Event | None]


class Tracepoint(NamedTuple):
    """One tracepoint that the witness listens to.

    needed   whether there is no witness without it
    filter   the kernel's filter for one port, `{port}` in it; "" where its fields allow none
    decoder  makes the function that reads its records from their layout
    """

    system: str
    name: str
    needed: bool
    filter: str
    decoder: Callable[[Layout, frozenset[int]], Decoder]

    @property
    def folder(self) -> str:
        """Below an instance."""
        return f"events/{self.system}/{self.name}"

    def filter_for(self, ports: Collection[int]) -> str:
        """What is written into its `filter`; "0" takes a filter away."""
        ours = " || ".join(self.filter.format(port=port) for port in sorted(ports) if self.filter)
        if self.name == "inet_sock_set_state":
            return f"protocol == {_TCP} && ({ours})" if ours else f"protocol == {_TCP}"
        return ours or "0"


@lru_cache(maxsize=4096)
def _address(packed: bytes) -> str:
    if packed.startswith(_MAPPED):
        return str(ipaddress.IPv4Address(packed[12:]))
    return str(ipaddress.IPv6Address(packed))


Ends = tuple[SocketAddress, SocketAddress | None]


def _sockaddr(packed: bytes) -> SocketAddress:
    family, port, short, long = _SOCKADDR.unpack_from(packed)
    return _address(_MAPPED + short if family == _AF_INET else long), int.from_bytes(port, "big")


def _ends(layout: Layout, ports: frozenset[int]) -> Callable[[bytes], Ends | None]:
    """Reads a record's own end and the other; None when neither has one of `ports`."""
    if layout.field("saddr").size == _SOCKADDR_SIZE:  # tcp_send_reset since Linux 6.10
        read = layout.reader("saddr", "daddr")

        def two_sockaddrs(data: bytes) -> Ends | None:
            source, destination = read(data)
            local, remote = _sockaddr(source), _sockaddr(destination)
            if ports and local[1] not in ports and remote[1] not in ports:
                return None
            return local, remote if remote[1] else None

        return two_sockaddrs
    read = layout.reader("sport", "dport", "saddr_v6", "daddr_v6")

    def ports_and_addresses(data: bytes) -> Ends | None:
        sport, dport, source, destination = read(data)
        if ports and sport not in ports and dport not in ports:
            return None
        return (_address(source), sport), (_address(destination), dport) if dport else None

    return ports_and_addresses


def _transitions(layout: Layout, ports: frozenset[int]) -> Decoder:
    ends = _ends(layout, ports)
    read = layout.reader("common_pid", "skaddr", "oldstate", "newstate", "protocol")

    def decode(record: Record) -> Event | None:
        pid, socket, old, new, protocol = read(record.data)
        if protocol != _TCP or (found := ends(record.data)) is None:
            return None
        return Transition(record.time_ns, *found, _NUMBERS[old], _NUMBERS[new], socket, pid)

    return decode


def _resets_sent(layout: Layout, ports: frozenset[int]) -> Decoder:
    ends = _ends(layout, ports)
    told = "reason" in layout.fields
    read = layout.reader("common_pid", "skaddr", "state", *(("reason",) if told else ()))
    names = layout.symbols.get("reason", {})

    def decode(record: Record) -> Event | None:
        pid, socket, state, *numbers = read(record.data)
        if (found := ends(record.data)) is None:
            return None
        reason = names.get(numbers[0], str(numbers[0])) if told else None
        return ResetSent(record.time_ns, *found, _NUMBERS.get(state), reason, socket, pid)

    return decode


def _resets_received(layout: Layout, ports: frozenset[int]) -> Decoder:
    ends = _ends(layout, ports)
    read = layout.reader("skaddr")

    def decode(record: Record) -> Event | None:
        local, remote = ends(record.data) or (None, None)
        if local is None or remote is None:
            return None
        return ResetReceived(record.time_ns, local, remote, *read(record.data))

    return decode


def _retransmissions(layout: Layout, ports: frozenset[int]) -> Decoder:
    ends = _ends(layout, ports)
    has_state = "state" in layout.fields
    has_error = "err" in layout.fields  # since Linux 6.17, which tells of those that failed, too
    optional = [name for name, there in (("state", has_state), ("err", has_error)) if there]
    read = layout.reader("skaddr", *optional)

    def decode(record: Record) -> Event | None:
        local, remote = ends(record.data) or (None, None)
        if local is None or remote is None:
            return None
        socket, *others = read(record.data)
        if has_error and others[-1]:
            return None  # it was not sent
        state = _NUMBERS[others[0]] if has_state else State.SYN_RECEIVED
        return Retransmission(record.time_ns, local, remote, state, socket)

    return decode


_PORTS: Final = "sport == {port} || dport == {port}"

TRACEPOINTS: tuple[Tracepoint, ...] = (
    Tracepoint("sock", "inet_sock_set_state", True, _PORTS, _transitions),
    Tracepoint("tcp", "tcp_send_reset", False, "", _resets_sent),
    Tracepoint("tcp", "tcp_receive_reset", False, _PORTS, _resets_received),
    Tracepoint("tcp", "tcp_retransmit_skb", False, _PORTS, _retransmissions),
    Tracepoint("tcp", "tcp_retransmit_synack", False, _PORTS, _retransmissions),
)
"""What is listened to.  A state's number that does not exist is a KeyError of the decoder."""


class Decoding:
    """Reads records of any of the tracepoints into events.

    layouts  the tracepoints that are there, with what their records look like
    ports    only these, at either end; empty: all
    """

    def __init__(self, layouts: Mapping[Tracepoint, Layout], ports: Collection[int] = ()) -> None:
        self._layouts = dict(layouts)
        self._decoders: dict[int, Decoder] = {}
        self.only(ports)

    def only(self, ports: Collection[int]) -> None:
        """From now on only events with one of `ports` at either end; empty: all."""
        chosen = frozenset(ports)
        self._decoders = {layout.id: point.decoder(layout, chosen) for point, layout in self._layouts.items()}

    def event(self, record: Record) -> Event | None:
        """The event of one record; None for one of other ports, and of a tracepoint that is not ours.

        Error handling: KeyError or struct.error for a record that its layout does not fit.
        """
        decode = self._decoders.get(int.from_bytes(record.data[:2], "little"))
        return None if decode is None else decode(record)


def with_ports(events: list[Event]) -> list[Event]:
    """`events`, in order of time, with the port of each SYN_SENT, which the kernel had not written down.

    A socket is told of as SYN_SENT before its port is in its structure (net/ipv4/tcp_ipv4.c,
    tcp_v4_connect); its next event has it.
    """
    known: dict[int, SocketAddress] = {}
    told: list[Event] = []
    for event in reversed(events):
        if isinstance(event, Transition):
            if event.local[1] == 0 and event.socket in known:
                event = event._replace(local=known[event.socket])
            elif event.local[1]:
                known[event.socket] = event.local
            if event.before is State.CLOSED or event.before is State.LISTEN:
                known.pop(event.socket, None)  # an address used before this was another socket's
        told.append(event)
    told.reverse()
    return told
