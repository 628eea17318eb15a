"""SO_LINGER {1, 0}: close() sends RST instead of FIN (RFC 9293 section 3.9.1, ABORT)."""

from ...lab import Lab
from ..scenario import Scenario

ORDER = 1


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="linger-zero")
    client = await lab.connect()
    await client.send(b"hello\r\n")
    await client.recv_exactly(18)
    client.half_close()
    _, told = await client.recv_to_end()
    lab.told("recv() fails with ECONNRESET", told, "ECONNRESET")
    client.close()
    await lab.see_gone("client")
    await lab.see_gone("server")


SCENARIO = Scenario(
    name="linger-zero",
    title="SO_LINGER {1, 0} sends RST instead of FIN",
    rfc="RFC 9293 section 3.9.1 (ABORT); socket(7)",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > F. 8:8(0) ack 19
        < R. 19:19(0) ack 9
    """,
    findings=("reset",),
    reset=("TCP_STATE",),
    lesson="The server avoids TIME_WAIT and pays with its peers' ECONNRESET; what was still under way is "
    "lost.",
)
