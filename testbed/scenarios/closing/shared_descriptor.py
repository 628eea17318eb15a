"""The FIN is sent when the *last* descriptor of a socket is closed (dup, fork)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 6
HELD = 0.3


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    copy = accepted.duplicate()
    accepted.close()
    await lab.pause(HELD, "one descriptor is closed, the other is not")
    await lab.see("server", State.ESTABLISHED)
    copy.close()
    lab.told("now the client is told", await client.recv_to_end(), (b"", "EOF"))
    client.close()
    await lab.see("server", State.TIME_WAIT)


def after(experiment: Experiment) -> Iterable[Check]:
    closes = [step.time_ns for step in experiment.steps if step.text == "server.close()"]
    fin = experiment.connection.server.fin_time
    yield check(
        "wire",
        "the first close() sends nothing, the second the FIN",
        closes[0] < closes[1] < fin,
        f"the FIN came {(fin - closes[0]) / 1e9:.3f} s after the first close()",
    )


SCENARIO = Scenario(
    name="shared-descriptor",
    title="the FIN comes with the last descriptor",
    rfc="close(2), dup(2)",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        < F. 1:1(0) ack 1
        > F. 1:1(0) ack 2
        < . 2:2(0) ack 2
    """,
    lesson="A missing FIN can be a child process that inherited the descriptor. shutdown() does not wait for "
    "it.",
    after=after,
)
