"""The server answers before it has read the whole request, and closes: its RST destroys its own answer.

Two clients are half way through a large request when they get their reply.  One server then closes at
once: bytes lie unread, so close() is an RST, and what of the reply still waited for room at the client
is thrown away.  The other half-closes, reads on, and closes at the client's FIN: a lingering close.

The first client hardly learns of it.  Its send() takes the error, and its recv() then ends with a clean
EOF, in the middle of the reply.
"""

from collections.abc import Iterable

from ...lab import Check, Client, Experiment, Lab, ScriptedServer, ScriptedSocket
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 6
HEAD = b"POST /upload HTTP/1.1\r\nContent-Length: 20000\r\n\r\n"
HALF = b"x" * 10_000
REPLY = b"HTTP/1.1 413 Content Too Large\r\n\r\n".ljust(100_000, b"y")
ROOM, STORE = 4096, 200_000
"""Bytes: the client's receive buffer holds a part of the reply, the server's send buffer all of it."""


async def play(lab: Lab) -> None:
    server = lab.listen(4000)

    hasty, answering = await _answered(lab, server)
    answering.close()
    await lab.see_gone("server", client=hasty)
    lab.told("send() of the other half fails", await hasty.send(HALF), "ECONNRESET")
    part, told = await hasty.recv_to_end()
    lab.told("recv() then ends as if all were well", told, "EOF")
    lost = len(REPLY) - len(part)
    lab.hold(
        check(
            "program",
            f"of the {len(REPLY):,} bytes of the reply most are lost: {lost:,}",
            lost > len(REPLY) / 2,
            f"{lost:,} were lost",
        )
    )
    hasty.close()

    patient, lingering = await _answered(lab, server)
    lingering.half_close()
    lab.told("send() of the other half succeeds", await patient.send(HALF), "sent")
    lab.told("the whole reply comes, and then the end", await patient.recv_to_end(), (REPLY, "EOF"))
    patient.close()
    lab.told(
        "the server reads what it does not want, to the end", await lingering.recv_to_end(), (HALF * 2, "EOF")
    )
    lingering.close()
    await lab.see("server", State.TIME_WAIT, client=patient)


async def _answered(lab: Lab, server: ScriptedServer) -> tuple[Client, ScriptedSocket]:
    """A client half way through its request, and the server's end, which has read the head and replied."""
    client = lab.client()
    client.receive_buffer(ROOM)
    lab.told("connect() succeeds", await client.connect(), "connected")
    accepted = await server.accept()
    accepted.send_buffer(STORE)
    await client.send(HEAD + HALF)
    await accepted.recv_exactly(len(HEAD))
    lab.told("the server's send() takes the whole reply", await accepted.send(REPLY), "sent")
    await lab.see_reading("server", "window-closed", client=client)
    return client, accepted


def after(experiment: Experiment) -> Iterable[Check]:
    hasty, patient = experiment.connections
    sent = hasty.server.payload_bytes
    yield check(
        "wire",
        "the RST comes in the middle of the reply",
        hasty.reset_by is hasty.server and 0 < sent < len(REPLY),
        f"{sent:,} bytes came, and {'an RST' if hasty.reset_by else 'no RST'}",
    )
    yield check(
        "wire",
        "the lingering close sends all of it, and no RST",
        patient.reset_by is None and patient.server.payload_bytes == len(REPLY),
        f"{patient.server.payload_bytes:,} bytes came, and {'an RST' if patient.reset_by else 'no RST'}",
    )


SCENARIO = Scenario(
    name="early-reply",
    title="an answer before the request is read, and close(): RST, and the answer is lost",
    rfc="RFC 9112 section 9.6; RFC 1122 section 4.2.2.13; RFC 2525 section 2.17",
    play=play,
    transcript=(
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:10049(10048) ack 1
        < . 1:4345(4344) ack 10049
        < R. 4345:4345(0) ack 10049
        """,
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:10049(10048) ack 1
        < . 1:4345(4344) ack 10049
        > P. 10049:20049(10000) ack 4345
        < . 4345:100001(95656) ack 20049
        < F. 100001:100001(0) ack 20049
        > F. 20049:20049(0) ack 100002
        < . 100002:100002(0) ack 20050
        """,
    ),
    elastic=("<",),
    connections=2,
    findings=("reset", "zero-window"),
    reset=("TCP_ABORT_ON_CLOSE",),
    sysctls={"tcp_early_retrans": 0},  # no probes of the tail (RFC 8985): a late ACK draws one within 10 ms
    lesson="To refuse an upload it is not enough to answer and close: read on until the client has the "
    "answer, or it gets a broken connection, or half an answer and no error at all.",
    after=after,
)
