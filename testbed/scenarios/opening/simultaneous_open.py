"""Nobody listens: both ends connect, and their SYNs cross on the wire (RFC 9293 section 3.5, figure 7).

Each end goes through SYN_SENT and SYN_RECEIVED, and answers the other's SYN with a SYN-ACK that
repeats its own.  It is one connection, not two.
"""

import asyncio
from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 8
PORT, CLIENT_PORT = 9502, 29502
SYNS = "> S", "< S"
SYN_ACKS = "> S.", "< S."


async def play(lab: Lab) -> None:
    lab.at(lab.host, PORT)
    client = lab.client(port=CLIENT_PORT)
    other = lab.counterpart(CLIENT_PORT)
    await lab.link.hold(*SYNS, *SYN_ACKS)
    opening = asyncio.create_task(client.connect()), asyncio.create_task(other.connect())
    await lab.link.until_held(*SYNS, count=2)
    await lab.see("client", State.SYN_SENT)
    await lab.see("server", State.SYN_SENT)
    await lab.link.release(*SYNS)
    await lab.link.until_held(*SYN_ACKS, count=2)
    await lab.see("client", State.SYN_RECEIVED)
    await lab.see("server", State.SYN_RECEIVED)
    await lab.link.forget()
    await lab.link.release()
    lab.told("both are told that they are connected", await asyncio.gather(*opening), ["connected"] * 2)
    await lab.see("client", State.ESTABLISHED)
    await lab.see("server", State.ESTABLISHED)
    client.close()
    lab.told("and it is one connection", await other.recv_to_end(), (b"", "EOF"))
    other.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    answers = [
        line for line in experiment.transcript() if line.startswith((f"{SYN_ACKS[0]} ", f"{SYN_ACKS[1]} "))
    ]
    yield check(
        "wire",
        "each answers the other's SYN with its own once more, and an ACK",
        [line.partition("  #")[0] for line in answers] == [f"{start} 0:0(0) ack 1" for start in SYN_ACKS],
        f"there was {answers}",
    )
    path = ["SYN_SENT", "SYN_RECEIVED", "ESTABLISHED"]
    for end in (experiment.connection.client, experiment.connection.server):
        walked = [str(t.state) for t in end.transitions][:3]
        yield check("wire", f"the {end.side} walks {', '.join(path)}", walked == path, f"it walked {walked}")


SCENARIO = Scenario(
    name="simultaneous-open",
    title="both SYNs cross on the wire: SYN_RECEIVED on both sides, one connection",
    rfc="RFC 9293 section 3.5, figure 7",
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
    lesson="A connection is its two addresses and ports; who called first is not part of it. Hole punching "
    "through NATs rests on that.",
    after=after,
)
