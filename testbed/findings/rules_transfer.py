"""The rules about what happened in between: probes, losses, windows."""

from __future__ import annotations

from collections.abc import Iterator

from ..tcp.connection import Connection, Ending, Opening
from ..tcp.endpoint import Endpoint
from ..tcp.notes import SENT_AGAIN, Note
from .phrases import count, duration, frames, listed
from .table import Evidence, Finding, Severity, Side, ends, other, side_of, watched

STALLED_NS = 1_000_000_000
"""How long a window may stay shut, or data unacknowledged, before it is worth a warning."""

RESENT_SHARE = 0.02
RESENT_MANY = 3
"""From which share of an end's segments on, and from how many, retransmissions are worth a warning."""


def keepalive_probes(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Keepalive probes, and whether they were answered."""
    probes = connection.noted.get(int(Note.KEEP_ALIVE))
    if probes is None:
        return
    numbers = connection.frames(Note.KEEP_ALIVE)
    answers = connection.frames(Note.KEEP_ALIVE_ACK)
    by = [
        side_of(end)
        for end in ends(connection)
        if (probes.by_client if end.is_client else probes.count - probes.by_client)
    ]
    who = f"by the {by[0]}" if len(by) == 1 else "by both ends"
    text = f"Keepalive probes {who}: {frames(numbers, probes.count)}"
    answered = connection.count(Note.KEEP_ALIVE_ACK)
    if answers:
        text += f"; their answers: {frames(answers, answered)}"
    text += ". "
    if connection.probes_inferred:
        text += _inferred(connection, bool(answers)) + " "
    else:
        text += (
            "Each carries no new data and the number one below the next, so that the peer's TCP must answer. "
        )
    silence = connection.longest_silence
    if not connection.probes_inferred and silence[1] in numbers:
        text += f"The first came after {duration(silence[0])} of silence. "
    unanswered = [f for end in ends(connection) for f in _unanswered(connection, end)]
    every = sorted(numbers + answers)
    if len(every) > 2 and every[-1] - every[0] == len(every) - 1 == probes.count + answered - 1:
        text += f"None of the frames {every[0]} to {every[-1]} closes anything: probes"
    else:
        text += "None of them closes anything: they"
    text += " only ask whether the peer is still there"
    text += ", and it is." if answers and not unanswered else "."
    yield Finding("keepalive-probes", Severity.INFO, _one(by), numbers[0], text)


def _one(sides: list[Side]) -> Side | None:
    return sides[0] if len(sides) == 1 else None


def _inferred(connection: Connection, answered: bool) -> str:
    """Why segments without a printed number are taken for probes."""
    probes = connection.probes_inferred
    reasons = [f"they come after {duration(max(p.silence_ns for p in probes))} of silence"]
    reasons.append("repeat an acknowledgment already sent")
    reasons.append("carry no data")
    if any(p.bare for p in probes):
        reasons.append("have no timestamps though the connection uses them (macOS probes look like that)")
    text = (
        f"This is inferred: the text prints no sequence number for {frames([p.frame for p in probes])}, but "
        f"{listed(reasons)}"
    )
    if answered:
        text += (
            "; the answers follow at once and carry timestamps again" if any(p.bare for p in probes) else ""
        )
    return text + ". A probe's own number would be one below the next."


def _unanswered(connection: Connection, end: Endpoint) -> list[int]:
    peer = other(connection, end)
    return [f for f in connection.frames(Note.KEEP_ALIVE, end.is_client) if f > peer.last_frame]


def keepalive_unanswered(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Keepalive probes to a peer that is silent."""
    if int(Note.KEEP_ALIVE) not in connection.noted:
        return
    for end in ends(connection):
        numbers = _unanswered(connection, end)
        if len(numbers) < 2:
            continue
        peer = side_of(other(connection, end))
        yield Finding(
            "keepalive-unanswered",
            Severity.WARNING,
            "server" if end.is_client else "client",
            numbers[0],
            f"The {side_of(end)}'s keepalive probes in {frames(numbers)} were not answered: the {peer}'s "
            f"host is gone, or the way to it is cut. The {side_of(end)}'s kernel gives up after its count "
            "of probes (ETIMEDOUT).",
        )


def retransmission(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Segments that were sent again."""
    if not connection.noted:
        return
    for end in ends(connection):
        total, numbers, parts = 0, [], []
        for kind in SENT_AGAIN:
            noted = connection.noted.get(int(kind))
            if noted is None:
                continue
            here = noted.by_client if end.is_client else noted.count - noted.by_client
            if here:
                total += here
                parts.append(f"{here} {kind.label}")
                numbers += connection.frames(kind, end.is_client)
        if connection.opening is Opening.SIMULTANEOUS and end.syns_sent > 1:
            total -= 1  # its SYN,ACK repeats the number of its SYN, as it must
        if total <= 0:
            continue
        share = total / max(1, end.packets)
        text = (
            f"The {side_of(end)} sent {count(total, 'segment')} again ({', '.join(parts)}; {share:.1%} of "
            f"its segments): {frames(sorted(numbers), total)}. Segments or their acknowledgments were lost "
            "or late."
        )
        if connection.count(Note.SPURIOUS_RETRANSMISSION):
            text += " Spurious ones had been acknowledged before they were repeated."
        severity = Severity.WARNING if share >= RESENT_SHARE and total >= RESENT_MANY else Severity.INFO
        yield Finding("retransmission", severity, side_of(end), min(numbers, default=None), text)


def unacknowledged_data(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Data that was never acknowledged, though there was time."""
    if connection.reset_by is not None:
        return
    for end in ends(connection):
        peer = other(connection, end)
        if end.data_end is None or not peer.packets or peer.last_ack is None:
            continue
        if end.fin_seq is not None:
            continue  # its FIN is not acknowledged either: fin-unacknowledged says so
        behind = (end.data_end - peer.last_ack) & 0xFFFFFFFF
        waited = evidence.until(connection) - end.next_seq_time
        if not 0 < behind < 0x80000000 or waited < STALLED_NS or peer.last_frame > end.last_frame:
            continue
        yield Finding(
            "unacknowledged-data",
            Severity.WARNING,
            side_of(peer),
            end.last_frame,
            f"The last {count(behind, 'byte')} of the {side_of(end)} were never acknowledged in the "
            f"{watched(connection, waited)}. The {side_of(peer)} is gone, or the way to it is "
            "cut.",
        )


def zero_window(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """A receiver that had no room."""
    if int(Note.ZERO_WINDOW) not in connection.noted:
        return
    for end in ends(connection):
        numbers = connection.frames(Note.ZERO_WINDOW, end.is_client)
        if not numbers:
            continue
        still = end.zero_since
        shut = end.zero_total + (connection.last_time_ns - still if still else 0)
        peer = other(connection, end)
        probes = connection.frames(Note.ZERO_WINDOW_PROBE, peer.is_client)
        text = (
            f"The {side_of(end)} advertised a window of 0 ({frames(numbers)}): its application did not "
            f"read, and the {side_of(peer)} had to stop for {duration(shut)}."
        )
        if probes:
            text += (
                f" The {side_of(peer)} probed it in {frames(probes)}; these are window probes, not "
                "keepalives, though they look alike."
            )
        if still and connection.ending is Ending.OPEN:
            when = "the capture ended" if connection.successor is None else "the four-tuple was opened anew"
            text += f" The window was still shut when {when}."
        severity = Severity.WARNING if shut >= STALLED_NS or still else Severity.INFO
        yield Finding("zero-window", severity, side_of(end), numbers[0], text)


def out_of_order(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Segments that overtook each other."""
    noted = connection.noted.get(int(Note.OUT_OF_ORDER))
    if noted is not None:
        numbers = connection.frames(Note.OUT_OF_ORDER)
        yield Finding(
            "out-of-order",
            Severity.INFO,
            None,
            numbers[0],
            f"{count(noted.count, 'segment')} came out of order ({frames(numbers, noted.count)}): the path "
            "or the capture reordered them.",
        )
