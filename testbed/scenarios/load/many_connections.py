"""Thousands of connections open at once, and a verdict for each of them.

One event loop opens them all, each has its reply read and stays open; when the kernel shows all of them
in ESTABLISHED the clients half-close.  Whoever has ten thousand connections has a few that end otherwise, and
a summary does not show them: so each one's segments, its findings and both its ends' states are judged.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from ...errors import UsageError
from ...findings.table import Side
from ...lab import Lab
from ...lab.descriptors import allow
from ...servers.rpc import query_call
from ...tcp.states import State
from ..scenario import Load, Scenario

ORDER = 1
MOST = 28_000
"""As many ports as Linux takes by itself for connections from one address to one port."""
BACKLOG = 4096
"""The most that Linux lets a listener have (net.core.somaxconn); fewer clients are on their way at a time."""
RING_KIB_EACH = 13
"""Room for all segments of a connection, should the event loop come to read none before the end."""
FEWEST_KIB = 16384

SETTLE_SECONDS = 10.0
"""For the kernel to be done with the last segments."""


class Talk(NamedTuple):
    """What is said on each connection: a request, and how long the reply to it is."""

    request: bytes
    reply: int


TALKS = {
    "echo": Talk(b"hello\r\n", 18),
    "rpc": Talk(query_call(), 254),
    "http": Talk(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 129),
}


class Course(NamedTuple):
    """How the connections of a server with this ending end.

    transcript  from the client's FIN on; {request} and {reply} are the next numbers, {fin} the one behind
    findings    what must be found on each of them
    told        how a client's stream ends; "" where it does not
    side, state what the kernel shows all of them in at last; None: none is left
    wait        seconds after which a FIN that has not come is missing
    """

    transcript: str
    findings: tuple[str, ...]
    told: str
    side: Side | None
    state: State
    wait: float = 0.0


ORDERLY = """
        > F. {request}:{request}(0) ack {reply}
        < F. {reply}:{reply}(0) ack {fin}
        > . {fin}:{fin}(0) ack {last}
"""
NO_FIN = """
        > F. {request}:{request}(0) ack {reply}
        < . {reply}:{reply}(0) ack {fin}
"""
RESET = """
        > F. {request}:{request}(0) ack {reply}
        < R. {reply}:{reply}(0) ack {fin}
"""
COURSES = {
    "polite": Course(ORDERLY, (), "EOF", "client", State.TIME_WAIT),
    "never": Course(NO_FIN, ("missing-fin", "not-closed"), "", "server", State.CLOSE_WAIT, 1.5),
    "deaf": Course(NO_FIN, ("missing-fin", "eof-unread"), "", "server", State.CLOSE_WAIT, 1.5),
    "linger-zero": Course(RESET, ("reset",), "ECONNRESET", None, State.CLOSED),
}
OPENED = """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:{request}({asked}) ack 1
        < P. 1:{reply}({answered}) ack {request}
"""


@contextlib.contextmanager
def on_one_processor(*pids: int) -> Iterator[None]:
    """Have these processes and this one share a processor meanwhile.

    On two, the loopback does not keep the order of segments: a delayed ACK of the client's FIN, sent by one
    processor, comes behind the server's FIN, sent by the other one, finds a TIME_WAIT, is answered, and
    draws the RST that ends it (RFC 1337).  It is real, and the busier the machine the more of thousands meet
    it; but it is not what the server's ending is about.
    """
    before = {pid: os.sched_getaffinity(pid) for pid in (0, *pids)}
    try:
        for pid, allowed in before.items():
            os.sched_setaffinity(pid, {min(allowed)})
        yield
    finally:
        for pid, allowed in before.items():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, allowed)


def player(load: Load) -> Callable[[Lab], Awaitable[None]]:
    """What is done with so many."""
    talk, course, count = TALKS[load.server], COURSES[load.ending], load.connections
    patience = 15 + count / 100

    async def play(lab: Lab) -> None:
        allow(count)
        await lab.serve(load.server, ending=load.ending, process=True, backlog=BACKLOG, idle_timeout=0)
        lab.count_states()
        crowd = lab.crowd(timeout=patience)
        lab.step(f"{count:,} clients connect and are served")
        await crowd.open(count, talk.request, talk.reply)
        await lab.see_many(State.ESTABLISHED, count, timeout=patience)
        await lab.see_many(State.ESTABLISHED, count, side="client", timeout=patience)
        lab.step(f"{count:,} clients half-close")
        if not course.told:
            await crowd.half_close()
        else:
            with on_one_processor(lab.server_process.pid):
                told = await crowd.half_close_and_read()
            lab.told(f"{count:,} clients are told {course.told}", dict(told), {course.told: count})
        if course.side is not None:
            await lab.see_many(course.state, count, side=course.side, timeout=SETTLE_SECONDS)
        if course.wait:
            await lab.pause(course.wait, "a FIN that has not come by then is missing")

    play.__module__ = __name__
    return play


def sized(load: Load) -> Scenario:
    """The scenario with other numbers.  UsageError for some that it cannot have."""
    if not 1 <= load.connections <= MOST:
        raise UsageError(f"many-connections takes 1 to {MOST:,} connections, not {load.connections:,}")
    for what, given, there in (("server", load.server, TALKS), ("ending", load.ending, COURSES)):
        if given not in there:
            raise UsageError(f"many-connections has no {what} {given!r}; there are: {', '.join(there)}")
    talk, course = TALKS[load.server], COURSES[load.ending]
    numbers = {
        "asked": len(talk.request),
        "answered": talk.reply,
        "request": 1 + len(talk.request),
        "reply": 1 + talk.reply,
        "fin": 2 + len(talk.request),
        "last": 2 + talk.reply,
    }
    return Scenario(
        name="many-connections",
        title=f"{load.connections:,} connections open at once, and each of them judged",
        rfc="RFC 9293 sections 3.5 and 3.6",
        play=player(load),
        transcript=(OPENED + course.transcript).format_map(numbers),
        findings=course.findings,
        connections=load.connections,
        reset=("TCP_STATE",) if course.told == "ECONNRESET" else (),
        each=True,
        load=load,
        sized=sized,
        seconds=2.0 + load.connections / 400,
        snaplen=256,
        buffer_kib=max(FEWEST_KIB, RING_KIB_EACH * load.connections),
        sample_every=1.0,
        one_host="a link between two hosts is for conversations, not for load",
        lesson="Of many connections a few may end otherwise than all the others: a count of states does not "
        "say which, and an average does not know them. `--connections 10000` needs as many descriptors in "
        "each of two processes.",
    )


SCENARIO = sized(Load(connections=100))
