"""Closing a listener resets the connections that nobody has accepted (inet_csk_listen_stop)."""

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    await client.send(b"hello\r\n")
    await lab.see("server", State.ESTABLISHED)
    server.close()
    lab.told("recv() fails with ECONNRESET", await client.recv_to_end(), (b"", "ECONNRESET"))
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="listener-closed-with-backlog",
    title="closing the listener resets whom nobody accepted",
    rfc="RFC 9293 section 3.10.4; listen(2)",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < R. 1:1(0) ack 8
    """,
    findings=("reset",),
    reset=("TCP_STATE",),
    lesson="A graceful stop accepts what is in the queue before it closes the listener: those clients are "
    "connected, and their requests acknowledged.",
)
