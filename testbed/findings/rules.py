"""The table of rules: each row says what it looks for and what would prove it wrong.

python -m testbed.findings.rules        prints the table
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..tcp.connection import Connection
from ..tcp.notes import SENT_AGAIN, Note
from . import rules_capture, rules_close, rules_kernel, rules_open, rules_transfer
from .signs import Sign, signs
from .table import Evidence, Finding, Rule, Severity

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

RULES: tuple[Rule, ...] = (
    Rule(
        "missing-fin",
        ERROR,
        "One end never closed",
        "One end sent its FIN and the other end's TCP acknowledged it, but the other end never sent a FIN "
        "of its own: its socket stays in CLOSE_WAIT, and the first end's in FIN_WAIT_2.",
        "The application read the end of the stream (or does not read at all) and never called close(): a "
        "leaked socket, a handler that returns without closing, a descriptor that a child process still "
        "holds.",
        "Close the socket when a read returns 0 bytes; look for the descriptor with `ss -tnp state "
        "close-wait`.",
        "RFC 9293 section 3.6, 3.10.4",
        "A FIN of that end in a longer capture, or one that the capture dropped.",
        Sign.FIN_OPEN,
        rules_close.missing_fin,
    ),
    *rules_kernel.RULES,
    Rule(
        "late-fin",
        INFO,
        "One end closed long after the other",
        "An end sent its FIN more than a second after the peer's, and no data in between. A warning where "
        "the kernel's tables showed whose socket it was.",
        "A slow application, or a leaked socket that was closed by the end of its process.",
        "Close the socket when a read returns 0 bytes.",
        "RFC 9293 section 3.6",
        "Work that the application does between the two, on purpose.",
        Sign.FIN_LATE,
        rules_close.late_fin,
    ),
    Rule(
        "fin-unacknowledged",
        WARNING,
        "A FIN that nobody acknowledged",
        "An end sent its FIN, again and again perhaps, and nothing acknowledged it.",
        "The other host is gone or unreachable, or its answers take a way that the capture does not see.",
        "Capture on the other host too.",
        "RFC 9293 section 3.6, 3.8.1",
        "An acknowledgment of it that was not captured.",
        Sign.FIN_OPEN,
        rules_close.fin_unacknowledged,
    ),
    Rule(
        "reset",
        WARNING,
        "Ended by RST",
        "An RST ended the connection: whatever was under way in either direction was thrown away. An info "
        "where both FINs had been sent before.",
        "close() with unread data, SO_LINGER with a time of 0, a write to a socket that the peer had "
        "closed, a crash, a firewall.",
        "Read to the end of the stream before closing; shut down the sending direction and wait for the "
        "peer's FIN.",
        "RFC 9293 section 3.5.2, 3.10.7; RFC 1122 section 4.2.2.13",
        "The receiver going on as if nothing had come: then the RST was not taken (reset-ignored).",
        Sign.RESET,
        rules_close.reset,
    ),
    Rule(
        "reset-ignored",
        WARNING,
        "An RST that was not taken",
        "An RST with a number that its receiver did not wait for, after which the connection went on.",
        "An old segment, or a blind attack.",
        "None needed where the stack challenges it.",
        "RFC 5961 section 3",
        "No segment of the receiver after it.",
        Sign.RESET_IGNORED,
        rules_close.reset_ignored,
    ),
    Rule(
        "data-after-fin",
        ERROR,
        "Data beyond one's own FIN",
        "A segment carries data with numbers after its sender's FIN.",
        "Forged or damaged segments, an evasion attempt.",
        "Find out who sends them.",
        "RFC 9293 section 3.6",
        "A FIN with another number.",
        Sign.DATA_AFTER_FIN,
        rules_close.data_after_fin,
    ),
    Rule(
        "half-close",
        INFO,
        "One direction ended, the other was used on",
        "An end sent data after it had taken the peer's FIN. That is what half-close is for.",
        "The peer shut down its sending direction and reads on.",
        "None: see that the rest arrives.",
        "RFC 9293 section 3.6; RFC 1122 section 4.2.2.13",
        "Data that had been sent before the FIN was taken.",
        Sign.DATA_AFTER_PEERS_FIN,
        rules_close.half_close,
    ),
    Rule(
        "simultaneous-close",
        INFO,
        "Both FINs crossed",
        "Both ends went through CLOSING.",
        "Both applications closed at the same moment.",
        "None.",
        "RFC 9293 section 3.6, Figure 13",
        "An acknowledgment of the first FIN before the second.",
        Sign.FINS_CROSSED,
        rules_close.simultaneous_close,
    ),
    Rule(
        "fin-retransmitted",
        INFO,
        "A FIN sent again",
        "A FIN was sent more than once before it was acknowledged.",
        "It or its acknowledgment was lost, or the acknowledgment was slow.",
        "None, unless it is frequent.",
        "RFC 9293 section 3.8.1",
        "FINs with different numbers.",
        Sign.FIN_REPEATED,
        rules_close.fin_retransmitted,
    ),
    Rule(
        "ack-short-of-fin",
        INFO,
        "An acknowledgment that stops before a FIN",
        "A FIN takes one sequence number; this acknowledgment names the FIN's own number, so it does not "
        "cover it.",
        "It was sent before the FIN arrived, or the transcript was edited.",
        "None.",
        "RFC 9293 section 3.4",
        "A FIN with a number one lower.",
        Sign.SHORT_OF_FIN,
        rules_close.ack_short_of_fin,
    ),
    Rule(
        "refused",
        WARNING,
        "The connection was refused",
        "An RST answered the SYN.",
        "Nothing listens on that port, or a firewall rejects.",
        "Start the server, or wait for it to listen.",
        "RFC 9293 section 3.10.7.1, 3.10.7.3",
        "A SYN,ACK before the RST.",
        Sign.NOT_OPENED,
        rules_open.refused,
    ),
    Rule(
        "unanswered",
        WARNING,
        "A SYN that nobody answered",
        "The SYN was sent and nothing came back.",
        "A firewall that drops, a dead address, a full accept queue.",
        "Capture at the server: does the SYN arrive?",
        "RFC 9293 section 3.8.3",
        "An answer that took another way.",
        Sign.NOT_OPENED,
        rules_open.unanswered,
    ),
    Rule(
        "half-open",
        WARNING,
        "A handshake that was not completed",
        "The server answered the SYN and the third segment never came. An info where the client refused by "
        "RST.",
        "A lost segment, a vanished client, a forged source address (SYN flood), a scanner, an old "
        "duplicate SYN.",
        "Count them: one is chance, many are a flood (SYN cookies).",
        "RFC 9293 section 3.5, RFC 4987",
        "The third segment.",
        Sign.NOT_OPENED,
        rules_open.half_open,
    ),
    Rule(
        "handshake-retried",
        INFO,
        "A handshake that needed more than one try",
        "A SYN or SYN,ACK was sent again.",
        "Loss, or a full accept queue.",
        "Look at ListenOverflows in `nstat -az`.",
        "RFC 9293 section 3.8.3",
        "SYNs with different numbers.",
        Sign.SYN_REPEATED,
        rules_open.handshake_retried,
    ),
    Rule(
        "simultaneous-open",
        INFO,
        "Both ends opened",
        "Two SYNs crossed.",
        "Both called connect() to each other.",
        "None.",
        "RFC 9293 section 3.5, Figure 7",
        "A SYN,ACK that answers before the second SYN.",
        Sign.SIMULTANEOUS,
        rules_open.simultaneous_open,
    ),
    Rule(
        "split-handshake",
        WARNING,
        "A SYN answered by a SYN",
        "The end that was called did not send SYN,ACK but a SYN of its own, and the caller's SYN,ACK answers "
        "that. RFC 9293 allows it, no common stack does it.",
        "A server that wants to be taken for the client by whoever inspects the traffic.",
        "Find out what runs there.",
        "RFC 9293 section 3.5",
        "A SYN,ACK of either end that was not captured: then it is a simultaneous open.",
        Sign.SPLIT | Sign.SIMULTANEOUS,
        rules_open.split_handshake,
    ),
    Rule(
        "stray-segments",
        WARNING,
        "Segments from before their sender's SYN,ACK",
        "Segments in one end's name came before the SYN,ACK with which it opened, with other numbers, and "
        "the other end took none of them.",
        "Somebody else sent them: an attempt to cut the connection off, or to mislead whoever watches. Or "
        "they are late ones of an earlier connection of these ports.",
        "Compare their TTL and IP id with those of the SYN,ACK.",
        "RFC 9293 section 3.10.7.3, RFC 5961",
        "The receiver acting upon one of them.",
        Sign.STRAYS,
        rules_open.stray_segments,
    ),
    Rule(
        "port-reused",
        INFO,
        "The same four-tuple again",
        "A SYN opens a four-tuple that the capture has seen before.",
        "Many short connections from one address.",
        "None, unless it fails.",
        "RFC 9293 section 3.6.1, RFC 6191",
        "A SYN with the first one's number: that is a retransmission.",
        Sign.PORT_REUSED,
        rules_open.port_reused,
    ),
    Rule(
        "icmp-error",
        WARNING,
        "ICMP reported an error",
        "A router or host could not deliver a segment.",
        "A route that is gone, a packet too big, a firewall.",
        "Follow the address that sent it.",
        "RFC 792, RFC 4443, RFC 5927",
        "The quoted segment arriving.",
        Sign.ICMP,
        rules_open.icmp_error,
    ),
    Rule(
        "keepalive-probes",
        INFO,
        "Keepalive probes",
        "An end asked whether the other is still there.",
        "SO_KEEPALIVE and silence.",
        "None. They close nothing; ask why the connection is idle.",
        "RFC 9293 section 3.8.4; RFC 1122 section 4.2.3.6",
        "A peer's window of 0: then they are window probes.",
        Note.KEEP_ALIVE,
        rules_transfer.keepalive_probes,
    ),
    Rule(
        "keepalive-unanswered",
        WARNING,
        "Keepalive probes without an answer",
        "The peer's host did not answer probes.",
        "It is gone, or the way to it is cut.",
        "Find out when it was last heard.",
        "RFC 9293 section 3.8.4",
        "Answers that were not captured.",
        Note.KEEP_ALIVE,
        rules_transfer.keepalive_unanswered,
    ),
    Rule(
        "retransmission",
        INFO,
        "Segments sent again",
        "Segments were repeated. A warning from 2 % of an end's segments on, and at least 3.",
        "Loss, reordering, late acknowledgments.",
        "Look for the link that loses.",
        "RFC 9293 section 3.8.1, RFC 6298",
        "The same packet captured twice.",
        SENT_AGAIN,
        rules_transfer.retransmission,
    ),
    Rule(
        "unacknowledged-data",
        WARNING,
        "Data that was never acknowledged",
        "The last data of an end stayed unanswered.",
        "The peer is gone.",
        "Set TCP_USER_TIMEOUT to be told sooner.",
        "RFC 9293 section 3.8.3, RFC 5482",
        "An acknowledgment that was not captured.",
        Sign.DATA_WITHOUT_FIN,
        rules_transfer.unacknowledged_data,
    ),
    Rule(
        "zero-window",
        WARNING,
        "A receiver without room",
        "An end advertised a window of 0. An info where it opened again within a second.",
        "Its application does not read fast enough, or not at all.",
        "Find what keeps it from reading.",
        "RFC 9293 section 3.8.6",
        "A window scale that was not captured changes nothing: 0 stays 0.",
        Note.ZERO_WINDOW,
        rules_transfer.zero_window,
    ),
    Rule(
        "out-of-order",
        INFO,
        "Segments out of order",
        "Segments overtook each other.",
        "Several paths, several queues.",
        "None, unless it is frequent.",
        "RFC 9293 section 3.10.7.4",
        "A retransmission within the round-trip time.",
        Note.OUT_OF_ORDER,
        rules_transfer.out_of_order,
    ),
    Rule(
        "window-update-after-handshake",
        INFO,
        "An extra ACK after the handshake",
        "The server repeats its ACK straight after the handshake, with its scaled window.",
        "A habit of macOS on its loopback.",
        "None: harmless.",
        "RFC 7323 section 2.2",
        "Data between.",
        Note.WINDOW_UPDATE | Note.DUPLICATE_ACK,
        rules_open.loopback_window_update,
    ),
    Rule(
        "capture-incomplete",
        WARNING,
        "The capture does not hold everything",
        "Packets are missing: dropped, cut off at a beginning or an end, or of one direction only. Absence "
        "then proves nothing. An info where only the beginning or one direction is missing.",
        "A capture started late, a small buffer, asymmetric routing.",
        "Capture with a larger buffer (-B), from before the start.",
        "",
        "A count that proves the capture complete.",
        Sign.PARTIAL | Sign.FLAWED | Note.ACKED_LOST_SEGMENT,
        rules_capture.capture_incomplete,
    ),
    Rule(
        "text-disagrees-with-hex",
        WARNING,
        "A transcript that contradicts itself",
        "The summary line and the bytes under it, or the bytes and their checksums, say different things.",
        "The transcript was edited by hand.",
        "Go back to the capture file.",
        "",
        "The original capture.",
        Sign.DISAGREES,
        rules_capture.text_disagrees_with_hex,
    ),
)
"""Every rule, what matters most first; among findings of one severity this is the order."""

_ORDER = {rule.code: position for position, rule in enumerate(RULES)}
_CALLED = tuple((int(row.when), row.judge) for row in RULES)


def judge(connection: Connection, evidence: Evidence) -> list[Finding]:
    """Every finding of every rule, worst first."""
    seen = signs(connection, evidence)
    if not seen:
        return []
    return _sorted(
        finding if finding.frame else finding._replace(frame=None)  # 0: that packet was not captured
        for when, find in _CALLED
        if when & seen
        for finding in find(connection, evidence)
    )


def with_flaw(findings: Sequence[Finding], flaw: Finding | None) -> Sequence[Finding]:
    """`findings`, made while the capture was being read, with what is known of it only at its end."""
    return findings if flaw is None else _sorted([*findings, flaw])


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (finding.severity.rank, _ORDER[finding.code]))


def rule(code: str) -> Rule | None:
    """The rule with this code."""
    return next((row for row in RULES if row.code == code), None)


if __name__ == "__main__":
    for row in RULES:
        print(f"{row.code:30} {row.severity:8} {row.title:45} {row.rfc}")
