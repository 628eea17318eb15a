"""The packets beside the tables: each connection that has ended is explained by them, and let go.

A capture goes on for as long as the watch does, so what is kept is bounded: some 5 kB for each
connection that has not ended, and of those at most `MOST`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..capture import Tcpdump
from ..findings import Evidence, describe, judge
from ..kernel.sample import SocketAddress, normal
from ..tcp.connection import Connection, Ending, Opening
from ..tcp.tracker import Tracker
from ..wire.decode import Decoder

MOST: Final = 10_000
"""Connections kept; of more the one that was silent longest goes first."""
CUT_SECONDS: Final = 0.5
_AFTER_NS: Final = 500_000_000
"""How long after its last packet one that has ended is explained: a FIN may be sent again."""


class Story(NamedTuple):
    """A connection that has ended, in words."""

    time_ns: int
    client: SocketAddress
    server: SocketAddress
    text: str


def filter_for(ports: Sequence[int]) -> list[str]:
    """The words of pcap-filter(7) for TCP, with one of `ports` at either end if there are any."""
    words = ["tcp"]
    for number, port in enumerate(ports):
        words += ["or" if number else "and (", "port", str(port)]
    return [*words, ")"] if ports else words


class Wire:
    """What a capture tells, cut by cut."""

    def __init__(self, capture: Tcpdump) -> None:
        self._capture = capture
        self._tracker = Tracker()
        self._packets = 0
        self._dropped = 0
        self._given_up = 0
        self._cut_at = 0.0

    async def stories(self, now: float, *, last: bool = False) -> list[Story]:
        """Those that have ended since the last cut; `now` is seconds of any clock that goes on.

        last  now and not when the next cut is due, and without waiting for what may still come

        Error handling: as `Tcpdump.cut`.
        """
        if now - self._cut_at < CUT_SECONDS and not last:
            return []
        self._cut_at = now
        recording = await self._capture.cut()
        packets = [packet._replace(frame=packet.frame + self._packets) for packet in recording.packets]
        self._packets += len(packets)
        self._dropped += recording.dropped or 0
        self._tracker.feed_all(Decoder().segments(packets))
        evidence = Evidence(end_ns=recording.cut_ns, source="live", dropped=self._dropped)
        ended = [
            c
            for c in self._tracker.connections
            if _has_ended(c) and (last or recording.cut_ns - c.last_time_ns >= _AFTER_NS)
        ]
        told = [_story(connection, evidence) for connection in ended if not _is_remainder(connection)]
        self._tracker.forget([*ended, *self._too_many()])
        return told

    def _too_many(self) -> list[Connection]:
        over = len(self._tracker.connections) - MOST
        if over <= 0:
            return []
        self._given_up += over
        return sorted(self._tracker.connections, key=lambda c: c.last_time_ns)[:over]

    @property
    def notes(self) -> list[str]:
        """What the capture could not do."""
        notes = []
        if self._dropped:
            notes.append(f"the capture lost {self._dropped:,} packets")
        if self._given_up:
            notes.append(
                f"{self._given_up:,} connections that did not end were not followed on the wire any longer"
            )
        return notes


def _has_ended(connection: Connection) -> bool:
    if connection.reset_by is not None or connection.opening is Opening.REFUSED:
        return True
    ends = (connection.client, connection.server)
    return connection.ending is Ending.ORDERLY and all(end.fin_acked_frame for end in ends)


def _is_remainder(connection: Connection) -> bool:
    """A few late packets of one that was explained already, or that began before the capture."""
    return connection.mid_stream and connection.client.packets + connection.server.packets <= 2


def _story(connection: Connection, evidence: Evidence) -> Story:
    client, server = (normal(*end.as_socket) for end in connection.addresses)
    text = describe(connection, evidence, judge(connection, evidence))
    return Story(connection.last_time_ns, client, server, text)
