"""One remote call: 104 bytes out, 254 back, the sizes of the experiment on port 2333."""

from ...lab import Lab
from ...servers.rpc import query_call
from ..scenario import Scenario

ORDER = 2


async def play(lab: Lab) -> None:
    await lab.serve("rpc", port=2333)
    client = await lab.connect()
    await client.send(query_call())
    reply = await client.recv_exactly(254)
    lab.told("the frame's length prefix is the rest of the frame", int.from_bytes(reply[:4], "big"), 250)
    client.close()
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="rpc-call",
    title="104 bytes out, 254 back",
    rfc="RFC 9293 section 3.4; JSON-RPC 2.0",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:105(104) ack 1
        < P. 1:255(254) ack 105
        > F. 105:105(0) ack 255
        < F. 255:255(0) ack 106
        > . 106:106(0) ack 256
    """,
    lesson="What the missing-fin experiment should look like: the server answers the client's FIN with its "
    "own.",
)
