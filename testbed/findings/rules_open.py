"""The rules about how a connection began, or did not."""

from __future__ import annotations

from collections.abc import Iterator

from ..tcp import zeek
from ..tcp.connection import Connection, Opening
from ..tcp.notes import Note
from ..wire.icmp import errno_of, in_words
from .phrases import count, duration, frames
from .table import Evidence, Finding, Severity

STRAIGHT_AFTER_NS = 100_000_000
"""How soon after its SYN,ACK a server's extra ACK belongs to the handshake."""


def refused(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """An RST answered the SYN."""
    if connection.opening is not Opening.REFUSED:
        return
    yield Finding(
        "refused",
        Severity.WARNING,
        "server",
        connection.reset_frame,
        f"The server's host refused the connection: the RST in frame {connection.reset_frame} answers the "
        f"SYN in frame {connection.client.syn_frame}. Nothing listens on port "
        f"{connection.addresses[1].port} there, or a firewall rejects it; the client's connect() reports "
        "ECONNREFUSED."
        + (f" The server's kernel says why: {evidence.reset_reason}." if evidence.reset_reason else ""),
    )


def unanswered(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A SYN that nobody answered."""
    if connection.opening is not Opening.SYN_ONLY:
        return
    if connection.client.last_ack is not None:
        return  # it acknowledges something: the answer was only not captured
    sent = connection.client.syns_sent
    text = (
        f"The client's SYN (frame {connection.client.syn_frame}, sent {count(sent, 'time')}"
        + (f" over {duration(connection.duration_ns)}" if sent > 1 else "")
        + ") was never answered. "
    )
    after = connection.successor
    if connection.simultaneous:
        text += (
            f"The server sent a SYN of its own (frame {connection.server.syn_frame}), which was not answered "
            "either: the answer to a SYN has SYN and ACK set, and neither end sent one. "
        )
    elif connection.server.packets:
        text += "The server did send segments, but none that accepts or refuses the connection. "
    told = _icmp(connection, evidence)
    if after is not None and after.answers:
        text += (
            f"Instead the server sent a SYN of its own in frame {after.frame}, which opens the same "
            "four-tuple from its end: see that connection."
        )
    elif told:
        text += told
    elif connection.reset_by is not None:
        text += f"The client gave it up itself with the RST in frame {connection.reset_frame}."
    else:
        text += (
            "It was dropped by a firewall, nobody has the address, the server's accept queue was full, or "
            "the answers take another way than the capture sees. The client stays in SYN_SENT and ends "
            "with ETIMEDOUT."
        )
    yield Finding("unanswered", Severity.WARNING, "server", connection.client.syn_frame, text)


def _icmp(connection: Connection, evidence: Evidence) -> str:
    for error in evidence.icmp_about(connection, connection.client_flow):
        errno = errno_of(error)
        return f"ICMP told why in frame {error.frame}: {in_words(error)}." + (
            f" On Linux connect() fails with {errno} at once." if errno else ""
        )
    return ""


def icmp_error(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """ICMP errors about the segments of a connection that did open."""
    if connection.opening is Opening.SYN_ONLY:
        return
    about = evidence.icmp_of(connection)
    if about:
        first = about[0]
        sender = "client" if first.quoted_flow == connection.client_flow else "server"
        yield Finding(
            "icmp-error",
            Severity.WARNING,
            None,
            first.frame,
            f"ICMP reported about a segment of the {sender} in "
            f"{frames([error.frame for error in about])}: {in_words(first)}. On Linux a connection that "
            "is open goes on all the same.",
        )


def half_open(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A SYN,ACK that was never acknowledged."""
    if connection.opening is not Opening.HALF_OPEN:
        return
    server = connection.server
    if connection.reset_by is connection.client:
        yield Finding(
            "half-open",
            Severity.INFO,
            "client",
            connection.reset_frame,
            f"The client answered the SYN,ACK (frame {server.syn_frame}) with the RST in frame "
            f"{connection.reset_frame}: it did not ask for this connection. Its SYN was an old duplicate "
            "(this is why opening takes three segments), was forged, or came from a scanner that wanted "
            "only the answer.",
        )
        return
    if connection.reset_by is connection.server:
        text = (
            f"The server sent SYN,ACK (frame {server.syn_frame}) and then took it back with the RST in frame "
            f"{connection.reset_frame}, before the handshake was complete."
        )
    elif not connection.client.packets:
        return  # only the server's direction was captured: capture-incomplete says so
    else:
        text = (
            f"The handshake was never completed: the server sent SYN,ACK (frame {server.syn_frame}, "
            f"{count(server.syns_sent, 'time')}) and no acknowledgment of it was captured. The server is "
            "left in SYN_RECEIVED, where it holds a place in the SYN queue until it gives up. One is a "
            "lost segment or a vanished client; many at once are a SYN flood."
        )
    yield Finding("half-open", Severity.WARNING, "client", server.syn_frame, text)


def handshake_retried(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A connection that opened only after repetitions."""
    if connection.opening not in (Opening.HANDSHAKE, Opening.REFUSED):
        return
    client, server = connection.client, connection.server
    if client.syns_sent > 1:
        yield Finding(
            "handshake-retried",
            Severity.INFO,
            "client",
            client.syn_frame,
            f"The client sent its SYN {client.syns_sent} times before the answer: the first was lost or "
            "dropped (a full accept queue looks the same), which cost about "
            f"{duration(server.syn_time - client.syn_time)}.",
        )
    if server.syns_sent > 1:
        yield Finding(
            "handshake-retried",
            Severity.INFO,
            "server",
            server.syn_frame,
            f"The server sent its SYN,ACK {server.syns_sent} times: it, or the ACK that completes the "
            "handshake, was lost, or the ACK was dropped because the accept queue was full.",
        )


def split_handshake(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A SYN that was answered by a SYN."""
    client, server = connection.addresses
    if connection.answers_syn:
        second = connection.first_frame
        text = (
            f"{client} answered the SYN of {server} (frame {connection.answers_syn}) not by SYN,ACK but by a "
            f"SYN of its own (frame {second}): a split handshake. It was {server} that called first; the "
            "client here is the end whose SYN was answered by SYN,ACK."
        )
    elif _one_syn_ack(connection):
        second = connection.server.syn_frame
        text = (
            f"{server} answered the SYN of {client} (frame {connection.first_frame}) by a SYN of its own "
            f"(frame {second}), and only one of the two sent SYN,ACK: a split handshake. It looks like a "
            "simultaneous open, in which both would send one."
        )
    else:
        return
    yield Finding("split-handshake", Severity.WARNING, None, second, text)


def _one_syn_ack(connection: Connection) -> bool:
    """Both sent a SYN, and only one of them SYN,ACK."""
    if connection.opening is not Opening.SIMULTANEOUS:
        return False
    return not (connection.client.letters & connection.server.letters & zeek.H)


def stray_segments(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Segments from before their sender's SYN,ACK."""
    numbers = connection.strays
    if not numbers:
        return
    text = (
        f"The server opened with the SYN,ACK in frame {connection.server.syn_frame}; before it, and with "
        f"other numbers, its address sent {frames(numbers)}. "
    )
    if connection.established:
        text += "The client took none of that, no RST in it either, and the connection opened. "
    text += (
        "Somebody else sent it, to cut the connection off or to mislead whoever watches, or it is left over "
        "from an earlier connection of these ports."
    )
    yield Finding("stray-segments", Severity.WARNING, "server", numbers[0], text)


def simultaneous_open(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Both ends sent a SYN of their own."""
    if connection.opening is Opening.SIMULTANEOUS and not _one_syn_ack(connection):
        yield Finding(
            "simultaneous-open",
            Severity.INFO,
            None,
            connection.server.syn_frame,
            "Both ends sent a SYN and the two crossed: a simultaneous open. Each went through "
            "SYN_RECEIVED; who is called the client here is only who was captured first.",
        )


def port_reused(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """The four-tuple had been in use before."""
    if connection.port_reused and not connection.answers_syn:
        yield Finding(
            "port-reused",
            Severity.INFO,
            "client",
            connection.first_frame,
            f"The SYN in frame {connection.first_frame} opens the same four-tuple again that an earlier "
            "connection of this capture used. A host in TIME_WAIT accepts that when the new initial number "
            "(or timestamp) is higher than what it saw last.",
        )


def loopback_window_update(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """The server's ACK straight after the handshake that macOS sends on its loopback."""
    if not connection.noted or connection.opening is not Opening.HANDSHAKE:
        return
    if connection.resets_ignored:
        return  # then it is more likely a challenge ACK
    before = min(
        connection.first_data_frame or connection.last_frame + 1,
        connection.first_fin.fin_first_frame if connection.first_fin else connection.last_frame + 1,
    )
    until = connection.server.syn_time + STRAIGHT_AFTER_NS
    for note in (Note.WINDOW_UPDATE, Note.DUPLICATE_ACK):
        noted = connection.noted.get(int(note))
        numbers = [
            frame
            for frame, from_client, time_ns in (noted.frames if noted else ())
            if not from_client and frame < before and time_ns < until
        ]
        if numbers:
            yield Finding(
                "window-update-after-handshake",
                Severity.INFO,
                "server",
                numbers[0],
                f"Frame {numbers[0]} acknowledges nothing new: the server repeats its ACK to tell the "
                "scaled window that its SYN,ACK could not carry. A window update, a habit of macOS on its "
                "loopback, and harmless.",
            )
            return
