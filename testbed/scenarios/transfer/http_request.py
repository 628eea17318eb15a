"""GET, `Hello World!`, close: the experiment on port 4000."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 3
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost:4000\r\nConnection: close\r\n\r\n"


async def play(lab: Lab) -> None:
    await lab.serve("http", port=4000)
    client = await lab.connect()
    await client.send(REQUEST)
    reply, told = await client.recv_to_end()
    lab.told("the body is Hello World!", reply.split(b"\r\n\r\n", 1)[-1].strip(), b"Hello World!")
    lab.told("the server closes after a reply to Connection: close", told, "EOF")
    client.close()
    await lab.see("server", State.TIME_WAIT)
    await lab.see_gone("client")


def after(experiment: Experiment) -> Iterable[Check]:
    first = experiment.connection.first_fin
    yield check(
        "wire",
        "the server closes first",
        first is experiment.connection.server,
        f"first FIN: {first.side if first else 'none'}",
    )
    sent = experiment.connection.client.payload_bytes
    yield check("wire", "the request is one of its bytes", sent == len(REQUEST), f"{sent} bytes were sent")


SCENARIO = Scenario(
    name="http-request",
    title="GET, Hello World!, close",
    rfc="RFC 9112 section 9.6",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:60(59) ack 1
        < P. 1:149(148) ack 60      # as long every day: a Date header always has 29 characters
        < F. 149:149(0) ack 60
        > F. 60:60(0) ack 150
        < . 150:150(0) ack 61
    """,
    lesson="With `Connection: close` the end of the reply is the end of the connection, and the server keeps "
    "TIME_WAIT.",
    after=after,
)
