"""SO_LINGER with a time: close() waits for the ACK of the FIN, at most so long, and then lets go without RST.

It is no deadline after which the connection is aborted: only the program stops waiting.  Nor does close()
say which of the two it was; it returns 0 in both cases.  And it blocks even where the socket does not, so
that in an event loop everything else waits too: here it is called in a thread.
"""

import time
from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 7.5
PATIENT, BRIEF = 10, 1
"""Seconds."""
RTO_MIN = 5.0
"""Seconds: what is held is not sent again meanwhile."""


async def play(lab: Lab) -> None:
    lab.set_rto_min(RTO_MIN)
    server = lab.listen(9502)
    for seconds in (PATIENT, BRIEF):
        client = await lab.connect()
        accepted = await server.accept()
        if seconds == BRIEF:
            await lab.link.hold("> P.", "> F.")
        await client.send(b"goodbye\r\n")
        began = time.monotonic()
        await client.close_lingering(seconds)
        waited = time.monotonic() - began
        if seconds == PATIENT:
            lab.told(f"close() returns before {PATIENT} s: the FIN is acknowledged", waited < PATIENT, True)
        else:
            lab.told(f"close() returns after {BRIEF} s, and nothing is acknowledged", waited >= BRIEF, True)
            await lab.see("client", State.FIN_WAIT_1, client=client)
            await lab.see("server", State.ESTABLISHED, client=client)
            await lab.link.release()
        lab.told("all arrives", await accepted.recv_to_end(), (b"goodbye\r\n", "EOF"))
        accepted.close()
        await lab.see_gone("server", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    resets = [connection.reset_by for connection in experiment.connections if connection.reset_by]
    yield check("wire", "neither is reset", not resets, f"RSTs by {resets}")


SCENARIO = Scenario(
    name="linger-seconds",
    title="SO_LINGER {1, n}: close() waits for the ACK of the FIN, n seconds at most, and resets nothing",
    rfc="socket(7), SO_LINGER; RFC 9293 section 3.6",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:10(9) ack 1
        > F. 10:10(0) ack 1
        < F. 1:1(0) ack 11
        > . 11:11(0) ack 2
    """,
    connections=2,
    hosts=True,
    link=(),
    capture_at="server",
    sysctls={"tcp_early_retrans": 0},
    seconds=BRIEF + 1.0,
    lesson="close() that has returned does not mean that the other side has anything. Who must know asks the "
    "other side: half-close, and read to the end.",
    after=after,
)
