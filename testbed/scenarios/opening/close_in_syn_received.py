"""close() in SYN_RECEIVED: FIN_WAIT_1 without having been ESTABLISHED (RFC 9293 section 3.10.4, figure 5).

A server's program cannot do it: it is handed a connection once that is established.  In a simultaneous
open the program has its socket from the beginning.
"""

import asyncio
from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 9
PORT, CLIENT_PORT = 9502, 29504
SYNS = "> S", "< S"
SYN_ACKS = "> S.", "< S."


async def play(lab: Lab) -> None:
    lab.at(lab.host, PORT)
    client = lab.client(port=CLIENT_PORT)
    other = lab.counterpart(CLIENT_PORT)
    await lab.link.hold(*SYNS, *SYN_ACKS)
    connecting = asyncio.create_task(client.connect())
    opening = asyncio.create_task(other.connect())
    await lab.link.until_held(*SYNS, count=2)
    await lab.see("client", State.SYN_SENT)
    await lab.see("server", State.SYN_SENT)
    await lab.link.release(*SYNS)
    await lab.link.until_held(*SYN_ACKS, count=2)
    await lab.see("client", State.SYN_RECEIVED)
    connecting.cancel()
    await asyncio.wait([connecting])
    await lab.link.hold("> F.")
    client.close()
    await lab.link.until_held("> F.")
    await lab.see("client", State.FIN_WAIT_1)
    await lab.see("server", State.SYN_RECEIVED)
    await lab.link.forget()
    await lab.link.release()
    lab.told("the other end is told that it is connected", await opening, "connected")
    lab.told("and that this was all", await other.recv_to_end(), (b"", "EOF"))
    other.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    path = ["SYN_SENT", "SYN_RECEIVED", "FIN_WAIT_1"]
    seen = experiment.states("client")[:3]
    yield check("kernel", f"the client's kernel says {', '.join(path)}", seen == path, f"it says {seen}")


SCENARIO = Scenario(
    name="close-in-syn-received",
    title="close() in a simultaneous open: FIN_WAIT_1 straight from SYN_RECEIVED",
    rfc="RFC 9293 section 3.10.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S 0:0(0)
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
    """,
    hosts=True,
    link=(),
    lesson="The FIN takes its number and waits its turn like any data: the other end opens, reads an end of "
    "file, and closes in order.",
    after=after,
)
