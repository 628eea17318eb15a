"""A lost data segment is sent again; the application never knows (RFC 6298)."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.notes import Note
from ..scenario import Scenario

ORDER = 6
AGAIN = Note.RETRANSMISSION | Note.FAST_RETRANSMISSION


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    await client.send(b"hello\r\n")
    lab.told("the data arrives all the same", await accepted.recv_exactly(7), b"hello\r\n")
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    sent = [e for e in experiment.connection.exchanges or () if e.from_client and e.segment.length]
    again = [e for e in sent if e.notes & AGAIN]
    yield check(
        "wire", "the segment is sent again", len(again) >= 1, f"{len(sent)} data segments, {len(again)} again"
    )


SCENARIO = Scenario(
    name="lost-segment",
    title="a lost segment is sent again",
    rfc="RFC 6298; RFC 9293 section 3.8.1",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        > F. 8:8(0) ack 1
        < F. 1:1(0) ack 9
        > . 9:9(0) ack 2
    """,
    hosts=True,
    link=("drop > (+) #1",),
    lesson="Loss is a delay, of 200 ms at least on Linux when it hits the last segment of a request.",
    after=after,
)
