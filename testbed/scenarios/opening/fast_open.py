"""TCP Fast Open: data in the SYN, read by the server before the handshake is over (RFC 7413).

The first connection asks for a cookie, which proves the client's address to the server ever after.  The
next one carries it, and data, in its SYN: the server's program reads that and answers in SYN_RECEIVED.  The
link keeps the third message back, so that this state stands still.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 1.5
BOTH_SIDES_EVERY_LISTENER = 0x403
"""Of tcp_fastopen (ip-sysctl.rst)."""
REQUEST, REPLY = b"hello\r\n", b"so soon\r\n"


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    first = lab.client()
    lab.told("the first one has no cookie", await first.connect_with(REQUEST), "connected")
    accepted = await server.accept()
    await first.send(REQUEST)
    await accepted.recv_exactly(len(REQUEST))
    first.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server", client=first)

    await lab.link.hold("> .")
    second = lab.client()
    lab.told("the second one sends its request in the SYN", await second.connect_with(REQUEST), "connected")
    accepted = await server.accept()
    lab.told("the server reads what came with the SYN", await accepted.recv_exactly(len(REQUEST)), REQUEST)
    await accepted.send(REPLY)
    await lab.see("server", State.SYN_RECEIVED, client=second)
    lab.told("the client reads the answer", await second.recv_exactly(len(REPLY)), REPLY)
    await lab.link.forget()
    await lab.link.release()
    await lab.see("server", State.ESTABLISHED, client=second)
    second.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server", client=second)


def after(experiment: Experiment) -> Iterable[Check]:
    carried = [(connection.exchanges or [])[0].segment.length for connection in experiment.connections]
    yield check("wire", "the second SYN carries the data", carried == [0, len(REQUEST)], f"bytes: {carried}")


SCENARIO = Scenario(
    name="fast-open",
    title="data in the SYN: the server answers before the handshake is over",
    rfc="RFC 7413",
    play=play,
    transcript=(
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        > F. 8:8(0) ack 1
        < F. 1:1(0) ack 9
        > . 9:9(0) ack 2
        """,
        """
        > S 0:7(7)
        < S. 0:0(0) ack 8
        < P. 1:10(9) ack 8
        > . 8:8(0) ack 10
        > F. 8:8(0) ack 10
        < F. 10:10(0) ack 9
        > . 9:9(0) ack 11
        """,
    ),
    connections=2,
    hosts=True,
    link=(),
    capture_at="server",
    sysctls={"tcp_fastopen": BOTH_SIDES_EVERY_LISTENER},
    lesson="One round trip is saved, at a price: a SYN that is sent twice may be read twice. Only requests "
    "that may be repeated should travel so.",
    after=after,
)
