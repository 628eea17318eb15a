"""The roles swapped: who closes first keeps TIME_WAIT, here the server."""

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 3


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=6378, ending="server-first")
    client = await lab.connect()
    await client.send(b"hello\r\n")
    data, told = await client.recv_to_end()
    lab.told("18 bytes, then EOF", (len(data), told), (18, "EOF"))
    await lab.see("client", State.CLOSE_WAIT)
    client.close()
    await lab.see("server", State.TIME_WAIT)
    await lab.see_gone("client")


SCENARIO = Scenario(
    name="server-closes-first",
    title="the server closes first and keeps TIME_WAIT",
    rfc="RFC 9293 sections 3.6 and 3.6.1",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        < F. 19:19(0) ack 8
        > F. 8:8(0) ack 20
        < . 20:20(0) ack 9
    """,
    lesson="TIME_WAIT is on the side that closed first. On a server it keeps the address busy: bind() needs "
    "SO_REUSEADDR.",
)
