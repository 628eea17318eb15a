"""The FIN arrives before the data that was sent before it: it counts when the gap is filled, not sooner.

A FIN has a number like any byte, the one after the last (RFC 9293 section 3.4).  So the receiver keeps it
with what else came early, stays ESTABLISHED and asks again for what is missing.  Its program reads the
data first and the end after it, in whatever order they came.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 8.2
RTO_MIN = 5.0
"""Seconds: what is held is not sent again meanwhile."""


async def play(lab: Lab) -> None:
    lab.set_rto_min(RTO_MIN)
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    await lab.link.watch()
    await lab.link.hold("> P.")
    await client.send(b"goodbye\r\n")
    client.close()
    await lab.link.until_passed("< . 1:1(0) ack 1")
    await lab.see("client", State.FIN_WAIT_1)
    await lab.see("server", State.ESTABLISHED)
    await lab.link.release()
    lab.told("the data is read, and then the end", await accepted.recv_to_end(), (b"goodbye\r\n", "EOF"))
    await lab.see("server", State.CLOSE_WAIT)
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    exchanges = experiment.connection.exchanges or []
    fin = next(e.segment.frame for e in exchanges if e.from_client and e.segment.flags & 1)
    data = next(e.segment.frame for e in exchanges if e.from_client and e.segment.length)
    left = next(t.frame for t in experiment.connection.server.transitions if t.state == State.CLOSE_WAIT)
    yield check(
        "wire",
        "the server leaves ESTABLISHED with the data that fills the gap, not with the FIN",
        fin < data == left,
        f"FIN in frame {fin}, data in frame {data}, CLOSE_WAIT in frame {left}",
    )


SCENARIO = Scenario(
    name="fin-overtakes-data",
    title="a FIN that overtakes data changes nothing until the data is there",
    rfc="RFC 9293 sections 3.4 and 3.10.7.4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 10:10(0) ack 1
        < . 1:1(0) ack 1
        > P. 1:10(9) ack 1
        < . 1:1(0) ack 11
        < F. 1:1(0) ack 11
        > . 11:11(0) ack 2
    """,
    exact=True,
    hosts=True,
    link=(),
    capture_at="server",
    # neither a probe of the tail nor a SACK (RFC 8985): it would have the data sent again while it is held
    sysctls={"tcp_early_retrans": 0, "tcp_sack": 0},
    lesson="A FIN in a capture is not yet an end that the program knows of: look at what the other side "
    "acknowledges.",
    after=after,
)
