"""A server that takes the client's FIN for the end of both directions cuts off its own reply.

The client has said that it will send no more, and waits for the answer.  The server may close
(RFC 1122 section 4.2.2.13 allows it), but a client that relies on half-close, such as `nc -N` or
`ssh host command < file`, gets nothing, and no error either.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4.5


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="cut-on-eof")
    client = await lab.connect()
    await client.send(b"hello\r\n")
    client.half_close()
    lab.told("no reply, and no error: a clean EOF", await client.recv_to_end(), (b"", "EOF"))
    client.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    server = experiment.connection.server
    yield check(
        "wire", "the server sends no byte", not server.payload_bytes, f"it sent {server.payload_bytes}"
    )
    yield check(
        "wire",
        "an orderly end by every segment: the loss is not to be seen there",
        experiment.connection.reset_by is None and server.fin_seq is not None,
        "it was reset" if experiment.connection.reset_by else "the server sent no FIN",
    )


SCENARIO = Scenario(
    name="half-close-refused",
    title="the server answers the client's FIN with its own, and its reply is never sent",
    rfc="RFC 9293 section 3.6; RFC 1122 section 4.2.2.13",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        > F. 8:8(0) ack 1
        < F. 1:1(0) ack 9
        > . 9:9(0) ack 2
    """,
    lesson="To half-close is a promise that both must know of. Whether a server keeps it cannot be told from "
    "how it ends connections, only from the reply.",
    attempts=3,  # the server thinks for 0.1 s, in which the FIN must come
    after=after,
)
