"""The rules about how a connection ended, or did not: FINs and RSTs."""

from __future__ import annotations

from collections.abc import Iterator

from ..tcp.connection import Connection, Ending, Opening
from ..tcp.endpoint import Endpoint
from ..tcp.notes import Note
from ..tcp.states import State
from ..wire.segment import ACK, FIN, SYN
from .phrases import count, duration, frames
from .signs import LATE_NS
from .table import Evidence, Finding, Holder, Severity, Side, ends, in_words, other, side_of, watched

ANSWER_NS = 200_000_000
"""How soon after a segment an RST counts as the answer to it."""


def missing_fin(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """One end sent its FIN, the other never did."""
    closer = connection.first_fin
    if closer is None or connection.ending is Ending.ORDERLY:
        return
    silent = other(connection, closer)
    held = evidence.held(side_of(silent))
    if not silent.packets and not held:
        return  # a capture of one direction accuses nobody: capture-incomplete says so
    if not closer.fin_acked_frame and not held:
        return  # nothing shows that the FIN arrived: fin-unacknowledged says so
    until = evidence.until(connection)
    if connection.reset_by is not None:
        # reset by the end that had closed: its socket was gone when the other one spoke again
        if connection.reset_by is silent or silent.bytes_after_peer_fin or connection.reset_segment is None:
            return
        until = connection.reset_segment.time_ns
    since = until - max(closer.fin_first_time, silent.next_seq_time)
    settled = since >= LATE_NS
    if connection.reset_by is not None and not settled:
        return
    text = (
        f"The {side_of(silent)} {'never sent a FIN' if settled else 'has sent no FIN so far'}. "
        f"The {side_of(closer)} ended its direction with the FIN in "
        f"frame {closer.fin_first_frame}"
    )
    if closer.fin_acked_frame:
        text += f", the {side_of(silent)}'s TCP acknowledged it in frame {closer.fin_acked_frame}"
    if connection.reset_by is None:
        state, closers_state, left = silent.state, closer.state, "is left"
        text += f", and nothing closed the other direction in the {watched(connection, since)}. "
    else:
        assert connection.reset_state is not None
        states = connection.reset_state if closer.is_client else connection.reset_state[::-1]
        closers_state, state, left = *states, "was"
        text += f", and {duration(since)} later the RST in frame {connection.reset_frame} ended it. "
    text += f"The {side_of(silent)} {left} in {state}: {_why_not_closed(evidence, side_of(silent))}."
    for holder in held:
        text += " " + _held_by(holder, connection)
    text += " " + _closers_side(connection, evidence, closer, f"{left} in {closers_state}")
    if connection.successor is not None:
        text += (
            f" Frame {connection.successor.frame} opens the same four-tuple anew: the host that sent it had "
            "forgotten this connection by then."
        )
    elif not settled:
        text += (
            f" The capture ends only {duration(since)} after the FIN, so that it may have come later: "
            "a longer capture would tell."
        )
    severity = Severity.ERROR if settled else Severity.WARNING
    yield Finding("missing-fin", severity, side_of(silent), closer.fin_first_frame, text)


def late_fin(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A FIN that came, long after the peer's, with nothing sent in between."""
    closer = connection.first_fin
    if closer is None or connection.ending is not Ending.ORDERLY or not closer.fin_acked_frame:
        return
    late = other(connection, closer)
    waited = late.fin_first_time - closer.fin_time  # since the one that arrived
    if waited < LATE_NS or late.bytes_after_peer_fin or closer.fin_acked_frame >= late.fin_first_frame:
        return  # a FIN that acknowledges the other at once was not late: what it answers was
    holders = [holder for holder in evidence.held(side_of(late)) if holder.state == State.CLOSE_WAIT]
    yield Finding(
        "late-fin",
        Severity.WARNING if holders else Severity.INFO,
        side_of(late),
        late.fin_first_frame,
        f"The {side_of(late)} closed {duration(waited)} after the {side_of(closer)} (FIN in frame "
        f"{late.fin_first_frame} after that in frame {closer.fin_frame}) and sent no data in between: "
        "so long its socket was in CLOSE_WAIT. Its application is slow to close, or did not close at all and "
        "the end of its process did." + "".join(" " + _held_by(holder, connection) for holder in holders),
    )


_NOT_CLOSED = {
    "not-closed": "its application has read all the data and not closed the socket",
    "eof-unread": "its application has neither read the end of the stream, which waits in the receive queue, "
    "nor closed the socket",
    "data-unread": "its application has neither read what lies in front of the FIN nor closed the socket",
    "not-accepted": "no application has accepted the connection, so that none can close it",
}
"""Who is late with the close in CLOSE_WAIT, by the code of the kernel's reading."""


def _why_not_closed(evidence: Evidence, side: Side) -> str:
    """Who is late: as the kernel tells it, where it does."""
    if reading := evidence.reading(side, *_NOT_CLOSED):
        return f"{_NOT_CLOSED[reading.code]} ({reading.witness})"
    return (
        "its application has not closed the socket; it read the end of the stream and went on, or it does "
        "not read"
    )


def _held_by(holder: Holder, connection: Connection) -> str:
    command, pid, fd = holder.command or "unnamed", holder.pid, holder.fd
    seen = f"in {holder.state} ({holder.witness})"
    if pid is None:
        return f"The kernel still has the socket {seen}; no process could be named for it."
    where = f", file descriptor {fd}" if fd is not None else ""
    if holder.seen_ns:
        when = duration(holder.seen_ns - connection.start_ns)
        text = f"Process {pid} ({command}) held the socket{where}, when it was last looked for, at {when}"
        return f"{text}, {seen}."
    text = f"Process {pid} ({command}) still holds the socket{where}, {seen}"
    return f"{text}: {in_words(holder.clues)}." if holder.clues else f"{text}."


def _closers_side(connection: Connection, evidence: Evidence, closer: Endpoint, where: str) -> str:
    """What the closing end may have done: two calls send the same FIN."""
    side = side_of(closer)
    for holder in evidence.held(side):
        by = f"process {holder.pid} ({holder.command or 'unnamed'})"
        where_held = f" as descriptor {holder.fd}" if holder.fd is not None else ""
        return (
            f"The {side} {where}: it half-closed (shutdown of its sending direction), and {by} still holds "
            f"its socket{where_held} ({holder.witness})."
        )
    if orphan := evidence.reading(side, "orphan-countdown"):
        return (
            f"The {side} {where}: its program has closed the socket, and its kernel gives the orphan up in "
            f"silence when a timer ends ({orphan.witness})."
        )
    noted = connection.noted.get(int(Note.KEEP_ALIVE))
    by_closer = noted is not None and (noted.by_client if closer.is_client else noted.count - noted.by_client)
    text = (
        f"The {side} {where}. What its application did, the FIN does not tell: it half-closed "
        f"(shutdown of its sending direction) and still holds the socket, or it closed the socket"
    )
    if connection.reset_by is closer:
        text += ", which the RST in answer to a later segment shows: that end held no socket any more."
    elif by_closer:
        text += (
            " on a system that goes on probing in FIN_WAIT_2, as XNU (macOS) does; on Linux, which does "
            f"not probe for a closed socket, the {side}'s keepalive probes would mean the first."
        )
    else:
        text += ", and its kernel waits in FIN_WAIT_2 (Linux gives that up in silence after tcp_fin_timeout)."
    return text


def fin_unacknowledged(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A FIN that nothing acknowledged."""
    if connection.reset_by is not None:
        return
    for end in ends(connection):
        if end.fin_seq is None or end.fin_acked_frame:
            continue
        peer = other(connection, end)
        since = evidence.until(connection) - end.fin_first_time
        if not peer.packets or (since < LATE_NS and end.fins_sent == 1):
            continue
        yield Finding(
            "fin-unacknowledged",
            Severity.WARNING,
            side_of(peer),
            end.fin_first_frame,
            f"The {side_of(end)}'s FIN (frame {end.fin_first_frame}, sent {count(end.fins_sent, 'time')}) "
            f"was never acknowledged in the {watched(connection, since)}; the {side_of(end)} "
            f"is left in {end.state}. The {side_of(peer)} is gone or cannot be reached, or its answers were "
            "not captured.",
        )


def fin_retransmitted(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A FIN that had to be sent again."""
    for end in ends(connection):
        if end.fins_sent < 2 or not end.fin_acked_frame:
            continue
        yield Finding(
            "fin-retransmitted",
            Severity.INFO,
            side_of(end),
            end.fin_frame,
            f"The {side_of(end)} sent its FIN {end.fins_sent} times: the first or its acknowledgment was "
            "lost or late. The last ACK of a close is repeated by the end in TIME_WAIT, which is what that "
            "state is for.",
        )


def ack_short_of_fin(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """An acknowledgment after a FIN that stops just before it."""
    for frame in connection.short_of_fin:
        end = next((e for e in ends(connection) if e.fin_seq is not None and e.fin_frame < frame), None)
        if end is None or end.fin_seq is None:
            continue
        first = (
            f"the FIN is first acknowledged by frame {end.fin_acked_frame}"
            if end.fin_acked_frame
            else "nothing here acknowledges the FIN"
        )
        yield Finding(
            "ack-short-of-fin",
            Severity.INFO,
            side_of(other(connection, end)),
            frame,
            f"Frame {frame} acknowledges {end.fin_seq}, the number of the FIN in frame {end.fin_frame} "
            f"itself, though a FIN takes one number: {(end.fin_seq + 1) & 0xFFFFFFFF} would acknowledge it. "
            f"So {first}.",
        )


def half_close(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Data in one direction after the other had ended."""
    for end in ends(connection):
        peer = other(connection, end)
        if peer.fin_seq is None or not end.bytes_after_peer_fin:
            continue
        if any(from_client == end.is_client for _, from_client in connection.data_after_fin):
            continue
        yield Finding(
            "half-close",
            Severity.INFO,
            side_of(end),
            peer.fin_frame,
            f"The {side_of(peer)} ended its direction with the FIN in frame {peer.fin_frame} and the "
            f"{side_of(end)} still sent {count(end.bytes_after_peer_fin, 'byte')} after taking it: a "
            "half-close in use. Each direction ends on its own.",
        )


def simultaneous_close(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Both FINs crossed."""
    if all(State.CLOSING in [t.state for t in end.transitions] for end in ends(connection)):
        yield Finding(
            "simultaneous-close",
            Severity.INFO,
            None,
            connection.client.fin_frame,
            f"Both ends closed at once: the FINs in frames {connection.client.fin_first_frame} and "
            f"{connection.server.fin_first_frame} crossed, both went through CLOSING, and both wait in "
            "TIME_WAIT.",
        )


def data_after_fin(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Data beyond its sender's own FIN: no TCP does that."""
    for from_client, side in ((True, "client"), (False, "server")):
        numbers = [frame for frame, by_client in connection.data_after_fin if by_client == from_client]
        if numbers:
            end = connection.client if from_client else connection.server
            yield Finding(
                "data-after-fin",
                Severity.ERROR,
                "client" if from_client else "server",
                numbers[0],
                f"The {side} sent data beyond its own FIN (frame {end.fin_frame}) in {frames(numbers)}. "
                "After a FIN a TCP has nothing more to send: these segments are forged, damaged, or of "
                "another connection.",
            )


def reset(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """An RST that ended a connection that had begun."""
    end, rst = connection.reset_by, connection.reset_segment
    if end is None or rst is None or connection.reset_state is None:
        return
    if connection.opening in (Opening.REFUSED, Opening.SYN_ONLY, Opening.HALF_OPEN):
        return  # those openings have rules of their own
    side, peer = side_of(end), other(connection, end)
    orderly = connection.ending is Ending.ORDERLY
    own = connection.reset_state[0 if end.is_client else 1]
    peers = connection.reset_state[1 if end.is_client else 0]
    text = f"The {side} reset the connection in frame {rst.frame}, in {own}; "
    text += f"the {side_of(peer)} was in {peers}. "
    text += _why_reset(connection, evidence, end, peer, own)
    lost = connection.reset_unacked
    if lost:
        text += (
            f" {count(lost, 'byte')} that the {side_of(peer)} had sent {'was' if lost == 1 else 'were'} "
            f"never acknowledged by the {side}."
        )
    if orderly:
        text += " Both FINs had been sent by then" + ("." if lost else ": nothing was lost.")
    else:
        text += (
            f" An RST throws away what is still under way in both directions; the {side_of(peer)}'s next "
            "call reports ECONNRESET, or nothing if a failing send has already taken the error."
        )
    severity = Severity.INFO if orderly else Severity.WARNING
    yield Finding("reset", severity, side, rst.frame, text)


def _why_reset(connection: Connection, evidence: Evidence, end: Endpoint, peer: Endpoint, own: State) -> str:
    """What the segments before the RST tell of its reason; the wire shows a reason, never the call."""
    if evidence.reset_reason:
        return f"The {side_of(end)}'s kernel says why: {evidence.reset_reason} (tracepoint)."
    side, peers = side_of(end), side_of(peer)
    rst, cause = connection.reset_segment, connection.reset_cause
    assert rst is not None
    answers = (
        cause is not None and cause.from_client == peer.is_client and rst.time_ns - cause.time_ns < ANSWER_NS
    )
    bare = not rst.flags & ACK
    if _unanswered_probes(connection, end, peer) >= 3:
        return (
            f"Its keepalive probes had gone unanswered: its kernel gave the {peers} up (ETIMEDOUT) "
            "and sent this last."
        )
    if answers and cause is not None and cause.length and end.fin_seq is not None:
        return (
            f"It answers {count(cause.length, 'byte')} of data (frame {cause.frame}) that reached the "
            f"{side} after its application had closed the socket: the {peers} wrote to a closed peer."
        )
    if answers and cause is not None and bare and not cause.flags & (SYN | FIN):
        return (
            f"It has no ACK flag and answers frame {cause.frame}: the {side}'s host seems to have no such "
            "connection any more (it crashed or restarted, it forgot an orphaned FIN_WAIT_2, or the RST "
            "comes from a middlebox)."
        )
    if connection.reset_unacked:
        return (
            f"Data was still coming in: the {side} closed the socket with data unread or on its way, "
            "or aborted it."
        )
    if own is State.ESTABLISHED or own is State.CLOSE_WAIT:
        return (
            f"No FIN of the {side} went before it: its application aborted (SO_LINGER with a time of 0), "
            "closed the socket with data that its kernel had acknowledged still unread, or was killed so; "
            "the kernel's reason (tracepoint tcp_send_reset) tells them apart."
        )
    return (
        "It came after its own FIN: the socket was closed and something it could not take arrived, "
        "or it was aborted."
    )


def _unanswered_probes(connection: Connection, end: Endpoint, peer: Endpoint) -> int:
    return sum(1 for f in connection.frames(Note.KEEP_ALIVE, end.is_client) if f > peer.last_frame)


def reset_ignored(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """RSTs that their receiver did not take."""
    for frame, from_client in connection.resets_ignored:
        if frame in connection.strays:
            continue  # stray-segments says so
        side, peer = ("client", "server") if from_client else ("server", "client")
        yield Finding(
            "reset-ignored",
            Severity.WARNING,
            "client" if from_client else "server",
            frame,
            f"The RST in frame {frame} does not have the number that the {peer} waits for, and the "
            f"connection went on: the {peer} ignored or challenged it. It is old, or it was forged by "
            f"someone who had to guess; it need not come from the {side} at all.",
        )
