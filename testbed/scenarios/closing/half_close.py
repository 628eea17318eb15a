"""A FIN ends one direction: the other still carries data (RFC 9293 section 3.6)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="half-close-aware")
    client = await lab.connect()
    await client.send(b"hello\r\n")
    first = await client.recv_exactly(9)
    client.half_close()
    rest, told = await client.recv_to_end()
    lab.told("the rest of the reply comes after our FIN, then EOF", (len(first + rest), told), (18, "EOF"))
    client.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    exchanges = experiment.connection.exchanges or []
    fin = experiment.connection.client.fin_frame
    late = sum(e.segment.length for e in exchanges if not e.from_client and e.segment.frame > fin)
    yield check("wire", "9 bytes came after the client's FIN", late == 9, f"{late} bytes came after it")


SCENARIO = Scenario(
    name="half-close",
    title="after the client's FIN the server still sends",
    rfc="RFC 9293 section 3.6",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:10(9) ack 8
        > F. 8:8(0) ack 10
        < P. 10:19(9) ack 9
        < F. 19:19(0) ack 9
        > . 9:9(0) ack 20
    """,
    lesson="shutdown(SHUT_WR) says 'I have nothing more to send', not 'I am gone'; the client goes on "
    "reading in FIN_WAIT_2.",
    after=after,
)
