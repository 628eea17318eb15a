"""What the link did, joined to what tcpdump captured at one end of it.

A segment dropped on its way is in the capture of its sender's end and not in that of its receiver's;
with a forged one it is the other way round.  The link counts what comes in on each side and what
goes out, in the order in which tcpdump on that side sees it: so the nth of the one is the nth of
the other, and no segment has to be recognised by its looks.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from ..findings.table import Side
from ..net.hosts import ADDRESSES
from ..net.link_events import Fate, LinkEvent
from ..render.ladder import Fault
from ..tcp.connection import Connection
from ..wire.segment import Segment

FOR_EVER = 1 << 63
HELD = "held"


def faults(
    connection: Connection,
    connections: Sequence[Connection],
    events: Sequence[LinkEvent],
    segments: Sequence[Segment],
    captured_at: Side,
) -> list[Fault]:
    """What was done to the segments of one connection, in order of time.

    connections  all there were
    segments     all that were captured, of every connection
    captured_at  at which end
    """
    if not events:
        return []
    # the four-tuple may be an earlier or a later connection's too
    starts = [c.start_ns for c in connections if c.client_flow == connection.client_flow]
    since = connection.start_ns if min(starts) < connection.start_ns else 0
    until = min((start for start in starts if start > connection.start_ns), default=FOR_EVER)
    frames = _frames(segments)
    own = {exchange.segment.frame for exchange in connection.exchanges or ()}
    released = {event.id: event for event in events if event.id and event.fate in _ENDS_HOLDING}
    found = []
    for event in events:
        if event.flow != connection.client_flow:
            continue
        at_sender = event.from_client == (captured_at == "client")
        for fault, number in _told(event, released, at_sender):
            if number is None:
                if since <= fault.time_ns < until:
                    found.append(fault)
                continue
            ours = frames[event.from_client]
            if number <= len(ours) and ours[number - 1] in own:
                found.append(fault._replace(frame=ours[number - 1]))
    return sorted(found, key=lambda fault: fault.time_ns)


_ENDS_HOLDING = frozenset({Fate.RELEASED, Fate.REORDERED, Fate.DROPPED, Fate.DUPLICATED})


def _frames(segments: Sequence[Segment]) -> dict[bool, list[int]]:
    """The frames of what came from the client's side, under whatever address, and of what the server sent."""
    server = socket.inet_aton(ADDRESSES["server"])
    found: dict[bool, list[int]] = {True: [], False: []}
    for segment in segments:
        found[segment.flow[:4] != server].append(segment.frame)
    return found


def _told(
    event: LinkEvent, released: dict[int, LinkEvent], at_sender: bool
) -> Iterator[tuple[Fault, int | None]]:
    """What is to be told of an event where it was captured: the fault, and as which of the captured
    segments of its direction; None: as none of them."""
    seen, sent = event.seen or None, event.sent
    number = seen if at_sender else (sent[0] if sent else None)

    def fault(what: str, *, lost: bool = False) -> Fault:
        return Fault(event.time_ns, event.from_client, event.line, what, lost)

    if event.fate is Fate.FORGED:
        yield fault("forged"), None if at_sender else number
    elif event.fate is Fate.DROPPED:
        yield fault("dropped here", lost=True), seen if at_sender else None
    elif event.fate is Fate.AGAIN:
        if at_sender:  # elsewhere it is no more than what is held there already
            yield fault("sent again, dropped here", lost=True), seen
    elif event.fate is Fate.HELD:
        end = released.get(event.id)
        if end is None:
            yield fault(f"{HELD} to the end", lost=True), seen if at_sender else None
        elif end.fate is Fate.RELEASED:
            milliseconds = (end.time_ns - event.time_ns) / 1e6
            copies = f", {len(end.sent)} times delivered" if len(end.sent) > 1 else ""
            yield fault(f"{HELD} {milliseconds:.1f} ms{copies}"), seen if at_sender else end.sent[0]
    elif event.fate is Fate.REORDERED:
        yield fault("overtaken"), number
    elif event.fate is Fate.DUPLICATED:
        yield fault("doubled here"), number
        if not at_sender:
            yield from ((fault("the copy"), copy) for copy in sent[1:])
