"""One segment overtakes another: the receiver keeps what came early, and says so (RFC 2018).

The program never knows: it reads the bytes in order.  The sender is told of the gap by a duplicate ACK,
which has the early segment in a SACK block; one of these is not yet a loss.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...wire import options
from ..scenario import Scenario

ORDER = 6.3
SEGMENT = 1448
"""Bytes: an MTU of 1500, less 40 for the headers and 12 for timestamps."""
BODY = b"".join(bytes([number]) * SEGMENT for number in range(4))
LATE = 2
GAP = 1 + (LATE - 1) * SEGMENT
STEADY = 20_000
"""Bytes: a receive buffer that does not grow. An ACK that moves the window too is no duplicate."""


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    server.receive_buffer(STEADY)
    client = await lab.connect()
    accepted = await server.accept()
    before = lab.counters()
    await lab.link.rule(f"reorder > (+) #{LATE}")
    lab.told("send() takes all of it", await client.send(BODY), "sent")
    lab.told("it is read in order", await accepted.recv_exactly(len(BODY)), BODY)
    await lab.see_counted(before, {"TCPOFOQueue": 1})
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    asking = [e for e in connection.exchanges or () if not e.from_client and e.ack == GAP]
    base = connection.client.base or 0
    blocks = [
        (left - base, right - base) for e in asking for left, right in options.sack_blocks(e.segment.options)
    ]
    early = GAP + SEGMENT, GAP + 2 * SEGMENT
    yield check(
        "wire",
        f"the receiver asks for byte {GAP} again, and says by SACK that it has {early[0]} to {early[1] - 1}",
        any((left - early[0]) % 2**32 == 0 and (right - early[1]) % 2**32 == 0 for left, right in blocks),
        f"it asked for {GAP} {len(asking)} times, with the blocks {blocks}",
    )
    done = [fault.what for fault in experiment.faults]
    yield check(
        "wire", "one segment was overtaken, and none lost", done == ["overtaken"], f"the link tells of {done}"
    )


SCENARIO = Scenario(
    name="out-of-order",
    title="a segment overtakes another: kept, told by SACK, read in order",
    rfc="RFC 9293 section 3.10.7.4; RFC 2018 section 4",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > . 1:5793(5792) ack 1      # bytes 1449 to 2896 arrive after bytes 2897 to 4344
        > F. 5793:5793(0) ack 1
        < F. 1:1(0) ack 5794
        > . 5794:5794(0) ack 2
    """,
    hosts=True,
    link=(),
    sysctls={"tcp_early_retrans": 0},  # no probes of the tail (RFC 8985): a late ACK draws one within 10 ms
    lesson="The network may deliver in any order; TCP does not. What costs time is not the disorder but the "
    "sender's guess that something is lost.",
    after=after,
)
