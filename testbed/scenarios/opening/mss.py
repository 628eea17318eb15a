"""The largest segment is the MTU less 40 bytes, and each side says its own (RFC 9293 section 3.7.1).

What is sent is no larger than what the *other* side announced.  On a wire of Ethernet's 1500 bytes
both say 1460; an end whose MTU is 1400 says 1360, and the other one keeps to it.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.connection import Connection
from ..scenario import Scenario

ORDER = 9
BODY = b"x" * 6000
HEADERS = 20 + 20
TIMESTAMPS = 12


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    for mtu in (1500, 1400):
        lab.set_mtu(mtu, "server")
        client = await lab.connect()
        accepted = await server.accept()
        await client.send(BODY)
        lab.told(f"with an MTU of {mtu}, all of it arrives", len(await accepted.recv_exactly(6000)), 6000)
        client.close()
        await accepted.recv_to_end()
        accepted.close()
        await lab.see_gone("server", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    for connection, announced in zip(experiment.connections, ((1460, 1460), (1460, 1360)), strict=True):
        said = connection.client.mss, connection.server.mss
        yield check("wire", f"client and server announce {announced}", said == announced, f"they said {said}")
        largest = _largest(connection)
        # each side subtracts the room its own options take from what the other announced
        limit = min(announced) - TIMESTAMPS
        yield check(
            "wire",
            f"the largest segment has {limit} bytes: the smaller MSS, less {TIMESTAMPS} for timestamps",
            largest == limit,
            f"it has {largest}",
        )


def _largest(connection: Connection) -> int:
    return max(exchange.segment.length for exchange in connection.exchanges or ())


SCENARIO = Scenario(
    name="mss",
    title="each end announces its MTU less 40; a smaller one at the peer makes segments smaller",
    rfc="RFC 9293 section 3.7.1; RFC 6691",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > . 1:6001(6000) ack 1
        > F. 6001:6001(0) ack 1
        < F. 1:1(0) ack 6002
        > . 6002:6002(0) ack 2
    """,
    connections=2,
    hosts=True,
    lesson="A capture on loopback shows 65495 and says nothing of your network. An MTU that is smaller "
    "somewhere in between is announced by nobody: that is what path MTU discovery is for.",
    after=after,
)
