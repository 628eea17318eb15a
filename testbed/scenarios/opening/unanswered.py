"""A SYN that nobody answers: it is repeated, and at last connect() fails (RFC 6298 section 5)."""

from collections.abc import Iterable
from itertools import pairwise

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.notes import Note
from ..scenario import Scenario

ORDER = 3.5
RETRIES = 2
TOLERANCE = 0.15  # the timer wheel rounds up


async def play(lab: Lab) -> None:
    lab.at(lab.host, 9502)
    with lab.drop("tcp", "dport", "9502"):
        client = lab.client()
        lab.told("connect() fails with ETIMEDOUT", await client.connect(), "ETIMEDOUT")


def after(experiment: Experiment) -> Iterable[Check]:
    exchanges = experiment.connection.exchanges or []
    times = [e.segment.time_ns / 1e9 for e in exchanges]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    yield check(
        "wire",
        f"the SYN is repeated {RETRIES} times, after 1 s and then 2 s (exponential back-off)",
        len(gaps) == RETRIES and all(-0.05 < g - 2**n < TOLERANCE * 2**n for n, g in enumerate(gaps)),
        f"the gaps were {[round(g, 3) for g in gaps]} s",
    )
    repeated = experiment.connection.count(Note.RETRANSMISSION)
    yield check("wire", "each is the same SYN again", repeated == RETRIES, f"{repeated} are")


SCENARIO = Scenario(
    name="unanswered",
    title="nobody answers the SYN: it is repeated, then ETIMEDOUT",
    rfc="RFC 6298 section 5; tcp(7), tcp_syn_retries",
    play=play,
    transcript="> S 0:0(0)",
    findings=("unanswered",),
    seconds=7.5,
    sysctls={"tcp_syn_retries": RETRIES, "tcp_syn_linear_timeouts": 0},
    lesson="Silence is a firewall, a dead host or a full queue; a closed port would have answered at once. "
    "By default Linux gives up after more than two minutes.",
    after=after,
)
