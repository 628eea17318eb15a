"""The wire is cut with data under way: it is sent again and again, at doubling intervals (RFC 6298).

Two clients. One waits for as long as the kernel does (tcp_retries2); the other says how long it will
(TCP_USER_TIMEOUT, RFC 5482).  Both are told ETIMEDOUT, and neither sends an RST: there is nobody.
"""

from collections.abc import Iterable
from itertools import pairwise

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ...tcp.connection import Connection
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 6
RETRIES = 4
USER_TIMEOUT = 1000


async def play(lab: Lab) -> None:
    server = lab.listen(9502)
    patient = await lab.connect()
    impatient = await lab.connect()
    for _ in range(2):
        await server.accept()
    impatient.user_timeout(USER_TIMEOUT)
    await lab.cut_wire()
    await patient.send(b"hello\r\n")
    await impatient.send(b"hello\r\n")
    lab.told("the impatient one is told ETIMEDOUT", await impatient.recv_to_end(), (b"", "ETIMEDOUT"))
    await lab.see("client", State.ESTABLISHED, client=patient)
    lab.told("and, later, the patient one", await patient.recv_to_end(), (b"", "ETIMEDOUT"))
    await lab.see_gone("client", client=patient)
    await lab.see("server", State.ESTABLISHED, client=patient)


def after(experiment: Experiment) -> Iterable[Check]:
    patient, impatient = experiment.connections
    times = _sent(patient)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    # The first may be a tail-loss probe, which comes before the timeout and does not double it (RFC 8985).
    doubled = gaps[1:]
    yield check(
        "wire",
        "each interval is twice the one before",
        len(doubled) >= 2 and all(1.7 < b / a < 2.3 for a, b in pairwise(doubled)),
        f"they were {[round(gap, 3) for gap in gaps]} s",
    )
    yield check(
        "wire",
        "the impatient one gives up earlier",
        _sent(impatient)[-1] < times[-1],
        f"its last segment came at {_sent(impatient)[-1]:.3f} s, the patient one's at {times[-1]:.3f} s",
    )
    resets = [c.reset_by for c in experiment.connections if c.reset_by is not None]
    yield check("wire", "and nobody sends an RST", not resets, "there is one")


def _sent(connection: Connection) -> list[float]:
    """When the data was sent, each time, in seconds."""
    return [e.segment.time_ns / 1e9 for e in connection.exchanges or () if e.segment.length]


SCENARIO = Scenario(
    name="dead-peer-with-data",
    title="the wire is cut with data under way: back-off, then ETIMEDOUT, and no RST",
    rfc="RFC 6298 section 5; RFC 5482; RFC 9293 section 3.8.3",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
    """,
    connections=2,
    hosts=True,
    link=(),
    findings=("retransmission", "unacknowledged-data"),
    sysctls={"tcp_retries2": RETRIES},
    seconds=8.0,
    lesson="With Linux's default the patient one would wait for a quarter of an hour. send() said that all "
    "was well: only an answer proves that a request arrived.",
    after=after,
)
