"""Someone on the outside guesses: a forged RST or SYN that does not fit exactly ends nothing (RFC 5961).

An RST in the window but not at the very next number draws a challenge ACK, and so does any SYN: a peer
that really lost the connection would answer that with an RST that fits.  The link is the attacker.
"""

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 8
SUPPRESSED = 0.6
"""Seconds; Linux sends no more than one challenge ACK in 500 ms (tcp_invalid_ratelimit)."""


async def play(lab: Lab) -> None:
    await lab.link.watch()
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    await client.send(b"hello\r\n")
    await accepted.recv_exactly(7)

    await lab.link.inject("> R 4000000000:4000000000(0)")
    await lab.see("server", State.ESTABLISHED)
    await lab.link.inject("> R 100:100(0)")
    await lab.link.until_passed("< .", count=2)
    await lab.see("server", State.ESTABLISHED)
    await lab.pause(SUPPRESSED, "one challenge in 500 ms")
    await lab.link.inject("> S 0:0(0)")
    await lab.link.until_passed("< .", count=3)
    await lab.see("server", State.ESTABLISHED)

    await client.send(b"still here\r\n")
    lab.told("the connection goes on", await accepted.recv_exactly(12), b"still here\r\n")
    await lab.link.inject("> R 20:20(0)")
    lab.told("the exact number ends it", await accepted.recv_to_end(), (b"", "ECONNRESET"))
    await lab.see_gone("server")
    await lab.see("client", State.ESTABLISHED)


SCENARIO = Scenario(
    name="challenge-ack",
    title="a forged RST or SYN draws a challenge; only the exact number kills",
    rfc="RFC 5961 sections 3 and 4; RFC 9293 section 3.10.7.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < . 1:1(0) ack 8
        > R 4000000000:4000000000(0)
        > R 100:100(0)
        < . 1:1(0) ack 8
        > S 0:0(0)
        < . 1:1(0) ack 8
        > P. 8:20(12) ack 1
        < . 1:1(0) ack 20
        > R 20:20(0)
    """,
    exact=True,
    findings=("reset", "reset-ignored"),
    hosts=True,
    link=(),
    capture_at="server",
    apart="four of its segments are forged: the client's kernel sent none of them",
    seconds=SUPPRESSED,
    lesson="Blind resets must hit one number in four thousand million, not any in the window. The client "
    "still believes in the connection: only its next segment will tell it.",
)
