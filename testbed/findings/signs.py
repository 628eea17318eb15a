"""What is to be seen of a connection at a glance, so that only the rules that it concerns are asked.

A sign says "look closer", never more: its rule may find nothing, but where a rule finds something one
of its signs is there.  The notes of segments (`tcp.notes.Note`) are signs too, and share the integer.
"""

from __future__ import annotations

from ..tcp.connection import Connection
from .table import Evidence

LATE_NS = 1_000_000_000
"""How long an end may wait after the peer's FIN before its own is late, or counts as missing."""


class Sign:
    """The bits, above those of the notes; plain integers, because every connection is looked at."""

    PARTIAL = 1 << 16  # no SYN of the client's, or nothing of one end
    NOT_OPENED = 1 << 17
    SYN_REPEATED = 1 << 18
    SIMULTANEOUS = 1 << 19
    PORT_REUSED = 1 << 20
    FIN_OPEN = 1 << 21  # a FIN, and not both of them acknowledged
    FIN_REPEATED = 1 << 22
    FINS_CROSSED = 1 << 23
    SHORT_OF_FIN = 1 << 24
    DATA_AFTER_FIN = 1 << 25
    DATA_AFTER_PEERS_FIN = 1 << 26
    DATA_WITHOUT_FIN = 1 << 27
    FIN_LATE = 1 << 33  # the second FIN long after the first
    KERNEL = 1 << 36  # the kernel's tables tell something
    STRAYS = 1 << 34  # segments from before their sender's SYN,ACK
    SPLIT = 1 << 35  # a SYN that answers a SYN
    RESET = 1 << 28
    RESET_IGNORED = 1 << 29
    ICMP = 1 << 30
    FLAWED = 1 << 31  # the capture lacks something
    DISAGREES = 1 << 32  # a text contradicts itself


def signs(connection: Connection, evidence: Evidence) -> int:
    """The signs that are there."""
    found = _of_opening(connection) | _of_ending(connection)
    if connection.noted:
        for bit in connection.noted:
            found |= bit
    if evidence.icmp_errors:
        found |= Sign.ICMP
    if evidence.readings:
        found |= Sign.KERNEL
    if evidence.flawed:
        found |= Sign.FLAWED
    if evidence.disagreements:
        found |= Sign.DISAGREES
    return found


def _of_opening(connection: Connection) -> int:
    client, server = connection.client, connection.server
    found = 0
    if not (client.saw_syn and client.packets and server.packets):
        found |= Sign.PARTIAL
    if not connection.established:
        found |= Sign.NOT_OPENED
    if client.syns_sent > 1 or server.syns_sent > 1:
        found |= Sign.SYN_REPEATED
    if connection.simultaneous:
        found |= Sign.SIMULTANEOUS
    if connection.strays:
        found |= Sign.STRAYS
    if connection.answers_syn:
        found |= Sign.SPLIT
    if connection.port_reused:
        found |= Sign.PORT_REUSED
    return found


def _of_ending(connection: Connection) -> int:
    client, server = connection.client, connection.server
    found = 0
    if connection.first_fin is not None and not (client.fin_acked_frame and server.fin_acked_frame):
        found |= Sign.FIN_OPEN
    if abs(server.fin_first_time - client.fin_first_time) >= LATE_NS:
        found |= Sign.FIN_LATE
    if client.fins_sent > 1 or server.fins_sent > 1:
        found |= Sign.FIN_REPEATED
    if connection.crossed:
        found |= Sign.FINS_CROSSED
    if connection.short_of_fin:
        found |= Sign.SHORT_OF_FIN
    if connection.data_after_fin:
        found |= Sign.DATA_AFTER_FIN
    if client.bytes_after_peer_fin or server.bytes_after_peer_fin:
        found |= Sign.DATA_AFTER_PEERS_FIN
    if (client.data_end is not None and client.fin_seq is None) or (
        server.data_end is not None and server.fin_seq is None
    ):
        found |= Sign.DATA_WITHOUT_FIN
    if connection.reset_by is not None:
        found |= Sign.RESET
    if connection.resets_ignored:
        found |= Sign.RESET_IGNORED
    return found
