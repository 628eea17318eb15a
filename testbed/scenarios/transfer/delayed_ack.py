"""An ACK that waits for company (RFC 9293 section 3.8.6.3): about 40 ms on Linux, if none comes.

On a fresh connection Linux acknowledges at once.  Once the server has answered a request it expects to
answer the next one too, and that reply will carry the ACK.  So the last request here, which gets no
reply, is acknowledged late, and every one before it was with no segment more than the reply.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ..scenario import Scenario

ORDER = 7
REQUEST, REPLY = b"hello\r\n", b"server got:hello\r\n"
EXCHANGES = 3
"""Enough for every Linux to call it a conversation (TCP_PINGPONG_THRESH was 3 from 5.0 to 6.2)."""

ATO_MIN, LIMIT = 0.040, 0.5
"""Seconds: TCP_DELACK_MIN of include/net/tcp.h, and what RFC 9293 allows at the most."""
TICK = 0.010
"""Seconds: the timer counts in ticks, of which the first is under way already (CONFIG_HZ is 100 or more)."""


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    for _ in range(EXCHANGES):
        await client.send(REQUEST)
        await accepted.recv_exactly(len(REQUEST))
        await accepted.send(REPLY)
        await client.recv_exactly(len(REPLY))
    before = lab.counters()
    await client.send(REQUEST)
    lab.told("the last request is read, and gets no reply", await accepted.recv_exactly(7), REQUEST)
    await lab.see_counted(before, {"DelayedACKs": 1})
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    exchanges = experiment.connection.exchanges or []
    requests = [e for e in exchanges if e.from_client and e.segment.length]
    waited, rode = [], []
    for request in requests:
        answers = (e for e in exchanges if not e.from_client and e.segment.frame > request.segment.frame)
        answer = next(e for e in answers if e.ack == (request.seq or 0) + len(REQUEST))
        waited.append((answer.segment.time_ns - request.segment.time_ns) / 1e9)
        rode.append(answer.segment.length > 0)
    yield check(
        "wire",
        "a fresh connection acknowledges the first request at once",
        not rode[0] and waited[0] < ATO_MIN - TICK,
        f"after {waited[0]:.3f} s" + (", with the reply" if rode[0] else ""),
    )
    yield check(
        "wire",
        "in the conversation the reply carries the ACK, and no other comes",
        rode[EXCHANGES - 1],
        "an ACK came by itself before the reply",
    )
    yield check(
        "wire",
        f"the lone request is acknowledged {ATO_MIN * 1000:.0f} ms late, long before the {LIMIT:g} s allowed",
        not rode[-1] and ATO_MIN - TICK <= waited[-1] < LIMIT,
        f"after {waited[-1] * 1000:.1f} ms" + (", with a reply" if rode[-1] else ""),
    )


SCENARIO = Scenario(
    name="delayed-ack",
    title="a lone segment's ACK comes 40 ms late; where a reply carries it, none is sent",
    rfc="RFC 9293 section 3.8.6.3; RFC 1122 section 4.2.3.2; tcp(7), TCP_QUICKACK",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > P. 8:15(7) ack 19
        < P. 19:37(18) ack 15
        > P. 15:22(7) ack 37
        < P. 37:55(18) ack 22
        > P. 22:29(7) ack 55        # its ACK is the late one
        > F. 29:29(0) ack 55
        < F. 55:55(0) ack 30
        > . 30:30(0) ack 56
    """,
    attempts=5,  # the reply has 40 ms to carry the ACK: a busy machine may be slower
    lesson="A protocol that sends a request in two writes and waits in between pays 40 ms a time: Nagle's "
    "algorithm waits for the ACK, and the ACK for company. Write the request in one piece.",
    after=after,
)
