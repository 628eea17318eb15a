"""A window has 16 bits: more than 64 KiB need both ends' word in their SYNs (RFC 7323 section 2.2).

Two clients send more than the server's buffer holds, and its program is late to read.  The first
server's kernel scales its windows.  The second's leaves the option out of its SYN-ACK; then the client's
kernel, which offered it, must not scale either, and 65535 bytes are all that can be announced, although
the buffer has room for three times as much.
"""

import asyncio
from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ..scenario import Scenario

ORDER = 5.5
BODY = bytes(range(256)) * 2000
ROOM = 200_000
"""Bytes of the server's receive buffer: much more than 64 KiB, and less than the body."""
UNSCALED = 65_535


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    server.receive_buffer(ROOM)
    for scaling in (1, 0):
        lab.set_sysctl("tcp_window_scaling", scaling)
        client = await lab.connect()
        accepted = await server.accept()
        sending = asyncio.create_task(client.send(BODY))
        await lab.see_reading("client", "window-closed", client=client)
        lab.told("all of it is read", await accepted.recv_exactly(len(BODY)), BODY)
        lab.told("send() took all of it", await sending, "sent")
        client.close()
        await accepted.recv_to_end()
        accepted.close()
        await lab.see_gone("server", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    for connection, scales in zip(experiment.connections, (True, False), strict=False):
        offered = connection.client.scale >= 0, connection.server.scale >= 0
        yield check(
            "wire",
            f"the SYN carries a window scale, the SYN-ACK {'too' if scales else 'none'}",
            offered == (True, scales),
            f"of SYN and SYN-ACK it was carried by {offered}",
        )
        largest = max(e.window for e in connection.exchanges or () if not e.from_client)
        yield check(
            "wire",
            f"the server announces {'more than' if scales else 'never more than'} {UNSCALED} bytes",
            (largest > UNSCALED) is scales,
            f"the largest window was {largest} bytes",
        )


SCENARIO = Scenario(
    name="window-scale",
    title="a window of more than 64 KiB needs the scale option in both SYNs",
    rfc="RFC 7323 sections 2.2 and 2.3",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > . 1:512001(512000) ack 1
        > F. 512001:512001(0) ack 1
        < F. 1:1(0) ack 512002
        > . 512002:512002(0) ack 2
    """,
    connections=2,
    hosts=True,
    sysctls={"tcp_early_retrans": 0},  # no probes of the tail (RFC 8985): a late ACK draws one within 10 ms
    lesson="64 KiB a round trip are 5 Mbit/s at 100 ms, whatever the line can do. A middlebox that strips "
    "the option from a SYN does that to everyone behind it, and nobody is told.",
    after=after,
)
