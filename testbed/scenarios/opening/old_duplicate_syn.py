"""Why two messages are not enough: a SYN of a dead connection comes late (RFC 9293 section 3.5, figure 9).

The server cannot know that it is old, and answers.  The client can: the answer acknowledges a number
that it never used this time, so it refuses, and the server forgets.  The link is the slow path: it
holds a SYN until its sender has given up and tries again from the same port.
"""

import asyncio
from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 7
PORT, CLIENT_PORT = 9502, 29503


async def play(lab: Lab) -> None:
    server = lab.listen(PORT)
    await lab.link.hold("> S", "< S. #1")
    dead = lab.client(port=CLIENT_PORT)
    dying = asyncio.create_task(dead.connect())
    await lab.link.until_held("> S")
    dying.cancel()
    await asyncio.wait([dying])
    dead.close()
    client = lab.client(port=CLIENT_PORT)
    connecting = asyncio.create_task(client.connect())
    old, new = await lab.link.until_held("> S", count=2)
    await lab.link.release_only(old)
    await lab.link.until_held("< S.")
    await lab.see("server", State.SYN_RECEIVED, client=client)
    await lab.see("client", State.SYN_SENT, client=client)
    await lab.link.release("< S.")
    await lab.see_gone("server", client=client)
    lab.told("the listener has nothing to accept", server.waiting, 0)
    await lab.link.forget()
    await lab.link.release_only(new)
    lab.told("the client is connected by its own SYN", await connecting, "connected")
    accepted = await server.accept()
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    old, new = (connection.exchanges or [] for connection in experiment.connections)
    yield check(
        "wire",
        "the RST has the number that the server's answer acknowledged",
        old[-1].segment.seq == old[1].segment.ack,
        f"RST {old[-1].segment.seq}, SYN-ACK ack {old[1].segment.ack}",
    )
    yield check(
        "wire",
        "the new SYN has another number than the old one",
        new[0].segment.seq != old[0].segment.seq,
        f"both have {new[0].segment.seq}",
    )


SCENARIO = Scenario(
    name="old-duplicate-syn",
    title="a late SYN of a dead connection is answered, and refused: why there are three messages",
    rfc="RFC 9293 section 3.5, figure 9",
    play=play,
    transcript=(
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > R 1:1(0)
        """,
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
        """,
    ),
    connections=2,
    hosts=True,
    link=(),
    capture_at="server",
    apart="the old SYN was sent by a socket that is gone when it arrives",
    lesson="The third message is the client's word that the SYN was its own and is not an echo of the past.",
    after=after,
)
