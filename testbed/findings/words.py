"""One connection as a paragraph: how it opened, what was carried, who closed, how it is left."""

from __future__ import annotations

from collections.abc import Sequence

from ..tcp.connection import Connection, Ending, Opening
from ..tcp.states import Event
from .phrases import count, duration
from .table import Evidence, Finding, in_words, other, side_of


def describe(connection: Connection, evidence: Evidence, findings: Sequence[Finding]) -> str:
    """The paragraph: the story first, then the text of each finding in its order."""
    sentences = [
        _opening(connection),
        _carried(connection),
        _closing(connection),
        _left(connection, evidence),
    ]
    sentences += [finding.text for finding in findings]
    return " ".join(sentence for sentence in sentences if sentence)


def _opening(connection: Connection) -> str:
    client, server = connection.addresses
    who = f"{client} (client) to {server} (server)"
    match connection.opening:
        case Opening.HANDSHAKE:
            return f"{who}: opened by a three-way handshake{_handshake_frames(connection)}."
        case Opening.SIMULTANEOUS:
            return f"{who}: opened from both ends at once."
        case Opening.SYN_ONLY:
            return f"{who}: the SYN was not answered."
        case Opening.HALF_OPEN:
            return f"{who}: the handshake was not completed."
        case Opening.REFUSED:
            return f"{who}: refused."
        case Opening.MID_STREAM:
            return f"{who}: already open when the capture starts."


def _handshake_frames(connection: Connection) -> str:
    third = next(
        (t.confirmed_by for t in connection.client.transitions if t.event is Event.RECEIVE_SYN_ACK),
        0,
    )
    first, second = connection.client.syn_frame, connection.server.syn_frame
    if not (first and second and third):
        return ""
    if (second, third) == (first + 1, first + 2):
        return f" in frames {first} to {third}"
    return f" in frames {first}, {second} and {third}"


def _carried(connection: Connection) -> str:
    out, back = connection.client.payload_bytes, connection.server.payload_bytes
    for end in (connection.client, connection.server):
        peer = other(connection, end)
        if not peer.packets and end.last_ack is not None and peer.base is not None:
            heard = max(0, (end.last_ack - peer.base - 1) & 0xFFFFFFFF)
            sent = count(end.payload_bytes, "byte")
            return (
                f"Only the {side_of(end)}'s segments were captured: it sent {sent} "
                f"and acknowledged {heard} of the {side_of(peer)}'s sequence numbers."
            )
    if not out and not back:
        return "No data was carried." if connection.established else ""
    return f"The client sent {count(out, 'byte')}, the server {count(back, 'byte')}."


def _closing(connection: Connection) -> str:
    first = connection.first_fin
    if first is None:
        return ""
    text = f"The {side_of(first)} closed first (FIN in frame {first.fin_first_frame}"
    text += f", acknowledged by frame {first.fin_acked_frame})" if first.fin_acked_frame else ")"
    if connection.ending is not Ending.ORDERLY:
        return text + "."
    second = other(connection, first)
    later = second.fin_first_time - first.fin_first_time
    when = f"{duration(later)} later" if later >= 0 else "next (the clock goes back in between)"
    text += f", the {side_of(second)} {when} (FIN in frame {second.fin_first_frame}"
    text += f", acknowledged by frame {second.fin_acked_frame})" if second.fin_acked_frame else ")"
    segments = connection.close_segments if second.fin_acked_frame else None
    if segments == 3:
        text += ": three segments, as the second FIN carries the acknowledgment of the first"
    elif segments == 4:
        text += ": four segments"
    return text + "."


def _left(connection: Connection, evidence: Evidence) -> str:
    client, server = connection.client.state, connection.server.state
    if connection.reset_by is not None:
        return f"An RST of the {side_of(connection.reset_by)} (frame {connection.reset_frame}) ended it."
    silence = evidence.silence_after(connection)
    text = f"It is left with the client in {client} and the server in {server}, as the wire shows it"
    if connection.ending is Ending.OPEN and connection.established:
        covered = duration(connection.duration_ns + silence)
        text += f"; nothing closed it in the {covered} "
        if connection.successor is None:
            text += "that the capture covers"
        else:
            text += f"before frame {connection.successor.frame} opened the four-tuple anew"
        for holder in evidence.holders:
            if holder.clues:
                text += f". Who holds the {holder.side}'s end: {in_words(holder.clues)}"
    return text + "."
