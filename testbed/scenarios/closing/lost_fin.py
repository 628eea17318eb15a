"""A lost FIN is sent again: a FIN takes a sequence number, so that it can be acknowledged like data."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 8


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    client.close()
    lab.told("the server is told all the same", await accepted.recv_to_end(), (b"", "EOF"))
    accepted.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    sent = experiment.connection.client.fins_sent
    yield check("wire", "the client sends its FIN again", sent >= 2, f"it sent {sent}")


SCENARIO = Scenario(
    name="lost-fin",
    title="a lost FIN is sent again",
    rfc="RFC 9293 sections 3.4 and 3.8.1",
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
    link=("drop > F. #1",),
    lesson="FIN_WAIT_1 means: my FIN is not acknowledged yet. A socket that stays there has lost its peer.",
    after=after,
)
