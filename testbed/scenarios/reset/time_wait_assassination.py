"""An old duplicate ends TIME_WAIT before its time (RFC 1337).

TIME_WAIT answers what it cannot use with its last ACK.  The peer has forgotten the connection and answers
that with an RST, which has exactly the number that is waited for: the wait is over, and the port free for a
new connection that other duplicates may still reach.  RFC 1337 would have TIME_WAIT ignore RSTs; Linux does
so only where tcp_rfc1337 is set.  The link sends the old duplicate.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ...wire.segment import ACK, PSH, RST
from ..scenario import Scenario

ORDER = 8
PROTECTED = "tcp_rfc1337"
OLD = "> P. 1:8(7) ack 1"


async def play(lab: Lab) -> None:
    await lab.link.watch()
    server = lab.listen(9502)
    for protected in (0, 1):
        lab.set_sysctl(PROTECTED, protected)
        client = await lab.connect()
        accepted = await server.accept()
        await client.send(b"hello\r\n")
        await accepted.recv_exactly(7)
        accepted.close()
        lab.told("the client reads the end", await client.recv_to_end(), (b"", "EOF"))
        client.close()
        await lab.see_gone("client", client=client)
        await lab.see("server", State.TIME_WAIT, client=client)
        await lab.link.inject(OLD)
        await lab.link.until_passed("> R", count=protected + 1)
        if protected:
            await lab.see("server", State.TIME_WAIT, client=client)
        else:
            await lab.see_gone("server", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    for connection in experiment.connections:
        last = [(e.from_client, e.segment.flags, e.seq, e.ack) for e in (connection.exchanges or [])[-3:]]
        yield check(
            "wire",
            "the old duplicate draws the last ACK again, and this an RST with the number that it asks for",
            last == [(True, PSH | ACK, 1, 1), (False, ACK, 2, 9), (True, RST, 9, 0)],
            f"the last three segments are {last}",
        )


SCENARIO = Scenario(
    name="time-wait-assassination",
    title="an old duplicate draws an RST that ends TIME_WAIT; with tcp_rfc1337 it does not",
    rfc="RFC 1337; RFC 9293 section 3.10.7.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < F. 1:1(0) ack 8
        > F. 8:8(0) ack 2
        < . 2:2(0) ack 9
        > R 9:9(0)      # and before it the old duplicate and its answer: they mean nothing new
    """,
    connections=2,
    reset=("NO_SOCKET",),
    hosts=True,
    link=(),
    capture_at="server",
    apart="the old duplicate is forged: the client's kernel did not send it a second time",
    lesson="TIME_WAIT protects the next connection on the same ports from the segments of this one, unless "
    "it is shot. An RST after both FINs is no failure: nobody was there to be told of it.",
    after=after,
)
