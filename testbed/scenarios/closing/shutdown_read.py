"""shutdown(SHUT_RD) is between a program and its own kernel: nothing is sent."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 7


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    client.shutdown_read()
    lab.told("its own recv() ends", await client.recv_to_end(), (b"", "EOF"))
    await lab.pause(0.2, "for a segment that will not come")
    await lab.see("client", State.ESTABLISHED)
    await lab.see("server", State.ESTABLISHED)
    client.close()
    lab.told("only close() tells the server", await accepted.recv_to_end(), (b"", "EOF"))
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    at = {step.text: step.time_ns for step in experiment.steps}
    between = [
        e.segment.frame
        for e in experiment.connection.exchanges or ()
        if at["client.shutdown(SHUT_RD)"] < e.segment.time_ns < at["client.close()"]
    ]
    yield check("wire", "SHUT_RD sends nothing", not between, f"frames {between} came after it")


SCENARIO = Scenario(
    name="shutdown-read",
    title="SHUT_RD sends nothing",
    rfc="shutdown(2); RFC 9293 section 3.6",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
    """,
    lesson="TCP has no way to say 'I read no more'; the peer learns of it when data draws an RST.",
    after=after,
)
