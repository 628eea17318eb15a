"""The third segment is lost: one end is connected, the other is not, and data heals it (RFC 9293, 3.5).

The client is in ESTABLISHED as soon as it has the SYN-ACK.  Its server is in SYN_RECEIVED until an ACK
comes, and any segment carries one: the first data opens the connection.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 6
THIRD = "> . 1:1(0) ack 1"


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    await lab.link.drop(f"{THIRD} #1")
    client = lab.client()
    lab.told("connect() succeeds", await client.connect(), "connected")
    await lab.see("client", State.ESTABLISHED)
    await lab.see("server", State.SYN_RECEIVED)
    lab.told("there is nobody to accept", server.waiting, 0)
    await client.send(b"hello\r\n")
    await lab.see("server", State.ESTABLISHED)
    accepted = await server.accept()
    lab.told("the data that opened it is there", await accepted.recv_exactly(7), b"hello\r\n")
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    arrived = [e.segment for e in experiment.connection.exchanges or () if e.from_client][1:]
    yield check(
        "wire",
        "the first segment to arrive after the SYN is the data",
        bool(arrived) and arrived[0].length > 0,
        f"frame {arrived[0].frame} is an ACK alone" if arrived else "none arrived",
    )


SCENARIO = Scenario(
    name="lost-third-ack",
    title="the third segment is lost: the client is connected, the server is not, until data comes",
    rfc="RFC 9293 sections 3.5 and 3.10.7.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1            # lost
        > P. 1:8(7) ack 1
        > F. 8:8(0) ack 1
        < F. 1:1(0) ack 9
        > . 9:9(0) ack 2
    """,
    hosts=True,
    link=(),
    capture_at="server",
    lesson="connect() says that the peer's kernel answered, not that the peer is connected. Where the server "
    "speaks first, both wait for a second: until its SYN-ACK is sent again.",
    after=after,
)
