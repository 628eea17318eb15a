"""What a socket's queues, timers and holder mean for how its connection ends.

The state alone does not say who is late.  CLOSE_WAIT is an application that has not read the end
yet, or one that read it and forgot to close; FIN_WAIT_2 is a living half-close, or an orphan that
Linux counts down.  Each reading is one row of `READINGS`.

One row cannot be more certain than the kernel is: where the peer's last data and its FIN came close
together, Linux takes the FIN out of the queue with the read that returns the last byte.  So
`not-closed` may be a program that has all the data and has not called read() once more.

A timer of NONE is certain: Linux runs keepalive's timer for as long as SO_KEEPALIVE is set and the
connection lasts (net/ipv4/tcp_timer.c), and shows it unless a nearer one hides it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..tcp.states import State
from .diag_socket import DiagSocket, Timer


class Reading(NamedTuple):
    """One thing that a socket's row in the kernel's tables says.

    text  a sentence, with the row's numbers in it
    """

    code: str
    text: str


class Row(NamedTuple):
    """One row of the table.

    states  in which the row applies; empty: in any
    when    what else has to hold
    text    may name fields of the socket, and `seconds` that its timer has to go
    """

    code: str
    states: frozenset[State]
    when: Callable[[DiagSocket], bool]
    text: str


def _in(*states: State) -> frozenset[State]:
    return frozenset(states)


def _held(socket: DiagSocket) -> bool:
    return socket.inode != 0


def _nobody(socket: DiagSocket) -> bool:
    return socket.inode == 0


def _no_timer(socket: DiagSocket) -> bool:
    return socket.timer is Timer.NONE


READINGS: tuple[Row, ...] = (
    Row("backlog-full", _in(State.LISTEN), lambda s: s.rqueue > s.wqueue,
        "{rqueue} connections wait for accept(), more than the backlog of {wqueue}: new SYNs are dropped"),
    Row("handshake", _in(State.SYN_RECEIVED), lambda s: s.small,
        "the handshake waits for its third segment; SYN-ACK sent {retransmits} times again,"
        " the next in {seconds:.1f} s"),
    Row("not-accepted", _in(State.ESTABLISHED, State.CLOSE_WAIT), _nobody,
        "no program has accepted the connection yet; {rqueue} bytes wait for it"),
    Row("eof-unread", _in(State.CLOSE_WAIT), lambda s: _held(s) and s.rqueue == 1,
        "the peer's FIN is in the receive queue: the application has not read the end of the stream"),
    Row("not-closed", _in(State.CLOSE_WAIT), lambda s: _held(s) and s.rqueue == 0,
        "the application has read all the data and not closed its socket, a leak while it lasts: the receive"
        " queue is empty, the peer's FIN gone from it"),
    Row("data-unread", _in(State.CLOSE_WAIT), lambda s: _held(s) and s.rqueue > 1,
        "{unread} bytes are unread in front of the peer's FIN: a close() now sends RST"),
    Row("orphan", _in(State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK), _nobody,
        "the program has let go of the socket; the kernel waits for the acknowledgement of {wqueue} bytes"
        " (the FIN is one)"),
    Row("orphan-countdown", _in(State.FIN_WAIT_2), _nobody,
        "closed by its program, the socket is an orphan that Linux counts down: {seconds:.1f} s to go of"
        " this timer, and then it vanishes without a packet"),
    Row("half-closed", _in(State.FIN_WAIT_2), _held,
        "the program has ended its own direction, still holds the socket and can read"),
    Row("time-wait", _in(State.TIME_WAIT), lambda s: s.timer is Timer.TIME_WAIT,
        "both sides are done; the address pair is kept for another {seconds:.1f} s"),
    Row("descriptor-open", _in(State.CLOSED), _held,
        "the connection is over and a program still holds its descriptor"),
    Row("keepalive-armed", frozenset(), lambda s: s.timer is Timer.KEEPALIVE and not _orphan_counting(s),
        "keepalive is armed: it fires in {seconds:.1f} s, {retransmits} probes are unanswered"),
    Row("keepalive-off", _in(State.CLOSE_WAIT, State.FIN_WAIT_2), lambda s: _held(s) and _no_timer(s),
        "keepalive is not armed and no other timer runs: until the program sends or closes, nothing tells"
        " this end that its peer is gone"),
    Row("retransmission-timer", frozenset(), lambda s: s.timer is Timer.RETRANSMISSION and not s.small,
        "the retransmission timer runs: {wqueue} bytes are not acknowledged, sent {retransmits} times again"
        " by timeout, the next in {seconds:.1f} s"),
    Row("window-closed", frozenset(), lambda s: s.timer is Timer.WINDOW_PROBE,
        "the peer's window is closed: {wqueue} bytes wait, {retransmits} window probes are unanswered, the"
        " next in {seconds:.1f} s"),
)  # fmt: skip
"""Every reading; which of CLOSE_WAIT's it is rests on Linux counting the FIN as one byte received."""


def _orphan_counting(socket: DiagSocket) -> bool:
    return socket.state is State.FIN_WAIT_2 and socket.inode == 0


ALIVE = _in(State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2)

PEER_GONE: tuple[Row, ...] = (
    Row("peer-gone", ALIVE, lambda s: _held(s) and s.timer is Timer.KEEPALIVE,
        "the peer's socket is gone from the kernel's tables and this end does not know: it will when"
        " keepalive fires, in {seconds:.1f} s"),
    Row("peer-gone", ALIVE, lambda s: _held(s) and _no_timer(s),
        "the peer's socket is gone from the kernel's tables and this end does not know: keepalive is not"
        " armed, so it stays until the program sends or closes"),
    Row("peer-gone", ALIVE, lambda s: _held(s) and s.timer not in (Timer.KEEPALIVE, Timer.NONE),
        "the peer's socket is gone from the kernel's tables and this end does not know: it will when its"
        " timer fires, in {seconds:.1f} s"),
)  # fmt: skip
"""What an end says besides whose peer was in the same tables and no longer is (RFC 9293 section 3.5.1)."""


def readings(socket: DiagSocket, *, peer_gone: bool = False) -> tuple[Reading, ...]:
    """What `socket` says, in the table's order; nothing of a connection that is simply there.

    peer_gone  the other end's socket was in these tables before and is there no longer
    """
    fields = {
        **socket._asdict(),
        "seconds": socket.timer_ms / 1000,
        "unread": max(0, socket.rqueue - 1),
    }
    return tuple(
        Reading(row.code, row.text.format_map(fields))
        for row in (*READINGS, *(PEER_GONE if peer_gone else ()))
        if (not row.states or socket.state in row.states) and row.when(socket)
    )
