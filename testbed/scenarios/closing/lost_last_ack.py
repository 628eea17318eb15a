"""The last ACK is lost: LAST_ACK repeats its FIN, and TIME_WAIT answers again; that is what it waits for."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 9


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see("server", State.LAST_ACK)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    sent = connection.server.fins_sent
    yield check("wire", "the server sends its FIN again", sent >= 2, f"it sent {sent}")
    fins = [e.segment.frame for e in connection.exchanges or () if not e.from_client and e.segment.flags & 1]
    acks = [
        e.segment.frame for e in connection.exchanges or () if e.from_client and e.segment.frame > fins[-1]
    ]
    yield check(
        "wire", "the client's TIME_WAIT answers again", bool(acks), f"FINs {fins}, ACKs after them {acks}"
    )


SCENARIO = Scenario(
    name="lost-last-ack",
    title="the last ACK is lost: TIME_WAIT answers the repeated FIN",
    rfc="RFC 9293 section 3.6.1",
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
    link=("drop > . 2:2(0) ack 2 #1",),
    capture_at="server",
    lesson="Nobody acknowledges an ACK, so the last one may be lost: whoever sent it must stay to "
    "send it again.",
    after=after,
)
