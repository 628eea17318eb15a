"""ICMP tells why a SYN is not answered: connect() fails at once, and with another errno for each reason.

RFC 1122 section 4.2.3.9 has TCP go on trying where a network or a host is unreachable, as that may pass.
Linux does in a connection that is open; one that is not yet it gives up with the first ICMP error, whatever
it says (tcp_v4_err in net/ipv4/tcp_ipv4.c; RFC 5461 section 4.1 has the reasons).

Two hosts, and a link with its own time: on one machine the answer is there before connect() has let go of the
socket, is only remembered then, and the SYN is sent again.
"""

from collections.abc import Iterable

from ...lab import Check, Experiment, Lab
from ...lab.judgement import check
from ..scenario import Scenario

ORDER = 3.2
PORT = 9502
TOLD = {
    "net-unreachable": "ENETUNREACH",
    "host-unreachable": "EHOSTUNREACH",
    "port-unreachable": "ECONNREFUSED",
    "admin-prohibited": "EHOSTUNREACH",
}


async def play(lab: Lab) -> None:
    server = lab.listen(PORT)
    for told, errno in TOLD.items():
        with lab.drop("tcp", "dport", str(PORT), tell=told):
            client = lab.client()
            lab.told(f"{told}: connect() fails with {errno}", await client.connect(), errno)
        await lab.see_gone("client", client=client)
    client = await lab.connect()
    accepted = await server.accept()
    with lab.drop("tcp", "dport", str(PORT), once=True, tell="host-unreachable"):
        await client.send(b"hello\r\n")
        lab.told("what is open goes on", await accepted.recv_exactly(7), b"hello\r\n")
    client.close()
    await accepted.recv_to_end()
    accepted.close()
    await lab.see_gone("server", client=client)


def after(experiment: Experiment) -> Iterable[Check]:
    *attempts, opened = experiment.connections
    for connection, told in zip(attempts, TOLD, strict=True):
        errors = experiment.evidence.icmp_about(connection, connection.client_flow)
        yield check("wire", f"ICMP quotes the SYN: {told}", len(errors) == 1, f"{len(errors)} errors do")
    found = [finding.code for finding in experiment.findings_on(opened)]
    yield check("wire", "ICMP quotes a segment of the open one", "icmp-error" in found, f"found: {found}")


SYN_ALONE = "> S 0:0(0)"

SCENARIO = Scenario(
    name="unreachable",
    title="ICMP answers the SYN: connect() fails at once, with an errno for each reason",
    rfc="RFC 1122 section 4.2.3.9; RFC 5461 section 4.1; RFC 792",
    play=play,
    transcript=(
        SYN_ALONE,
        SYN_ALONE,
        SYN_ALONE,
        SYN_ALONE,
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        > F. 8:8(0) ack 1
        < F. 1:1(0) ack 9
        > . 9:9(0) ack 2
        """,
    ),
    connections=5,
    hosts=True,
    link=(),
    capture_at="server",
    findings=("unanswered",),
    lesson="A firewall that rejects with ICMP fails fast and says why; one that drops leaves the client to "
    "its timers. port-unreachable looks to the program as a closed port does: the wire tells them apart.",
    after=after,
)
