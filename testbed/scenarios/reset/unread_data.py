"""close() while received data lies unread: RST tells of the loss (RFC 1122 section 4.2.2.13)."""

from ...lab import Lab
from ..scenario import Scenario

ORDER = 2


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="unread")
    client = await lab.connect()
    await client.send(b"hello\r\n")
    await client.recv_exactly(18)
    await client.send(b"never read\r\n")
    _, told = await client.recv_to_end()
    lab.told("recv() fails with ECONNRESET", told, "ECONNRESET")
    client.close()
    await lab.see_gone("client")
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="unread-data",
    title="close() on unread data sends RST",
    rfc="RFC 1122 section 4.2.2.13; RFC 2525 section 2.17",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > P. 8:20(12) ack 19
        < R. 19:19(0) ack 20
    """,
    findings=("reset",),
    reset=("TCP_ABORT_ON_CLOSE",),
    lesson="An RST from a healthy server often means that it closed without reading: drain first, close on "
    "EOF.",
)
