"""close() before the SYN is answered sends nothing; the late SYN-ACK is refused (RFC 9293 section 3.10.4).

The server is left with a handshake that nobody finishes.  The client's RST puts an end to it: back to
LISTEN, as if nothing had been.
"""

import asyncio

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 3.7


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    await lab.link.hold("< S. #1")
    client = lab.client()
    connecting = asyncio.create_task(client.connect())
    await lab.link.until_held("< S.")
    await lab.see("client", State.SYN_SENT)
    await lab.see("server", State.SYN_RECEIVED)
    connecting.cancel()
    await asyncio.wait([connecting])
    client.close()
    await lab.see_gone("client")
    await lab.see("server", State.SYN_RECEIVED)
    await lab.link.release()
    await lab.see_gone("server")
    lab.told("the listener has nothing to accept", server.waiting, 0)
    server.close()


SCENARIO = Scenario(
    name="connect-abandoned",
    title="close() before the SYN is answered: the late SYN-ACK draws an RST",
    rfc="RFC 9293 sections 3.10.4 and 3.10.7.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > R 1:1(0)
    """,
    exact=True,
    findings=("half-open",),
    reset=("NO_SOCKET",),
    hosts=True,
    link=(),
    lesson="A client that gives up too soon leaves nothing behind: the server's accept() never hears of it.",
)
