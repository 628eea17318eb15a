"""A SYN that nobody answers: it is repeated, and at last connect() fails (RFC 6298 section 5).

RFC 6298 doubles each interval.  Linux from 6.5 on begins with some of a second each
(tcp_syn_linear_timeouts, 4 of them by default) and doubles then: it is told here to do the one, and then
the other.
"""

from collections.abc import Iterable
from itertools import pairwise

from ...errors import CapabilityError, UsageError
from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.connection import Connection
from ...tcp.notes import Note
from ..scenario import Scenario

ORDER = 3.5
LINEAR = "tcp_syn_linear_timeouts"
RETRIES, LINEAR_RETRIES = 2, 2
DOUBLED = [1, 2]
EVEN_FIRST = [1, 1, 1, 2]
"""Seconds between SYNs.  Linear retries are added to the others, and the first doubling is one later:
the interval before a retry is decided on with the one before it (net/ipv4/tcp_timer.c)."""
TOLERANCE = 0.15  # the timer wheel rounds up


async def play(lab: Lab) -> None:
    lab.at(lab.host, 9502)
    with lab.drop("tcp", "dport", "9502"):
        for linear, way in ((0, "doubling"), (LINEAR_RETRIES, f"the first {LINEAR_RETRIES} not doubling")):
            try:
                lab.set_sysctl(LINEAR, linear)
            except UsageError as error:
                raise CapabilityError(str(error), "Linux 6.5 or later has it") from error
            client = lab.client()
            lab.told(f"{way}: connect() fails with ETIMEDOUT", await client.connect(), "ETIMEDOUT")
            await lab.see_gone("client", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    ways = "each interval is twice the one before", "with linear retries the first intervals are even"
    for connection, expected, way in zip(experiment.connections, (DOUBLED, EVEN_FIRST), ways, strict=False):
        gaps = _gaps(connection)
        yield check(
            "wire",
            f"{way}: {', '.join(map(str, expected))} s",
            len(gaps) == len(expected)
            and all(
                -0.05 < gap - asked < TOLERANCE * asked for gap, asked in zip(gaps, expected, strict=True)
            ),
            f"the intervals were {[round(gap, 3) for gap in gaps]} s",
        )
        repeated = connection.count(Note.RETRANSMISSION)
        yield check("wire", "each is the same SYN again", repeated == len(expected), f"{repeated} are")


def _gaps(connection: Connection) -> list[float]:
    """Seconds between the segments."""
    times = [e.segment.time_ns / 1e9 for e in connection.exchanges or ()]
    return [later - earlier for earlier, later in pairwise(times)]


SCENARIO = Scenario(
    name="unanswered",
    title="nobody answers the SYN: it is repeated, at doubling or even intervals, then ETIMEDOUT",
    rfc="RFC 6298 section 5; tcp(7), tcp_syn_retries",
    play=play,
    transcript="> S 0:0(0)",
    connections=2,
    findings=("unanswered",),
    seconds=17,
    sysctls={"tcp_syn_retries": RETRIES},
    lesson="Silence is a firewall, a dead host or a full queue; a closed port would have answered at once. "
    "By default Linux gives up after more than two minutes.",
    after=after,
)
