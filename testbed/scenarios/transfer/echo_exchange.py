"""Seven bytes out, eighteen back, each acknowledged: the experiment on port 9502."""

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 1


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502)
    client = await lab.connect()
    await client.send(b"hello\r\n")
    reply = await client.recv_exactly(18)
    lab.told("the reply ends with what was sent", reply[-7:], b"hello\r\n")
    await lab.see("client", State.ESTABLISHED)
    client.close()
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="echo-exchange",
    title="7 bytes out, 18 back, each acknowledged",
    rfc="RFC 9293 section 3.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > F. 8:8(0) ack 19
        < F. 19:19(0) ack 9
        > . 9:9(0) ack 20
    """,
    lesson="Sequence numbers count bytes: the reply acknowledges 8 because bytes 1 to 7 came.",
)
