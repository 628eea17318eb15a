"""close() while the send buffer is full: all the data goes out, and then the FIN (RFC 9293, 3.9.1.5).

The server does not read, so most of the data cannot be sent.  close() returns at once, and the client's
kernel is in FIN_WAIT_1 while its FIN waits behind the data for the window to open.  No segment shows
that: only the kernel tells.  A second server never reads and closes: then the data is lost, the FIN is
never sent, and the program that could be told has let go.
"""

from collections.abc import Iterable

from ...lab import Check, Client, Experiment, Lab, ScriptedServer, ScriptedSocket
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5.5
BODY = bytes(range(256)) * 80
ROOM, STORE = 4096, 65_536
"""Bytes: the server's receive buffer holds a part of the body, the client's send buffer all of it."""

READS = "server begins to read"


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    server.receive_buffer(ROOM)
    _, accepted = await _closed_too_early(lab, server)
    await lab.see("server", State.ESTABLISHED)
    lab.step(READS)
    lab.told("every byte comes, and then the end", await accepted.recv_to_end(), (BODY, "EOF"))
    await lab.see("client", State.FIN_WAIT_2)
    accepted.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")

    unlucky, accepted = await _closed_too_early(lab, server)
    accepted.close()
    await lab.see_gone("server", client=unlucky)
    await lab.see_gone("client", client=unlucky)


async def _closed_too_early(lab: Lab, server: ScriptedServer) -> tuple[Client, ScriptedSocket]:
    """A client that sent and closed before the server's program has read a byte, and the server's end."""
    client = lab.client()
    client.send_buffer(STORE)
    lab.told("connect() succeeds", await client.connect(), "connected")
    accepted = await server.accept()
    lab.told("send() takes it all, though nobody reads", await client.send(BODY), "sent")
    await lab.see_reading("client", "window-closed", client=client)
    client.close()
    await lab.see("client", State.FIN_WAIT_1, client=client)
    await lab.see_reading("client", "orphan", client=client)
    return client, accepted


def after(experiment: Experiment) -> Iterable[Check]:
    client = experiment.connection.client
    (read,) = (step.time_ns for step in experiment.steps if step.text == READS)
    entered = next(
        (m.time_ns for m in experiment.marks() if m.side == "client" and m.state == "FIN_WAIT_1"), 0
    )
    yield check(
        "kernel",
        "the client is in FIN_WAIT_1 before the server begins to read",
        0 < entered < read,
        f"it was {(entered - read) / 1e9:.3f} s after that" if entered else "it never was",
    )
    yield check(
        "wire",
        "and its FIN is not on the wire until then",
        client.fin_first_time > read,
        f"it was there {(read - client.fin_first_time) / 1e9:.3f} s before",
    )
    yield check(
        "wire",
        "the FIN is behind the last byte",
        client.fin_seq == client.data_end,
        f"it has {client.fin_seq}, the data ends at {client.data_end}",
    )
    unlucky = experiment.connections[-1]
    walked = unlucky.states("client")
    yield check(
        "kernel",
        "where the server closes without having read, the client's FIN_WAIT_1 ends with no FIN ever sent",
        unlucky.client.fin_seq is None and unlucky.reset_by is unlucky.server and "FIN_WAIT_1" in walked,
        f"the client went {', '.join(walked)}; "
        + ("it sent no FIN" if unlucky.client.fin_seq is None else "its FIN was sent"),
    )


SCENARIO = Scenario(
    name="close-with-unsent-data",
    title="close() with a full send buffer: all the data, then FIN",
    rfc="RFC 9293 sections 3.6 and 3.9.1.5",
    play=play,
    transcript=(
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > . 1:20481(20480) ack 1
        > F. 20481:20481(0) ack 1
        < F. 1:1(0) ack 20482
        > . 20482:20482(0) ack 2
        """,
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > . 1:4345(4344) ack 1
        < R. 1:1(0) ack 4345
        """,
    ),
    elastic=(">",),
    connections=2,
    reset=("TCP_ABORT_ON_CLOSE",),
    findings=("zero-window",),
    sysctls={"tcp_early_retrans": 0},  # no probes of the tail (RFC 8985): a late ACK draws one within 10 ms
    lesson="close() says that the program will send no more, not that what it sent has arrived. To know "
    "that, half-close and read until the peer's end; a program that exits after close() never learns.",
    after=after,
)
