"""The kernel opens connections, not accept(): a server that never calls it is connected to all the same."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 2


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="accept-never")
    client = lab.client()
    lab.told("connect() succeeds although nobody accepts", await client.connect(), "connected")
    await lab.see("client", State.ESTABLISHED)
    await lab.see("server", State.ESTABLISHED)
    lab.told("send() succeeds: the kernel takes the data", await client.send(b"hello\r\n"), "sent")
    await lab.pause(0.2, "for the kernel's ACK of data that no application has asked for")


def after(experiment: Experiment) -> Iterable[Check]:
    codes = [f.code for f in experiment.findings if f.side == "server"]
    yield check("kernel", "nobody holds the server's socket", "not-accepted" in codes, f"found: {codes}")


SCENARIO = Scenario(
    name="handshake-without-accept",
    title="the kernel completes the handshake, accept() only collects it",
    rfc="RFC 9293 section 3.5; listen(2)",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < . 1:1(0) ack 8
    """,
    lesson="The handshake and even the acknowledgment of data are the kernel's work. A client that is "
    "connected, and whose data is acknowledged, knows nothing about the application.",
    after=after,
)
