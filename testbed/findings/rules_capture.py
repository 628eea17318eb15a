"""The rules about the capture itself: what it lacks, and where a text contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator

from ..tcp.connection import Connection
from ..tcp.notes import Note
from .phrases import count, frames, listed
from .table import Evidence, Finding, Severity, ends, side_of


def capture_incomplete(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """What was not captured, so that nothing can be concluded from its absence."""
    lost = connection.frames(Note.ACKED_LOST_SEGMENT)
    if lost:
        total = connection.count(Note.ACKED_LOST_SEGMENT)
        yield Finding(
            "capture-incomplete",
            Severity.WARNING,
            None,
            lost[0],
            f"Segments are missing from the capture, not from the connection: {frames(lost, total)} "
            "acknowledged data that no captured segment carries.",
        )
    whole = flaw_of(evidence)
    if whole is not None:
        yield whole
    if connection.mid_stream:
        yield Finding(
            "capture-incomplete",
            Severity.INFO,
            None,
            connection.first_frame,
            "The capture starts mid-stream: no SYN of this connection was captured. Who is the client is "
            "inferred from the ports, relative numbers count from the first one seen, and the window scale "
            "is not known.",
        )
    elif not connection.client.saw_syn:
        yield Finding(
            "capture-incomplete",
            Severity.INFO,
            "client",
            connection.first_frame,
            "The client's SYN was not captured: the connection begins with the SYN,ACK in frame "
            f"{connection.first_frame}.",
        )
    for end in ends(connection):
        if not end.packets and (
            end.is_client or connection.server is not end or connection.client.payload_packets
        ):
            yield Finding(
                "capture-incomplete",
                Severity.INFO,
                side_of(end),
                connection.first_frame,
                f"Only one direction was captured: nothing that the {side_of(end)} sent is here, so nothing "
                "is said of what it did or did not do.",
            )


def flaw_of(evidence: Evidence) -> Finding | None:
    """What the capture as a whole lacks: a finding of each of its connections."""
    reasons = []
    if evidence.dropped:
        reasons.append(f"{count(evidence.dropped, 'packet')} were dropped while capturing")
    if evidence.complete is False and not evidence.dropped:
        reasons.append("the interface counted other packets than were captured")
    reasons.extend(problem for problem in evidence.problems if "cut" in problem or "damaged" in problem)
    if not reasons:
        return None
    return Finding(
        "capture-incomplete",
        Severity.WARNING,
        None,
        None,
        f"The capture does not hold everything: {listed(reasons)}. What is not in it may have happened "
        "all the same.",
    )


def text_disagrees_with_hex(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """Where a transcript's summary lines and its hex dump say different things."""
    for frame, line in evidence.disagreements:
        yield Finding("text-disagrees-with-hex", Severity.WARNING, None, frame, line)
