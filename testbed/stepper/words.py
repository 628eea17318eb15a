"""What a look shows, in words short enough for a line."""

from __future__ import annotations

from ..kernel.diag_socket import DiagSocket, Timer
from ..tcp.arrival import awaited, by_program
from ..tcp.states import Event, State
from .session import Done, End, Held

_TIMERS = {
    Timer.RETRANSMISSION: "sends again in {seconds:.1f} s",
    Timer.KEEPALIVE: "keepalive in {seconds:.1f} s",
    Timer.TIME_WAIT: "forgotten in {seconds:.0f} s",
    Timer.WINDOW_PROBE: "window probe in {seconds:.1f} s",
}
_CALLS = {Event.SEND_FIN: "close()", Event.SEND_SYN: "connect()", Event.CLOSE_UNUSED: "close()"}


def queues(end: End) -> str:
    """What lies in an end's queues, and which timer runs."""
    socket = end.socket
    if socket is None:
        return "listens; knows nothing of it" if end.state is State.LISTEN else "no socket"
    said = []
    if socket.small and end.state is State.SYN_RECEIVED:
        said.append("a request, no socket yet")
    elif not socket.small:
        said.append(f"to read {socket.rqueue}, unacked {socket.wqueue}")
    if timer := _timer(socket):
        said.append(timer)
    if not socket.inode and not socket.small and end.state is not State.ESTABLISHED:
        said.append("orphan")
    return "; ".join(said)


def _timer(socket: DiagSocket) -> str:
    timer = socket.timer
    if timer is Timer.KEEPALIVE and socket.state is State.FIN_WAIT_2 and not socket.inode:
        timer = Timer.TIME_WAIT  # the first part of a tcp_fin_timeout of more than 60 s
    words = _TIMERS.get(timer, "").format(seconds=socket.timer_ms / 1000)
    return f"{words} ({socket.retransmits}x so far)" if words and socket.retransmits else words


def upcoming(end: End, arrow: str, *, sections: bool = False) -> list[str]:
    """What can move an end from here, by RFC 9293: segments, time, its own program.

    sections  with the section that each stands in
    """
    if end.state is State.CLOSED:
        return []
    rows = [(str(edge.event), edge) for edge in awaited(end.state)]
    rows += [("close()", edge) for edge in by_program(end.state) if edge.event is Event.SEND_FIN]
    return [f"{what} {arrow} {edge.next}{f' ({edge.section})' if sections else ''}" for what, edge in rows]


def consequence(held: Held, arrow: str) -> str:
    """What a held segment will do to its receiver."""
    if not held.edges:
        return f"{held.receiver} stays {held.state}"
    states = f" {arrow} ".join([str(held.state), *(str(edge.next) for edge in held.edges)])
    return f"{held.receiver} {states}"


def cause(held: Held) -> str:
    """Why, and where that is written; "" where it does nothing."""
    if not held.edges:
        return ""
    events = ", ".join(str(edge.event) for edge in held.edges)
    return f"{events}: RFC 9293 {held.edges[-1].section}"


def remark(held: Held) -> str:
    """What else is to be known of a held segment."""
    said = []
    if held.early:
        said.append("early: what was sent before it is missing")
    if held.again:
        said.append(f"sent again {held.again}x")
    if held.event.rule and not held.event.rule.startswith("hold"):  # which is what happens to all of them
        said.append(f"rule: {held.event.rule}")
    return "; ".join(said)


def outcome(done: Done) -> str:
    """What came of a step, held against what RFC 9293 says."""
    if not done.held.event.sent:
        return f"{done.held.event.line} is lost ({done.held.event.rule})"
    side, expected = done.held.receiver, done.held.expected
    seen = done.after.end(side).state
    if seen is expected:
        if not done.held.edges:
            return f"the {side} stays {seen}"
        return f"the {side} is in {seen}, as RFC 9293 {done.held.edges[-1].section} says"
    further = next((edge for edge in by_program(expected) if edge.next is seen), None)
    if further is not None:
        return f"the {side} came to {expected}, and its program on to {seen} ({_CALLS[further.event]})"
    return f"the {side} is in {seen}; RFC 9293 has it in {expected}"
