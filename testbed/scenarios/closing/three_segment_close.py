"""When the server closes at once, its FIN carries the ACK of the client's (RFC 9293 section 3.6)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 2


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502)
    client = await lab.connect()
    await client.send(b"hello\r\n")
    await client.recv_exactly(18)
    client.close()
    await lab.until_server(lambda server: not server.connections)  # no look at the tables meanwhile
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    segments = experiment.connection.close_segments
    yield check("wire", "the close takes three segments", segments == 3, f"it took {segments}")


SCENARIO = Scenario(
    name="three-segment-close",
    title="FIN, FIN+ACK, ACK: the server closes at once",
    rfc="RFC 9293 section 3.6",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > F. 8:8(0) ack 19
        < F. 19:19(0) ack 9
        > . 9:9(0) ack 20
    """,
    lesson="Three segments or four is timing, not quality: nothing was left out, the ACK travels with the "
    "FIN.",
    after=after,
    attempts=5,  # the ACK waits 40 ms for the server's close: a busy machine may be slower
)
