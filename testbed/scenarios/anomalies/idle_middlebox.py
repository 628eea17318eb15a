"""A stateful filter forgets an idle connection: the next request hangs, or is reset (RFC 5382 section 5).

Two clients are idle for longer than the box on their path remembers.  One box then drops what it does
not know; the other answers for the server, with an RST.  The server takes no part in either, and goes
on holding both connections.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 7
IDLE = 1.5
USER_TIMEOUT = 1500


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    silent = await lab.connect()
    rude = await lab.connect()
    for client in (silent, rude):
        accepted = await server.accept()
        await client.send(b"hello\r\n")
        await accepted.recv_exactly(7)
    await lab.pause(IDLE, "longer than the box remembers")
    await lab.link.drop("> (+)")
    silent.user_timeout(USER_TIMEOUT)
    lab.told("send() succeeds", await silent.send(b"again\r\n"), "sent")
    lab.told("and no answer ever comes", await silent.recv_to_end(), (b"", "ETIMEDOUT"))
    await lab.link.rule("inject < R. 1:1(0) ack 15 after > P.")
    lab.told("send() succeeds here too", await rude.send(b"again\r\n"), "sent")
    lab.told("and is told at once", await rude.recv_to_end(), (b"", "ECONNRESET"))
    for client in (silent, rude):
        await lab.see("server", State.ESTABLISHED, client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    silent, rude = experiment.connections
    yield check(
        "wire",
        "the one box says nothing, the other sends an RST in the server's name",
        silent.reset_by is None and rude.reset_by is rude.server,
        f"RSTs came from {silent.reset_by} and {rude.reset_by}",
    )


SCENARIO = Scenario(
    name="idle-middlebox",
    title="a filter forgets an idle connection: the next request hangs, or is reset",
    rfc="RFC 5382 section 5 (REQ-5); RFC 9293 section 3.8.4",
    play=play,
    transcript=(
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:15(14) ack 1
        """,
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:15(14) ack 1
        < R. 1:1(0) ack 15
        """,
    ),
    connections=2,
    hosts=True,
    link=(),
    findings=("retransmission", "unacknowledged-data"),
    apart="the RST is the box's, not the server's",
    seconds=IDLE + USER_TIMEOUT / 1000 + 1,
    lesson="Keepalive well below the shortest memory on the path (RFC 5382 asks for two hours, many boxes "
    "give minutes) keeps the connection known, and finds out early when it is not.",
    after=after,
)
