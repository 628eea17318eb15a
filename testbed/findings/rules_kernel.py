"""The rules about what the kernel's tables said of each end when the capture was cut.

A state alone does not say who is late: CLOSE_WAIT is a program that has not read the end, or one that
read it and forgot to close.  What the queues, timers and holders mean is read elsewhere and comes as
`Evidence.readings`; here it is a finding of its own where it tells how a connection ends, or does not.
No segment shows any of it, so none of these names a frame.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..tcp.connection import Connection
from .rules_close import missing_fin
from .signs import Sign
from .table import Evidence, Finding, Judge, KernelReading, Rule, Severity


def told(code: str, severity: Severity) -> Judge:
    """The rule that passes the reading of that code on."""

    def judge(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
        for reading in evidence.readings:
            if reading.code == code:
                yield _finding(reading, severity)

    return judge


def not_closed(connection: Connection, evidence: Evidence) -> Iterator[Finding]:
    """An end that has read all and not closed: broken once its FIN counts as missing, late until then."""
    late = any(finding.severity is Severity.ERROR for finding in missing_fin(connection, evidence))
    for reading in evidence.readings:
        if reading.code == "not-closed":
            found = _finding(reading, Severity.ERROR if late else Severity.WARNING)
            yield found._replace(
                text=found.text + " Where the last data and the FIN came close together Linux takes both out "
                "with one read, and the program may have yet to be told of the end by another."
            )


def _finding(reading: KernelReading, severity: Severity) -> Finding:
    shown = f"the {reading.side}'s socket in {reading.state}, by {reading.witness}"
    text = f"{reading.text[:1].upper()}{reading.text[1:]} ({shown})."
    return Finding(reading.code, severity, reading.side, None, text)


RULES: tuple[Rule, ...] = (
    Rule(
        "not-closed",
        Severity.ERROR,
        "Everything read, the socket not closed",
        "The socket is in CLOSE_WAIT, a process holds it, and its receive queue is empty: Linux counts the "
        "peer's FIN there until it is read. A warning where it is less than a second since the FIN.",
        "The handler read the end of the stream and returned without close(), or put the socket aside: the "
        "leak by which descriptors run out.",
        "Close the socket when a read returns 0 bytes, on every way out of the handler.",
        "RFC 9293 section 3.9.1.4, 3.10.4; Linux net/ipv4/tcp_diag.c (idiag_rqueue)",
        "A program that still waits for a read(): where the last data and the FIN came close together Linux "
        "takes the FIN out of the queue with the data.",
        Sign.KERNEL,
        not_closed,
        "kernel",
    ),
    Rule(
        "data-unread",
        Severity.WARNING,
        "Data unread in front of the peer's FIN",
        "The socket is in CLOSE_WAIT and its receive queue holds more than the FIN. A close() now sends RST "
        "and throws away what is still on its way to the peer.",
        "The program stopped reading: it is busy, it is stuck, or it has all it wants.",
        "Read to the end of the stream before close().",
        "RFC 1122 section 4.2.2.13; RFC 2525 section 2.17; Linux net/ipv4/tcp_diag.c (idiag_rqueue)",
        "A read that was under way when the tables were looked at.",
        Sign.KERNEL,
        told("data-unread", Severity.WARNING),
        "kernel",
    ),
    Rule(
        "eof-unread",
        Severity.WARNING,
        "The end of the stream unread",
        "The socket is in CLOSE_WAIT and all that its receive queue holds is the peer's FIN: the program has "
        "not called read() since it came.",
        "The program does not read: it waits for something else, it is stuck, or it forgot the connection.",
        "Keep a read pending on every connection, or watch it for EPOLLRDHUP.",
        "RFC 9293 section 3.9.1.3, 3.10.4; Linux net/ipv4/tcp_diag.c (idiag_rqueue)",
        "A program that has learned of the end in another way (EPOLLRDHUP) and is about to close.",
        Sign.KERNEL,
        told("eof-unread", Severity.WARNING),
        "kernel",
    ),
    Rule(
        "peer-gone",
        Severity.INFO,
        "One end's socket is gone, the other's does not know",
        "The kernel has no socket of the peer any more, and this end's lives on: half-open as RFC 9293 means "
        "it.",
        "The peer crashed, was forgotten after tcp_fin_timeout, or its RST was lost.",
        "Arm keepalive (SO_KEEPALIVE, TCP_KEEPIDLE) or bound the silence in the application; "
        "TCP_USER_TIMEOUT bounds unacknowledged data.",
        "RFC 9293 section 3.5.1, 3.8.4",
        "The peer's socket in the tables of another network.",
        Sign.KERNEL,
        told("peer-gone", Severity.INFO),
        "kernel",
    ),
    Rule(
        "not-accepted",
        Severity.INFO,
        "Nobody has accepted the connection",
        "The handshake is the kernel's: the connection is complete, its data is acknowledged, and it waits "
        "in the listener's queue.",
        "The program has not called accept(): it is busy, stuck, or stopping.",
        "Look at the listener's queue (`ss -ltn`, Recv-Q).",
        "listen(2); RFC 9293 section 3.9.1.1",
        "An accept() that was under way.",
        Sign.KERNEL,
        told("not-accepted", Severity.INFO),
        "kernel",
    ),
    Rule(
        "orphan-countdown",
        Severity.INFO,
        "An orphan in FIN_WAIT_2 that is counted down",
        "The program has closed its socket; the kernel waits for the peer's FIN for tcp_fin_timeout and then "
        "forgets the connection without a packet.",
        "close() while the peer has not closed its direction.",
        "See to it that the peer closes. Later segments of it draw RST.",
        "RFC 9293 section 3.6; tcp(7), tcp_fin_timeout; Linux net/ipv4/tcp.c (__tcp_close)",
        "A descriptor of that socket in a process.",
        Sign.KERNEL,
        told("orphan-countdown", Severity.INFO),
        "kernel",
    ),
    Rule(
        "half-closed",
        Severity.INFO,
        "A half-close that is alive",
        "The socket is in FIN_WAIT_2 and a process holds it: no timer counts it down, and the program can "
        "read what the peer still sends.",
        "shutdown(SHUT_WR), or a copy of the descriptor that outlived the shutdown.",
        "None, if the program reads; it waits for as long as the peer does not close.",
        "RFC 9293 section 3.6; shutdown(2)",
        "An inode of 0: an orphan.",
        Sign.KERNEL,
        told("half-closed", Severity.INFO),
        "kernel",
    ),
    Rule(
        "orphan",
        Severity.INFO,
        "A closed socket whose last bytes are not acknowledged",
        "The program has let go of the socket; the kernel alone sends what is left, and the FIN.",
        "close() a moment ago, or a peer that does not answer.",
        "None at once; where it lasts, see whether the peer is there (tcp_orphan_retries bounds it).",
        "RFC 9293 section 3.6; tcp(7), tcp_orphan_retries",
        "A descriptor of that socket in a process.",
        Sign.KERNEL,
        told("orphan", Severity.INFO),
        "kernel",
    ),
    Rule(
        "descriptor-open",
        Severity.INFO,
        "The connection is over, a descriptor is not",
        "The socket is CLOSED and a process still holds its descriptor.",
        "An RST or both FINs ended the connection, and nobody called close().",
        "Close the descriptor on errors too.",
        "RFC 9293 section 3.10.7.4; close(2)",
        "A socket that is bound and was never connected.",
        Sign.KERNEL,
        told("descriptor-open", Severity.INFO),
        "kernel",
    ),
    Rule(
        "keepalive-off",
        Severity.INFO,
        "Half of it is over and keepalive is not armed",
        "One direction has ended, nothing is on its way in the other and no timer runs. If the peer vanishes "
        "now, this end waits for ever.",
        "SO_KEEPALIVE was not set; it is off unless a program asks for it.",
        "Set SO_KEEPALIVE, and TCP_KEEPIDLE below Linux's two hours; or a time limit in the application.",
        "RFC 1122 section 4.2.3.6; RFC 9293 section 3.8.4; tcp(7); Linux net/ipv4/tcp_timer.c",
        "A time limit in the program, which no table shows.",
        Sign.KERNEL,
        told("keepalive-off", Severity.INFO),
        "kernel",
    ),
    Rule(
        "keepalive-armed",
        Severity.INFO,
        "Keepalive is armed",
        "The keepalive timer runs and is the next to go off. Its probes close nothing: they find out whether "
        "the peer is there.",
        "SO_KEEPALIVE.",
        "None.",
        "RFC 9293 section 3.8.4; RFC 1122 section 4.2.3.6; Linux net/ipv4/inet_diag.c (idiag_timer)",
        "An orphan, whose long countdown Linux shows as the same timer.",
        Sign.KERNEL,
        told("keepalive-armed", Severity.INFO),
        "kernel",
    ),
    Rule(
        "retransmission-timer",
        Severity.INFO,
        "The retransmission timer runs",
        "Something is sent and not acknowledged; when the timer fires it is sent again, or probed for.",
        "An acknowledgment on its way, a loss, a peer that is gone.",
        "None, unless the timeouts grow in number.",
        "RFC 6298; RFC 8985 section 7; Linux net/ipv4/inet_diag.c (idiag_timer)",
        "An acknowledgment of everything.",
        Sign.KERNEL,
        told("retransmission-timer", Severity.INFO),
        "kernel",
    ),
    Rule(
        "window-closed",
        Severity.INFO,
        "Data waits for the peer's window to open",
        "The window-probe timer runs: this end may not send what it has.",
        "The peer's program does not read.",
        "Find what keeps it from reading.",
        "RFC 9293 section 3.8.6.1; Linux net/ipv4/inet_diag.c (idiag_timer)",
        "A window that is open.",
        Sign.KERNEL,
        told("window-closed", Severity.INFO),
        "kernel",
    ),
)
"""A row for each reading that tells how a connection ends, by its code: who is late first."""
