"""A client that resets before it is accepted: accept() hands out a dead connection."""

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    await lab.see("server", State.ESTABLISHED)
    client.reset()
    await lab.see_gone("server")
    accepted = await server.accept()
    lab.told(
        "accept() succeeds, and the first recv() fails", await accepted.recv_to_end(), (b"", "ECONNRESET")
    )


SCENARIO = Scenario(
    name="reset-before-accept",
    title="the server accepts a connection that is dead already",
    rfc="RFC 9293 section 3.10.7.4; accept(2)",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > R. 1:1(0) ack 1
    """,
    findings=("reset",),
    reset=("TCP_STATE",),
    lesson="accept() that succeeds proves nothing about the peer: errors of the connection come with the "
    "first use.",
)
