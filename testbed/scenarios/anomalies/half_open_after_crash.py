"""The peer's host crashed and restarted: it knows nothing of the connection (RFC 9293 section 3.5.1)."""

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    await client.send(b"hello\r\n")
    await accepted.recv_exactly(7)
    await lab.see("client", State.ESTABLISHED)
    client.vanish()
    await lab.see_gone("client")
    await lab.see("server", State.ESTABLISHED)
    await lab.see_reading("server", "peer-gone")
    lab.told(
        "the server's send() succeeds: its kernel knows no better", await accepted.send(b"hello\r\n"), "sent"
    )
    lab.told("then it is told", await accepted.recv_to_end(), (b"", "ECONNRESET"))
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="half-open-after-crash",
    title="one end has forgotten: the next segment draws RST",
    rfc="RFC 9293 section 3.5.1",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:8(7) ack 8
        > R 8:8(0)
    """,
    findings=("reset",),
    reset=("NO_SOCKET",),
    lesson="A server that only listens never notices: without keepalive a half-open connection lasts for "
    "ever.",
)
