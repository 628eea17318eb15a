"""A SYN to a port where nobody listens is answered by RST (RFC 9293 section 3.10.7.1)."""

from ...lab import Lab
from ..scenario import Scenario

ORDER = 3


async def play(lab: Lab) -> None:
    lab.at(lab.host, 2333)
    client = lab.client()
    lab.told("connect() fails with ECONNREFUSED", await client.connect(), "ECONNREFUSED")


SCENARIO = Scenario(
    name="refused",
    title="a closed port answers with RST",
    rfc="RFC 9293 section 3.10.7.1",
    play=play,
    transcript="""
        > S 0:0(0)
        < R. 1:1(0) ack 1     # a side that sent no SYN is counted from 1
    """,
    exact=True,
    findings=("refused",),
    reset=("NO_SOCKET",),
    lesson="Refused means that the host is there and says that nobody listens. "
    "Silence (a firewall, a host that is down) looks different: the SYN is repeated.",
)
