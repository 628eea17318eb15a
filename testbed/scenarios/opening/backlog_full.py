"""A full accept queue: what the kernel does with the third segment of one handshake, and with a new SYN.

The link holds the third segment of the first client.  That client is in ESTABLISHED, the server still in
SYN_RECEIVED.  Meanwhile others fill the queue: a backlog of N takes N + 1.  When the held segment comes
at last there is no room, and it is dropped as if it had been lost.  So is the SYN of the next client.
Both sides repeat themselves, and after accept() there is room.
"""

import asyncio

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4
BACKLOG = 2
THIRD = "> . 1:1(0) ack 1"


async def play(lab: Lab) -> None:
    server = lab.listen(9502, backlog=BACKLOG)
    await lab.link.hold(f"{THIRD} #1")
    late = await lab.connect()
    await lab.link.until_held(THIRD)
    await lab.see("client", State.ESTABLISHED)
    await lab.see("server", State.SYN_RECEIVED)

    queued = [await lab.connect() for _ in range(BACKLOG + 1)]
    for client in queued:
        await lab.see("server", State.ESTABLISHED, client=client)
    lab.told(f"a backlog of {BACKLOG} takes {BACKLOG + 1} connections", server.waiting, BACKLOG + 1)
    before = lab.counters()
    await lab.link.release(THIRD)
    await lab.see_counted(before, {"ListenOverflows": 1, "ListenDrops": 1})
    await lab.see("client", State.ESTABLISHED)
    await lab.see("server", State.SYN_RECEIVED)

    refused = lab.client()
    connecting = asyncio.create_task(refused.connect())
    await lab.see_counted(before, {"ListenOverflows": 2, "ListenDrops": 2})
    await lab.see("client", State.SYN_SENT, client=refused)

    accepted = [await server.accept() for _ in queued]
    lab.told("after accept() there is room, and the repeated SYN gets in", await connecting, "connected")
    accepted += [await server.accept() for _ in (late, refused)]
    for client in (late, *queued, refused):
        await lab.see("server", State.ESTABLISHED, client=client)
        client.close()
    for connection in accepted:
        lab.told("each is told of its client's end", await connection.recv_to_end(), (b"", "EOF"))
        connection.close()
    for client in (late, *queued, refused):
        await lab.see_gone("server", client=client)


SCENARIO = Scenario(
    name="backlog-full",
    title="a full accept queue drops the third segment, and the next SYN; both come again",
    rfc="listen(2); tcp(7), tcp_abort_on_overflow; RFC 9293 section 3.9.1.1",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
    """,
    connections=BACKLOG + 3,
    hosts=True,
    link=(),
    seconds=1.2,
    lesson="To one client the server seems connected and silent, to the next one unreachable, though it "
    "runs: its application does not accept. ListenOverflows counts both, and no log tells of either.",
)
