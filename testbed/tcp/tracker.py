"""From a stream of segments to connections: a four-tuple's incarnations told apart.

A SYN begins a new connection when its four-tuple is unknown, when its initial sequence number
differs from the one its direction began with (the port was reused: RFC 9293 section 3.6.1), or
when the number is the same but the old connection had ended.  A SYN,ACK does only when its number
differs and the old connection had ended.  Everything else belongs to the connection its
four-tuple has.

A connection that has ended keeps its four-tuple for two maximum segment lifetimes more, for what is
late: a FIN sent again, TIME_WAIT's answer to it, an RST.  So does an attempt to open one that came to
nothing.  Then it is let go, and with it all that is known of it here: memory is bounded by what is
open, not by what the file holds.  Nothing else closes a connection: one that is merely silent stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from typing import Final, Generic, Self, TypeVar

from ..wire.segment import ACK, RST, SYN, Segment, endpoints, reverse
from .connection import Connection
from .facts import Successor

TWO_MSL_NS: Final = 240_000_000_000
"""RFC 9293 section 3.4.2: the maximum segment lifetime is 2 minutes."""

MOST_ENDED: Final = 32_768
MOST_UNOPENED: Final = 131_072
"""How many are kept for late segments at most; of more, those that ended first are let go early."""

MOST_REMEMBERED: Final = 1 << 20
"""Of so many four-tuples at least, the last ones let go, it is known that they had been in use."""

Kind = TypeVar("Kind", bound=Connection)


class TrackerOf(Generic[Kind]):
    """Feeds segments to their connections, which it makes of the class `kind`.

    keep         keep every segment of each connection (`Connection.exchanges`), or of those with
                 these numbers alone: for ladders and transcripts; a summary needs none
    over         called with each connection of which no more can come, at the latest by `finish`;
                 without it they all stay in `connections`, in the order in which they began
    """

    def __init__(
        self,
        kind: type[Kind],
        *,
        keep: bool | Container[int] = False,
        over: Callable[[Kind], object] | None = None,
    ) -> None:
        self.kind = kind
        self.keep = keep
        self.connections: list[Kind] = []
        self.opened = 0
        self._over = over
        self._flows: dict[bytes, tuple[Kind, bool]] = {}
        # both in the order in which they came to be so; a dict's first key is slow to find after removals
        self._unopened: OrderedDict[Kind, None] = OrderedDict()
        self._ended: OrderedDict[Kind, None] = OrderedDict()
        self._used = _Remembered(MOST_REMEMBERED)

    def feed(self, segment: Segment) -> Kind:
        """Take one segment; returns the connection it belongs to."""
        entry = self._flows.get(segment.flow)
        if entry is None or (segment.flags & SYN and self._begins_anew(segment, *entry)):
            entry = self._open(segment, entry)
        connection, from_client = entry
        connection.feed(segment, from_client)
        if connection.ended:
            self._ended[connection] = None
        return connection

    def feed_all(self, segments: Iterable[Segment]) -> Self:
        """Take every segment of an iterable."""
        for segment in segments:
            self.feed(segment)
        return self

    def finish(self) -> None:
        """No more segments come: hand over what is left, in the order in which it began."""
        left = {connection: None for connection, _ in self._flows.values()}
        for connection in left:
            self._let_go(connection)

    def forget(self, wanted: Collection[Kind]) -> None:
        """Let go of these connections, for who tracks for days; their numbers are not used again."""
        gone = set(map(id, wanted))
        self.connections = [c for c in self.connections if id(c) not in gone]
        self._flows = {flow: entry for flow, entry in self._flows.items() if id(entry[0]) not in gone}
        for connection in wanted:
            self._ended.pop(connection, None)
            self._unopened.pop(connection, None)

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

    def _open(self, segment: Segment, before: tuple[Kind, bool] | None) -> tuple[Kind, bool]:
        self._sweep(segment.time_ns - TWO_MSL_NS)
        from_client, roles = _roles(segment)
        back = reverse(segment.flow)
        client_flow, server_flow = (segment.flow, back) if from_client else (back, segment.flow)
        answered = 0
        reused = before is not None or client_flow in self._used or server_flow in self._used
        if before is not None and self._flows.get(segment.flow) is before:  # not let go just now
            old = before[0]
            answers = segment.flags & ACK == 0 and old.never_opened and not old.ended and not before[1]
            old.successor = Successor(segment.frame, segment.time_ns, answers)
            answered = old.first_frame if answers else 0
            self._let_go(old)
        self.opened += 1
        keep = self.keep if isinstance(self.keep, bool) else self.opened in self.keep
        connection = self.kind(self.opened, client_flow, segment, roles=roles, keep=keep, port_reused=reused)
        connection.answers_syn = answered
        if self._over is None:
            self.connections.append(connection)
        self._flows[client_flow] = (connection, True)
        self._flows[server_flow] = (connection, False)
        self._unopened[connection] = None
        return self._flows[segment.flow]

    def _sweep(self, quiet_since: int) -> None:
        """Let go what has been quiet for long enough, and what is too much."""
        for waiting, most in ((self._ended, MOST_ENDED), (self._unopened, MOST_UNOPENED)):
            while waiting:
                connection = next(iter(waiting))
                if not (connection.ended if waiting is self._ended else connection.never_opened):
                    del waiting[connection]
                elif len(waiting) >= most or connection.last_time_ns < quiet_since:
                    self._let_go(connection)
                else:
                    break

    def _let_go(self, connection: Kind) -> None:
        for flow in (connection.client_flow, reverse(connection.client_flow)):
            self._flows.pop(flow, None)
        self._ended.pop(connection, None)
        self._unopened.pop(connection, None)
        self._used.add(connection.client_flow)
        if self._over is not None:
            self._over(connection)


class _Remembered:
    """The last things seen: `most` of them at least, twice as many at most, by their hashes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, thing: bytes) -> None:
        self._new.add(hash(thing))
        if len(self._new) == self._most:
            self._new, self._old = set(), self._new

    def __contains__(self, thing: bytes) -> bool:
        number = hash(thing)
        return number in self._new or number in self._old


class Tracker(TrackerOf[Connection]):
    """Feeds segments to their connections."""

    def __init__(
        self,
        *,
        keep: bool | Container[int] = False,
        over: Callable[[Connection], object] | None = None,
    ) -> None:
        super().__init__(Connection, keep=keep, over=over)


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
