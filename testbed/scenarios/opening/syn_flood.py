"""SYNs from addresses that nobody has: each is answered, and remembered in vain (RFC 4987).

The link forges them.  The server's kernel keeps a request for each and waits for a third segment that
no one will send.  When there are as many as the listener's backlog (one more, from Linux 6.13 on), every
other SYN is dropped, that of a real client too.  Then SYN cookies are switched on: the kernel puts what
it would have to remember into the number of its SYN-ACK and keeps nothing, and the client's next
attempt gets in, with the flood still there.
"""

import asyncio

from ...lab import Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4.5
PORT = 9502
NETWORK, PREFIX = "198.51.100.0", 24
"""TEST-NET-2 (RFC 5737): addresses that nobody has."""
BACKLOG = 8
FLOOD = BACKLOG + 2
"""One more than any Linux holds."""


async def play(lab: Lab) -> None:
    lab.route_to_client(NETWORK, PREFIX)
    server = lab.listen(PORT, backlog=BACKLOG)
    before = lab.counters()
    for number in range(1, FLOOD + 1):
        await _forge(lab, number)
    await lab.see_counted(before, {"TCPReqQFullDrop": 1})
    held = await lab.see_many(State.SYN_RECEIVED, BACKLOG)
    dropped = FLOOD - held
    await lab.see_counted(before, {"TCPReqQFullDrop": dropped})

    client = lab.client()
    connecting = asyncio.create_task(client.connect())
    await lab.see_counted(before, {"TCPReqQFullDrop": dropped + 1})
    await lab.see("client", State.SYN_SENT)

    lab.set_sysctl("tcp_syncookies", 1)
    lab.told("the client's next SYN gets it in", await connecting, "connected")
    accepted = await server.accept()
    await lab.see("server", State.ESTABLISHED)
    for number in (BACKLOG + 1, BACKLOG + 2):
        await _forge(lab, number)
    await lab.see_counted(before, {"TCPReqQFullDoCookies": 2, "SyncookiesSent": 2, "SyncookiesRecv": 1})
    still = await lab.see_many(State.SYN_RECEIVED, held)
    lab.hold(check("kernel", "and the flood takes no more room", still == held, f"{held}, then {still}"))

    await client.send(b"hello\r\n")
    lab.told("and is served", await accepted.recv_exactly(7), b"hello\r\n")
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


async def _forge(lab: Lab, number: int) -> None:
    await lab.link.inject("> S 0:0(0)", ports=(40_000 + number, PORT), client=f"198.51.100.{number}")


HALF_OPEN = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
"""
REAL = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
    > P. 1:8(7) ack 1
    > F. 8:8(0) ack 1
    < F. 1:1(0) ack 9
    > . 9:9(0) ack 2
"""

SCENARIO = Scenario(
    name="syn-flood",
    title="forged SYNs fill the backlog; with SYN cookies a real client still gets in",
    rfc="RFC 4987 sections 2 and 3.6; tcp(7), tcp_syncookies",
    play=play,
    transcript=(HALF_OPEN,) * FLOOD + (REAL,),
    findings=("half-open",),
    connections=FLOOD + 1,
    hosts=True,
    link=(),
    capture_at="server",
    apart="the SYNs of the flood are forged: no kernel sent them",
    sysctls={"tcp_syncookies": 0},
    seconds=1.2,
    lesson="One row in SYN_RECEIVED is a lost segment; as many as the backlog, from as many addresses, are a "
    "flood. Linux has cookies on by default: TCPReqQFullDoCookies says when it needed them.",
)
