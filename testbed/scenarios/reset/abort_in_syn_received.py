"""An abort in SYN_RECEIVED sends an RST, to an end that may be connected already (RFC 9293 section 3.10.5).

Only a simultaneous open gives a program a socket in this state.  The link keeps what would open this
end too.  So the capture, which lies behind it, has one SYN-ACK of the two, and calls that a split handshake.
"""

import asyncio
from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 1.7
PORT, CLIENT_PORT = 9502, 29505
SYNS = "> S", "< S"


async def play(lab: Lab) -> None:
    lab.at(lab.host, PORT)
    client = lab.client(port=CLIENT_PORT)
    other = lab.counterpart(CLIENT_PORT)
    await lab.link.hold(*SYNS, "< S.", "< .")
    connecting = asyncio.create_task(client.connect())
    opening = asyncio.create_task(other.connect())
    await lab.link.until_held(*SYNS, count=2)
    await lab.see("client", State.SYN_SENT)
    await lab.see("server", State.SYN_SENT)
    await lab.link.release(*SYNS)
    lab.told("the other end is told that it is connected", await opening, "connected")
    await lab.see("server", State.ESTABLISHED)
    await lab.see("client", State.SYN_RECEIVED)
    connecting.cancel()
    await asyncio.wait([connecting])
    client.reset()
    lab.told("and then that it is not", await other.recv_to_end(), (b"", "ECONNRESET"))
    await lab.see_gone("client")
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    seen = experiment.states("client")
    path = ["SYN_SENT", "SYN_RECEIVED", "CLOSED"]
    yield check("kernel", f"the client walks {', '.join(path)}", seen == path, f"it walks {seen}")


SCENARIO = Scenario(
    name="abort-in-syn-received",
    title="an abort in a simultaneous open: RST from SYN_RECEIVED",
    rfc="RFC 9293 section 3.10.5",
    play=play,
    transcript="""
        > S 0:0(0)
        < S 0:0(0)
        > R. 1:1(0) ack 1
    """,
    findings=("reset", "split-handshake"),
    reset=("TCP_STATE",),
    hosts=True,
    link=(),
    lesson="The two ends do not open at the same moment: one may be "
    "reset by a peer that never was connected.",
    after=after,
)
