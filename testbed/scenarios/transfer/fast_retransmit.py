"""One segment of many is lost: what comes after it tells, and no timer is waited for (RFC 5681, 3.2).

Every later segment makes the receiver repeat its ACK, with a SACK block that says what it has (RFC
2018).  On the third the sender knows that the network is not merely out of order, and sends the missing
segment again.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.notes import Note
from ...wire import options
from ..scenario import Scenario

ORDER = 6.5
SEGMENT = 1448
"""Bytes: an MTU of 1500, less 40 for the headers and 12 for timestamps."""
BODY = b"x" * SEGMENT * 8
LOST = 2
MISSING = 1 + (LOST - 1) * SEGMENT
DUPLICATES = 3
STEADY = 20_000
"""Bytes: a receive buffer that does not grow. An ACK that moves the window too is no duplicate."""


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    server.receive_buffer(STEADY)
    client = await lab.connect()
    accepted = await server.accept()
    before = lab.counters("client")
    await lab.link.drop(f"> (+) #{LOST}")
    lab.told("send() takes all of it", await client.send(BODY), "sent")
    lab.told("and all of it arrives", await accepted.recv_exactly(len(BODY)), BODY)
    await lab.see_counted(before, {"TCPFastRetrans": 1}, side="client")
    timeouts = lab.counters("client")["TCPTimeouts"] - before["TCPTimeouts"]
    lab.hold(check("kernel", "no timer ran out meanwhile", timeouts == 0, f"{timeouts} did"))
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server")


def after(experiment: Experiment) -> Iterable[Check]:
    connection = experiment.connection
    exchanges = connection.exchanges or []
    again = [e for e in exchanges if e.from_client and e.seq == MISSING and e.segment.length][1:]
    before = again[0].segment.frame if again else 0
    asking = [
        e
        for e in exchanges
        if not e.from_client and e.segment.frame < before and e.notes & Note.DUPLICATE_ACK
    ]
    yield check(
        "wire",
        f"{DUPLICATES} duplicate ACKs ask for {MISSING}, and it is sent again",
        len(asking) >= DUPLICATES and all(e.ack == MISSING for e in asking),
        f"sent again {len(again)} times, after duplicate ACKs for {[e.ack for e in asking]}",
    )
    told = [options.sack_blocks(e.segment.options) for e in asking]
    yield check("wire", "each says by SACK what has arrived beyond the gap", all(told), f"they said {told}")
    yield check(
        "wire",
        "it counts as a fast retransmission",
        bool(again) and bool(again[0].notes & Note.FAST_RETRANSMISSION),
        "it does not",
    )


SCENARIO = Scenario(
    name="fast-retransmit",
    title="one of eight segments is lost: three duplicate ACKs bring it again, and no timer",
    rfc="RFC 5681 section 3.2; RFC 2018; RFC 6675",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:11585(11584) ack 1
        > F. 11585:11585(0) ack 1
        < F. 1:1(0) ack 11586
        > . 11586:11586(0) ack 2
    """,
    hosts=True,
    link=(),
    sysctls={"tcp_early_retrans": 0},  # no probes of the tail (RFC 8985): a late ACK draws one within 10 ms
    lesson="A loss in the middle costs a round trip; the loss of the last segment costs a timeout, as "
    "nothing comes after it to tell.",
    after=after,
    attempts=3,  # a machine that takes 200 ms for the ACKs lets the timer run out first
)
