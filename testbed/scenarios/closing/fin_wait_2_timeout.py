"""Closed by its program, waiting for a FIN that does not come: Linux forgets, and says nothing to anybody.

RFC 9293 knows no timeout in FIN_WAIT_2.  Linux gives an orphan tcp_fin_timeout: then its socket is gone
without a packet, and without TIME_WAIT.  The server, still in CLOSE_WAIT, learns of it with its next
segment, which draws an RST.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 11
FIN_TIMEOUT = 2
WHEEL = 1.125
"""The timer wheel rounds up, by an eighth at worst (kernel/time/timer.c)."""


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    client.close()
    lab.told("the server reads the end, and does not close", await accepted.recv_to_end(), (b"", "EOF"))
    await lab.see("client", State.FIN_WAIT_2)
    await lab.see_reading("client", "orphan-countdown")
    await lab.see_reading("server", "not-closed")
    lab.step(f"waits for the orphan to end: tcp_fin_timeout is {FIN_TIMEOUT} s")
    await lab.see_gone("client", timeout=FIN_TIMEOUT * WHEEL + 10)
    lab.step("client's kernel has forgotten the connection")
    await lab.see("server", State.CLOSE_WAIT)
    await lab.see_reading("server", "peer-gone")
    lab.told(
        "send() succeeds: the server's kernel knows no better", await accepted.send(b"hello\r\n"), "sent"
    )
    await lab.see_gone("server")
    lab.told("then it is told", await accepted.send(b"hello\r\n"), "EPIPE")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    exchanges = connection.exchanges or []
    told = {step.text: step.time_ns for step in experiment.steps}
    forgotten = told["client's kernel has forgotten the connection"]
    acked = next(e.segment for e in exchanges if e.segment.frame == connection.client.fin_acked_frame)
    lasted = (forgotten - acked.time_ns) / 1e9
    yield check(
        "kernel",
        f"FIN_WAIT_2 lasts {FIN_TIMEOUT} s, tcp_fin_timeout, from the ACK of the FIN on",
        lasted > FIN_TIMEOUT - 0.05,
        f"it lasted {lasted:.3f} s",
    )
    states = experiment.states("client")
    yield check(
        "kernel", "and no TIME_WAIT follows", "TIME_WAIT" not in states, f"it went {', '.join(states)}"
    )
    meanwhile = [
        e.segment.frame for e in exchanges if acked.frame < e.segment.frame and e.segment.time_ns < forgotten
    ]
    yield check("wire", "it ends without a packet", not meanwhile, f"frames {meanwhile} were sent meanwhile")
    by = connection.reset_by
    yield check(
        "wire",
        "the server's next segment draws an RST from the client's kernel",
        by is connection.client,
        f"an RST came from {by.side if by else 'nobody'}",
    )


SCENARIO = Scenario(
    name="fin-wait-2-timeout",
    title="an orphan in FIN_WAIT_2 ends without a packet; what comes later draws RST",
    rfc="RFC 9293 sections 3.6 and 3.10.7.1; tcp(7), tcp_fin_timeout",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2
        < P. 1:8(7) ack 2
        > R 2:2(0)
    """,
    findings=("reset",),
    reset=("NO_SOCKET",),
    seconds=FIN_TIMEOUT * WHEEL,
    sysctls={"tcp_fin_timeout": FIN_TIMEOUT},
    lesson="One end's table is clean and the other's is not: half of a leak is gone after a minute by "
    "default. Look for it at the end that received the FIN.",
    after=after,
)
