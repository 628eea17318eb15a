"""A receiver that stops reading: its window closes, the sender probes it, and it opens (RFC 9293, 3.8.6).

The probes look like keepalives, no data and a number one below the next, and are none: the last window
was 0.  They ask whether there is room, because the update that says so is an ACK that nobody
acknowledges, and may be lost.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.notes import Note
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5
BODY = b"x" * 20_000
ROOM, STORE = 4096, 65_536
"""Bytes: the server's receive buffer holds a part of the body, the client's send buffer all of it."""

SHUT = 1.5
"""Seconds; the first probe comes after the retransmission timeout (200 ms), each next one twice as late."""


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    server.receive_buffer(ROOM)
    client = lab.client()
    client.send_buffer(STORE)
    lab.told("connect() succeeds", await client.connect(), "connected")
    accepted = await server.accept()
    lab.told("send() takes it all, though nobody reads", await client.send(BODY), "sent")
    await lab.see_reading("client", "window-closed")
    await lab.pause(SHUT, "the server does not read")
    await lab.see("client", State.ESTABLISHED)
    await lab.see_reading("client", "window-closed")
    lab.told("once it reads, all is there", await accepted.recv_exactly(len(BODY)), BODY)
    client.close()
    lab.told("and then the end", await accepted.recv_to_end(), (b"", "EOF"))
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    shut = connection.frames(Note.ZERO_WINDOW, from_client=False)
    probes = connection.frames(Note.ZERO_WINDOW_PROBE, from_client=True)
    opened = connection.frames(Note.WINDOW_UPDATE, from_client=False)
    yield check(
        "wire",
        "the server announces a window of 0, the client probes it, the server announces room",
        bool(shut and probes and opened) and shut[0] < probes[0] and probes[-1] < opened[-1],
        f"window 0 in frames {shut}, probes {probes}, updates {opened}",
    )
    keepalives = connection.frames(Note.KEEP_ALIVE)
    yield check("wire", "none of the probes is a keepalive", not keepalives, f"frames {keepalives} are")
    yield check("wire", "no data is sent until there is", *_silence(experiment))


def _silence(experiment: Experiment) -> tuple[bool, str]:
    """Whether the client sent nothing but probes while the window was 0: one below what is acknowledged."""
    shut, acknowledged, wrong = False, 0, []
    for exchange in experiment.connection.exchanges or ():
        if not exchange.from_client:
            shut, acknowledged = exchange.window == 0, exchange.ack
        elif shut and (exchange.segment.length or exchange.seq != acknowledged - 1):
            wrong.append(exchange.segment.frame)
    return not wrong, f"frames {wrong} are no probes"


SCENARIO = Scenario(
    name="zero-window",
    title="the receiver stops reading: window 0, probes that are no keepalives, a window update",
    rfc="RFC 9293 sections 3.8.6 and 3.8.6.1",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > . 1:20001(20000) ack 1    # in pieces; when the probes come between them, the buffers decide
        > F. 20001:20001(0) ack 1
        < F. 1:1(0) ack 20002
        > . 20002:20002(0) ack 2
    """,
    findings=("zero-window",),
    seconds=SHUT,
    sysctls={"tcp_early_retrans": 0},  # no probes of the tail (RFC 8985): a late ACK draws one within 10 ms
    lesson="A connection that stands still is not always the network's fault: here the peer's program does "
    "not read. send() said that all was well, as its own kernel had room.",
    after=after,
)
