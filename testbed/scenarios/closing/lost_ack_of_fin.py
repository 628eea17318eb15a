"""The ACK of our FIN is lost, and the peer's FIN brings it: FIN_WAIT_1 to TIME_WAIT at once.

Linux takes the ACK first and the FIN after it, as RFC 9293 section 3.10.7.4 has it, and so passes
through FIN_WAIT_2 within the one segment: its tracepoints tell of it, its tables never show it.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 8.5
RTO_MIN = 5.0
"""Seconds: a FIN that is sent again would be acknowledged again, and this ACK is not lost."""


async def play(lab: Lab) -> None:
    lab.set_rto_min(RTO_MIN)
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    await lab.link.drop("< . 1:1(0) ack 2")
    await lab.link.hold("< F.")
    client.close()
    lab.told("the server reads the end", await accepted.recv_to_end(), (b"", "EOF"))
    await lab.see("server", State.CLOSE_WAIT)
    await lab.see("client", State.FIN_WAIT_1)
    accepted.close()
    await lab.link.until_held("< F.")
    await lab.see("server", State.LAST_ACK)
    await lab.see("client", State.FIN_WAIT_1)
    await lab.link.hold("> . 2:2(0)")
    await lab.link.release("< F.")
    await lab.link.until_held("> . 2:2(0)")
    await lab.see("client", State.TIME_WAIT)
    await lab.see("server", State.LAST_ACK)
    await lab.link.release()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    steps = [t for t in experiment.connection.client.transitions if t.state != State.ESTABLISHED][-2:]
    yield check(
        "wire",
        "one segment acknowledges the FIN and brings the other",
        [str(t.state) for t in steps] == ["FIN_WAIT_2", "TIME_WAIT"] and steps[0].frame == steps[1].frame,
        f"{[(str(t.state), t.frame) for t in steps]}",
    )


SCENARIO = Scenario(
    name="lost-ack-of-fin",
    title="the ACK of the FIN is lost, the peer's FIN brings it: straight to TIME_WAIT",
    rfc="RFC 9293 section 3.10.7.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
    """,
    hosts=True,
    link=(),
    capture_at="client",
    lesson="An ACK is cumulative: one that is lost is made good by the next segment, whatever that carries.",
    after=after,
)
