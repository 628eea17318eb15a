"""Connections never closed: CLOSE_WAIT grows with every client, and descriptors with it.

All look alike in the state alone.  The kernel's receive queue tells three kinds apart: the program read
everything and forgot to close; it never looked whether the end had come; it left data unread, so that
even a close() would now be an RST.
"""

from collections.abc import Iterable

import psutil

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 3
KINDS = ("not-closed", "eof-unread", "data-unread")
EACH = 3
CLIENTS = EACH * len(KINDS)

REQUEST, REPLY, MORE = b"hello\r\n", b"server got:hello\r\n", b"and another\r\n"


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    before = psutil.Process().num_fds()
    for number in range(CLIENTS):
        kind = KINDS[number % len(KINDS)]
        client = await lab.connect()
        accepted = await server.accept()
        await client.send(REQUEST)
        await accepted.recv_exactly(len(REQUEST))
        await accepted.send(REPLY)
        await client.recv_exactly(len(REPLY))
        if kind == "data-unread":
            await client.send(MORE)
        client.close()
        if kind == "not-closed":
            lab.told("the server's program is told of the end", await accepted.recv_to_end(), (b"", "EOF"))
        await lab.see_reading("server", kind, client=client)
        await lab.see_reading("client", "orphan-countdown", client=client)
    await lab.see("server", State.CLOSE_WAIT)
    grown = psutil.Process().num_fds() - before
    lab.hold(
        check(
            "program",
            f"{CLIENTS} clients leave {CLIENTS} descriptors open",
            grown == CLIENTS,
            f"{grown} are open",
        )
    )


def after(experiment: Experiment) -> Iterable[Check]:
    found = [{f.code for f in experiment.findings_on(c)} & set(KINDS) for c in experiment.connections]
    for number, kind in enumerate(KINDS):
        those = found[number :: len(KINDS)]
        yield check(
            "kernel",
            f"{EACH} of them, and each of its kind alone, are found to be {kind}",
            those == [{kind}] * EACH,
            f"found: {', '.join(' and '.join(sorted(codes)) or 'nothing' for codes in those)}",
        )


OPENED = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
    > P. 1:8(7) ack 1
    < P. 1:19(18) ack 8
"""
LEFT = (
    OPENED
    + """
    > F. 8:8(0) ack 19
    < . 19:19(0) ack 9
"""
)
LEFT_WITH_DATA = (
    OPENED
    + """
    > P. 8:21(13) ack 19
    > F. 21:21(0) ack 19
    < . 19:19(0) ack 22
"""
)

SCENARIO = Scenario(
    name="close-wait-leak",
    title=f"{CLIENTS} clients leave {CLIENTS} sockets in CLOSE_WAIT, and the kernel tells three kinds apart",
    rfc="RFC 9293 section 3.6; RFC 1122 section 4.2.2.13",
    play=play,
    transcript=(LEFT, LEFT, LEFT_WITH_DATA) * EACH,
    findings=("missing-fin", "not-closed"),
    connections=CLIENTS,
    lesson="CLOSE_WAIT has no timeout: it ends when the application closes, and not before. A number of them "
    "that only grows is a leak, and its end is EMFILE; the receive queue says which line of code forgot it.",
    after=after,
)
