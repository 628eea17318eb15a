"""Connections never closed: CLOSE_WAIT grows with every client, and descriptors with it."""

from ...lab import Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 3
CLIENTS = 20


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="never", process=True)
    server = lab.server_process
    before = server.descriptors()
    for _ in range(CLIENTS):
        client = await lab.connect()
        await client.send(b"hello\r\n")
        await client.recv_exactly(18)
        client.close()
        await lab.see("server", State.CLOSE_WAIT, client=client)
    await lab.see("client", State.FIN_WAIT_2)
    grown = server.descriptors() - before
    lab.hold(
        check(
            "kernel",
            f"{CLIENTS} clients leave {CLIENTS} descriptors open",
            grown == CLIENTS,
            f"{grown} are open",
        )
    )


SCENARIO = Scenario(
    name="close-wait-leak",
    title=f"{CLIENTS} clients leave {CLIENTS} sockets in CLOSE_WAIT, and as many descriptors",
    rfc="RFC 9293 section 3.6",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > F. 8:8(0) ack 19
        < . 19:19(0) ack 9
    """,
    findings=("missing-fin",),
    connections=CLIENTS,
    lesson="CLOSE_WAIT has no timeout: it ends when the application closes, and not before. "
    "A number of them that only grows is a leak, and its end is EMFILE.",
)
