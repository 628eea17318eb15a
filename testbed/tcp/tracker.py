"""From a stream of segments to connections: a four-tuple's incarnations told apart.

A SYN begins a new connection when its four-tuple is unknown, when its initial sequence number
differs from the one its direction began with (the port was reused: RFC 9293 section 3.6.1), or
when the number is the same but the old connection had ended.  A SYN,ACK does only when its number
differs and the old connection had ended.  Everything else belongs to the connection its
four-tuple has.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator
from typing import Generic, Self, TypeVar

from ..wire.segment import ACK, RST, SYN, Segment, endpoints, reverse
from .connection import Connection

WELL_KNOWN = 1024


Kind = TypeVar("Kind", bound=Connection)


class TrackerOf(Generic[Kind]):
    """Feeds segments to their connections, which it makes of the class `kind`.

    keep   keep every segment of each connection (`Connection.exchanges`), or of those with these
           numbers alone: for ladders and transcripts; a summary needs none
    """

    def __init__(self, kind: type[Kind], *, keep: bool | Container[int] = False) -> None:
        self.kind = kind
        self.keep = keep
        self.connections: list[Kind] = []
        self._flows: dict[bytes, tuple[Kind, bool]] = {}
        self._opened = 0

    def feed(self, segment: Segment) -> Kind:
        """Take one segment; returns the connection it belongs to."""
        entry = self._flows.get(segment.flow)
        if entry is None or (segment.flags & SYN and self._begins_anew(segment, *entry)):
            entry = self._open(segment, reused=entry is not None)
        connection, from_client = entry
        connection.feed(segment, from_client)
        return connection

    def feed_all(self, segments: Iterable[Segment]) -> Self:
        """Take every segment of an iterable."""
        for segment in segments:
            self.feed(segment)
        return self

    def forget(self, wanted: Collection[Connection]) -> None:
        """Let go of these connections, for who tracks for days; their numbers are not used again."""
        gone = set(map(id, wanted))
        self.connections = [c for c in self.connections if id(c) not in gone]
        self._flows = {flow: entry for flow, entry in self._flows.items() if id(entry[0]) not in gone}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self.connections)

    @staticmethod
    def _begins_anew(segment: Segment, connection: Connection, from_client: bool) -> bool:
        end = connection.client if from_client else connection.server
        if end.base is None or segment.seq is None:
            return False
        ended = (
            connection.reset_by is not None
            or connection.client.fin_seq is not None
            or connection.server.fin_seq is not None
        )
        if segment.flags & ACK:
            # the answer to a SYN that was not captured; else one with another number is odd, not new
            return ended and end.saw_syn and segment.seq != end.base
        if segment.seq == end.base:
            return ended and end.saw_syn  # else it is the connection's own SYN, captured late
        return True

    def _open(self, segment: Segment, *, reused: bool) -> tuple[Kind, bool]:
        from_client, roles = _roles(segment)
        client_flow = segment.flow if from_client else reverse(segment.flow)
        self._opened += 1
        number = self._opened
        keep = self.keep if isinstance(self.keep, bool) else number in self.keep
        connection = self.kind(number, client_flow, segment, roles=roles, keep=keep, port_reused=reused)
        self.connections.append(connection)
        self._flows[client_flow] = (connection, True)
        self._flows[reverse(client_flow)] = (connection, False)
        return self._flows[segment.flow]


class Tracker(TrackerOf[Connection]):
    """Feeds segments to their connections."""

    def __init__(self, *, keep: bool | Container[int] = False) -> None:
        super().__init__(Connection, keep=keep)


def _roles(segment: Segment) -> tuple[bool, str]:
    """Whether this first segment comes from the client, and how that is known.

    Without a SYN the end with the lower, better known port is taken for the server.
    """
    if segment.flags & SYN and not segment.flags & RST:
        return not segment.flags & ACK, "syn"
    source, destination = endpoints(segment.flow)
    ports = [int(a.port) if a.port.isdigit() else 0 for a in (source, destination)]
    if ports[0] == ports[1]:
        return True, "inferred"
    return ports[1] < ports[0], "inferred"
