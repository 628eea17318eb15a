"""Each direction ends on its own, so an unhurried close takes four segments (RFC 9293 section 3.6)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 1


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="slow", delay=0.3)
    client = await lab.connect()
    await client.send(b"hello\r\n")
    await client.recv_exactly(18)
    client.close()
    await lab.see("server", State.CLOSE_WAIT)
    await lab.see("client", State.FIN_WAIT_2)
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    yield check(
        "wire",
        "the close takes four segments",
        connection.close_segments == 4,
        f"{connection.close_segments}",
    )
    for end, path in (
        (connection.client, ["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT"]),
        (connection.server, ["CLOSE_WAIT", "LAST_ACK", "CLOSED"]),
    ):
        walked = [str(t.state) for t in end.transitions][-3:]
        yield check("wire", f"the {end.side} walks {', '.join(path)}", walked == path, f"it walked {walked}")


SCENARIO = Scenario(
    name="four-way-close",
    title="FIN, ACK, FIN, ACK: the server closes a moment later",
    rfc="RFC 9293 section 3.6, figure 12",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < . 1:1(0) ack 8
        < P. 1:19(18) ack 8
        > . 8:8(0) ack 19
        > F. 8:8(0) ack 19
        < . 19:19(0) ack 9
        < F. 19:19(0) ack 9
        > . 9:9(0) ack 20
    """,
    lesson="The kernel acknowledges the client's FIN by itself; only close() in the server sends the "
    "other one. What lies between them is the application's time in CLOSE_WAIT.",
    after=after,
)
