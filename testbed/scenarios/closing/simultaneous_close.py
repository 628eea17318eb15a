"""Both sides close at once and their FINs cross on the wire (RFC 9293 section 3.6, figure 13).

Each end gets a FIN while its own is not acknowledged yet: CLOSING, the state that nobody ever sees.
Here the link holds both FINs until both are under way, and then both acknowledgments.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5
FINS = "> F.", "< F."
ACKS = "> . 9:9(0)", "< . 2:2(0)"
"""Those of the FINs: each is sent from behind one's own, which took a number."""

RTO_MIN = 5.0
"""Seconds: a FIN that is sent again while the first one is held would acknowledge the other's."""


async def play(lab: Lab) -> None:
    lab.set_rto_min(RTO_MIN)
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    await client.send(b"hello\r\n")
    await accepted.recv_exactly(7)
    await lab.link.hold(*FINS, *ACKS)
    client.close()
    accepted.close()
    await lab.link.until_held(*FINS, count=2)
    await lab.see("client", State.FIN_WAIT_1)
    await lab.see("server", State.FIN_WAIT_1)
    await lab.link.release(*FINS)
    await lab.link.until_held(*ACKS, count=2)
    await lab.see("client", State.CLOSING)
    await lab.see("server", State.CLOSING)
    await lab.link.forget()
    await lab.link.release()
    await lab.see("client", State.TIME_WAIT)
    await lab.see("server", State.TIME_WAIT)


def after(experiment: Experiment) -> Iterable[Check]:
    path = ["FIN_WAIT_1", "CLOSING", "TIME_WAIT"]
    for end in (experiment.connection.client, experiment.connection.server):
        walked = [str(t.state) for t in end.transitions][-3:]
        yield check("wire", f"the {end.side} walks {', '.join(path)}", walked == path, f"it walked {walked}")
        seen = experiment.states("client" if end.is_client else "server")[-3:]
        yield check("kernel", f"and so its kernel says: {', '.join(path)}", seen == path, f"it says {seen}")


SCENARIO = Scenario(
    name="simultaneous-close",
    title="both FINs cross on the wire: CLOSING, and TIME_WAIT on both sides",
    rfc="RFC 9293 section 3.6, figure 13",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < . 1:1(0) ack 8
        > F. 8:8(0) ack 1
        < F. 1:1(0) ack 8
        > . 9:9(0) ack 2
        < . 2:2(0) ack 9
    """,
    hosts=True,
    link=(),
    lesson="A FIN that does not acknowledge one's own is no answer to it. Both sides closed first, so both "
    "keep the address pair in TIME_WAIT.",
    after=after,
)
