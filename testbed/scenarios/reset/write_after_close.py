"""Data to a peer that has closed draws an RST; the next write fails with EPIPE (RFC 9293, 3.10.7.1)."""

from ...lab import Lab
from ..scenario import Scenario

ORDER = 3


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    await client.send(b"hello\r\n")
    await accepted.recv_exactly(7)
    accepted.close()
    lab.told("recv() tells of the server's close", await client.recv_to_end(), (b"", "EOF"))
    lab.told(
        "the next send() succeeds all the same: the kernel takes it", await client.send(b"hello\r\n"), "sent"
    )
    await lab.see_gone("client")
    lab.told("the one after fails with EPIPE", await client.send(b"hello\r\n"), "EPIPE")
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="write-after-close",
    title="data to a closed peer draws RST, then EPIPE",
    rfc="RFC 9293 section 3.10.7.1; send(2)",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < F. 1:1(0) ack 8
        > P. 8:15(7) ack 2
        < R 2:2(0)
    """,
    findings=("reset",),
    reset=("TCP_ABORT_ON_DATA", "TCP_TIMEWAIT_SOCKET"),
    lesson="An EOF says only that the peer sends no more. Whether it still reads, the first write after it "
    "finds out, and only the second one is told.",
)
