"""The server never sends its FIN, and keepalive probes are taken for one: the experiment on port 2333.

The client calls once, half-closes, and waits.  The server's application keeps the socket: it stays in
CLOSE_WAIT, the client in FIN_WAIT_2.  Fifteen seconds later *both* kernels send keepalive probes
(no data, one below the next number), each is answered, and nothing of that closes anything.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...servers.rpc import query_call
from ...tcp.notes import Note
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 1
KEEPALIVE = 15


async def play(lab: Lab) -> None:
    await lab.serve(
        "rpc",
        port=2333,
        ending="never",
        process=True,
        keepalive_idle=KEEPALIVE,
        keepalive_interval=KEEPALIVE,
        keepalive_count=8,
    )
    client = lab.client()
    client.keep_alive(KEEPALIVE, KEEPALIVE, 8)
    lab.told("connect() succeeds", await client.connect(), "connected")
    await client.send(query_call())
    await client.recv_exactly(254)
    client.half_close()
    await lab.see("server", State.CLOSE_WAIT)
    await lab.see("client", State.FIN_WAIT_2)
    await lab.see_reading("server", "not-closed")
    await lab.pause(KEEPALIVE + 0.5, "for the keepalive probes")
    await lab.see("server", State.CLOSE_WAIT)
    await lab.see("client", State.FIN_WAIT_2)


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    times = {e.segment.frame: e.segment.time_ns for e in connection.exchanges or ()}
    fin, ack = connection.client.fin_frame, connection.client.fin_acked_frame
    for side, from_client, since in (("server", False, fin), ("client", True, ack or fin)):
        probes = connection.frames(Note.KEEP_ALIVE, from_client)
        waited = (times[probes[0]] - times[since]) / 1e9 if probes and since else 0.0
        yield check(
            "wire",
            f"the {side} sends a keepalive probe after {KEEPALIVE} s of silence (and what the timer adds)",
            # the kernel's timer wheel rounds up; measured: 15.0-15.3 s
            KEEPALIVE - 0.05 <= waited <= KEEPALIVE + 0.4,
            f"it waited {waited:.3f} s" if waited else "it sent none",
        )
    closing = [
        e.segment.frame
        for e in connection.exchanges or ()
        if e.segment.frame > ack and e.segment.flags & 0x05
    ]
    yield check("wire", "nothing after the client's FIN closes anything", not closing, f"frames {closing} do")
    held = [h for h in experiment.evidence.holders if h.side == "server" and h.state == "CLOSE_WAIT"]
    yield check(
        "kernel", "the process and descriptor that hold the socket are known", bool(held), "nobody was found"
    )
    told = {(f.side, f.code) for f in experiment.findings}
    for side, code, statement in (
        ("server", "not-closed", "the server has read everything and not closed"),
        ("client", "half-closed", "the client's half-close is alive, and no orphan"),
        ("server", "keepalive-armed", "the server's keepalive is armed for the next probe"),
        ("client", "keepalive-armed", "and so is the client's"),
    ):
        yield check("kernel", statement, (side, code) in told, f"found: {sorted(c for _, c in told)}")


SCENARIO = Scenario(
    name="missing-fin",
    title="the server never sends its FIN; keepalive probes are taken for one",
    rfc="RFC 9293 sections 3.6 and 3.8.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:105(104) ack 1
        < . 1:1(0) ack 105
        < P. 1:255(254) ack 105
        > . 105:105(0) ack 255
        > F. 105:105(0) ack 255
        < . 255:255(0) ack 106
        < . 254:254(0) ack 106      # the server's keepalive probe: one below the next number
        > . 106:106(0) ack 255
        > . 105:105(0) ack 255      # the client's
        < . 255:255(0) ack 106
    """,
    findings=("missing-fin", "not-closed"),
    lesson="A segment without data whose number is one too low asks 'are you there?'. It closes nothing. "
    "The FIN is missing because the application has not called close().",
    seconds=KEEPALIVE + 1,
    after=after,
)
