"""close() while the send buffer is full: all the data goes out, and then the FIN (RFC 9293, 3.9.1.5).

The server does not read, so most of the data cannot be sent.  close() returns at once, and the client's
kernel is in FIN_WAIT_1 while its FIN waits behind the data for the window to open.  No segment shows
that: only the kernel tells.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5.5
BODY = bytes(range(256)) * 80
ROOM, STORE = 4096, 65_536
"""Bytes: the server's receive buffer holds a part of the body, the client's send buffer all of it."""


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    server.receive_buffer(ROOM)
    client = lab.client()
    client.send_buffer(STORE)
    lab.told("connect() succeeds", await client.connect(), "connected")
    accepted = await server.accept()
    lab.told("send() takes it all, though nobody reads", await client.send(BODY), "sent")
    await lab.see_reading("client", "window-closed")
    client.close()
    await lab.see("client", State.FIN_WAIT_1)
    await lab.see_reading("client", "orphan")
    await lab.see("server", State.ESTABLISHED)
    lab.step("server begins to read")
    lab.told("every byte comes, and then the end", await accepted.recv_to_end(), (BODY, "EOF"))
    await lab.see("client", State.FIN_WAIT_2)
    accepted.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    client = experiment.connection.client
    (read,) = (step.time_ns for step in experiment.steps if step.text == "server begins to read")
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


SCENARIO = Scenario(
    name="close-with-unsent-data",
    title="close() with a full send buffer: all the data, then FIN",
    rfc="RFC 9293 sections 3.6 and 3.9.1.5",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > . 1:20481(20480) ack 1
        > F. 20481:20481(0) ack 1
        < F. 1:1(0) ack 20482
        > . 20482:20482(0) ack 2
    """,
    findings=("zero-window",),
    sysctls={"tcp_early_retrans": 0},  # no probes of the tail (RFC 8985): a late ACK draws one within 10 ms
    lesson="close() says that the program will send no more, not that what it sent has arrived. To know "
    "that, half-close and read until the peer's end; a program that exits after close() never learns.",
    after=after,
)
