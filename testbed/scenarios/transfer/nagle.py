"""Two small writes and then a wait: Nagle's algorithm meets the delayed ACK (RFC 9293, 3.7.4 and 3.8.6.3).

The second small write waits until the first is acknowledged.  The server's kernel delays that ACK,
hoping for a reply to carry it.  The server's program waits for the second write before it replies.  So
all wait, for 40 ms, until the server's kernel gives in.  The other client has TCP_NODELAY set.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.connection import Connection
from ..scenario import Scenario

ORDER = 7.5
HEAD, REST, REPLY = b"POST ", b"/hello\r\n", b"ok\r\n"
EXCHANGES = 3
"""Enough for the server's kernel to expect a reply of its program (see delayed-ack)."""


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    for hurried in (False, True):
        client = await lab.connect()
        accepted = await server.accept()
        if hurried:
            client.no_delay()
        for _ in range(EXCHANGES):
            await client.send(HEAD + REST)
            await accepted.recv_exactly(len(HEAD + REST))
            await accepted.send(REPLY)
            await client.recv_exactly(len(REPLY))
        lab.told("the first small write is sent", await client.send(HEAD), "sent")
        lab.told("and the second", await client.send(REST), "sent")
        lab.told("the server reads both", await accepted.recv_exactly(len(HEAD + REST)), HEAD + REST)
        await accepted.send(REPLY)
        lab.told("the client has its reply", await client.recv_exactly(len(REPLY)), REPLY)
        client.close()
        await accepted.recv_to_end()
        accepted.close()
        await lab.see_gone("server", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    for connection, waits in zip(experiment.connections, (True, False), strict=False):
        held = _acknowledged_between(connection)
        yield check(
            "wire",
            "the second write is on the wire only after the first is acknowledged"
            if waits
            else "with TCP_NODELAY it is sent though the first is not acknowledged",
            held is waits,
            f"the ACK came {'before' if held else 'after'} it",
        )


def _acknowledged_between(connection: Connection) -> bool:
    """Whether the first of the last request's two segments was acknowledged before the second was sent."""
    exchanges = connection.exchanges or []
    first, second = [e for e in exchanges if e.from_client and e.segment.length][-2:]
    end = (first.seq or 0) + first.segment.length
    return any(
        not e.from_client and e.ack == end and first.segment.frame < e.segment.frame < second.segment.frame
        for e in exchanges
    )


SCENARIO = Scenario(
    name="nagle",
    title="write, write, read: the second write waits for an ACK that waits for a reply",
    rfc="RFC 9293 section 3.7.4; RFC 896; RFC 1122 section 4.2.3.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:14(13) ack 1
        < P. 1:5(4) ack 14
        > P. 14:27(13) ack 5
        < P. 5:9(4) ack 27
        > P. 27:40(13) ack 9
        < P. 9:13(4) ack 40
        > P. 40:45(5) ack 13        # the ACK of these five bytes is what the next eight wait for
        > P. 45:53(8) ack 13
        < P. 13:17(4) ack 53
        > F. 53:53(0) ack 17
        < F. 17:17(0) ack 54
        > . 54:54(0) ack 18
    """,
    connections=2,
    attempts=5,  # an ACK between the two hurried writes is the machine's: 40 ms passed between them
    lesson="Write a request in one piece (writev, or a buffer), or set TCP_NODELAY: 40 ms in each request "
    "are neither the network's nor the server's.",
    after=after,
)
