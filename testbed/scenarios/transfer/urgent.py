"""The URG flag and the urgent pointer (RFC 6093): the byte sent out of band is not in the stream."""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...wire.segment import URG
from ..scenario import Scenario

ORDER = 8


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    client.send_urgent(b"hello!")
    lab.told("recv() has the bytes before the urgent one", await accepted.recv_exactly(5), b"hello")
    client.close()
    lab.told("the urgent byte is not in the stream", await accepted.recv_to_end(), (b"", "EOF"))
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    segments = [e.segment for e in experiment.connection.exchanges or () if e.segment.length]
    flagged = [s for s in segments if s.flags & URG]
    yield check(
        "wire", "the segment has the URG flag", flagged == segments, f"{len(flagged)} of {len(segments)} have"
    )
    pointers = [int.from_bytes(s.data[s.tcp_at + 18 : s.tcp_at + 20], "big") for s in segments]
    # RFC 6093 section 2.1: implementations point to the byte after the urgent one, not to it
    yield check(
        "wire", "the urgent pointer is 6: the byte after the last", pointers == [6], f"it is {pointers}"
    )


SCENARIO = Scenario(
    name="urgent",
    title="the URG flag and the urgent pointer",
    rfc="RFC 6093",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > PU. 1:7(6) ack 1
        > F. 7:7(0) ack 1
        < F. 1:1(0) ack 8
        > . 8:8(0) ack 2
    """,
    lesson="Urgent data is one byte beside the stream, and new programs should not use it.",
    after=after,
)
