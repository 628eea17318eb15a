"""What the kernel's tables said, as findings; and what they add to those that rest on the wire."""

from __future__ import annotations

import pytest

from testbed.findings import Evidence, Finding, KernelReading, Severity, judge, rules_kernel
from testbed.kernel.readings import PEER_GONE, READINGS

from ..tcp.conversation import track
from .test_rules import FOUR_WAY, HALF_CLOSED

SECOND = 1_000_000_000

NO_FINDINGS = {
    "backlog-full",  # of a listener, which no connection has yet
    "handshake",  # the rule half-open says it by the segments
    "time-wait",  # how every good close ends
}


def server_reads(code: str, state: str = "CLOSE_WAIT") -> KernelReading:
    return KernelReading("server", code, "the row says so", state, "sock_diag")


def found(*readings: KernelReading, after_ns: int = 2 * SECOND, text: str = HALF_CLOSED) -> list[Finding]:
    c = track(text)
    return judge(c, Evidence(end_ns=c.last_time_ns + after_ns, source="live", readings=readings))


def test_every_reading_is_a_finding_or_is_known_to_be_none() -> None:
    codes = {row.code for row in (*READINGS, *PEER_GONE)}
    rules = {row.code for row in rules_kernel.RULES}
    assert codes - rules == NO_FINDINGS
    assert rules <= codes
    assert {row.witness for row in rules_kernel.RULES} == {"kernel"}


@pytest.mark.parametrize("code", [row.code for row in rules_kernel.RULES])
def test_a_reading_is_passed_on(code: str) -> None:
    row = next(row for row in rules_kernel.RULES if row.code == code)
    (finding,) = [f for f in found(server_reads(code)) if f.code == code]
    assert (finding.severity, finding.side, finding.frame) == (row.severity, "server", None)
    assert finding.text.startswith("The row says so (the server's socket in CLOSE_WAIT, by sock_diag).")


def test_a_reading_without_a_rule_is_no_finding() -> None:
    assert [f.code for f in found(server_reads("time-wait", "TIME_WAIT"), text=FOUR_WAY)] == []


def test_a_leak_is_an_error_once_the_fin_counts_as_missing() -> None:
    late = found(server_reads("not-closed"))
    assert [(f.code, f.severity) for f in late] == [
        ("missing-fin", Severity.ERROR),
        ("not-closed", Severity.ERROR),
    ]
    early = found(server_reads("not-closed"), after_ns=1_000_000)
    assert [f.severity for f in early] == [Severity.WARNING, Severity.WARNING]


def test_a_leak_tells_how_certain_it_is() -> None:
    assert "may have yet to be told of the end" in found(server_reads("not-closed"))[1].text


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("not-closed", "its application has read all the data and not closed the socket (sock_diag)."),
        ("eof-unread", "neither read the end of the stream, which waits in the receive queue, nor closed"),
        ("data-unread", "neither read what lies in front of the FIN nor closed the socket (sock_diag)."),
        ("not-accepted", "no application has accepted the connection"),
        ("keepalive-off", "it read the end of the stream and went on, or it does not read."),
    ],
)
def test_the_missing_fin_tells_whose_fault_it_is(code: str, part: str) -> None:
    text = found(server_reads(code))[0].text
    assert part in text
    assert ("or it does not read" in text) == (code == "keepalive-off")


def test_the_missing_fin_knows_an_orphan() -> None:
    orphan = KernelReading("client", "orphan-countdown", "59 s to go", "FIN_WAIT_2", "sock_diag")
    text = found(orphan)[0].text
    assert "its program has closed the socket" in text
    assert "half-closed" not in text
    assert "What its application did, the FIN does not tell" in found()[0].text
