from __future__ import annotations

import pytest
from hypothesis import given

from testbed.findings import (
    RULES,
    Clue,
    Evidence,
    Finding,
    Holder,
    Severity,
    describe,
    judge,
    rule,
    rules_kernel,
)
from testbed.tcp.connection import Connection
from testbed.tcp.notes import Note
from testbed.wire.decode import IcmpError

from ..tcp.conversation import CLIENT, HANDSHAKE, START_NS, segments, track, track_all
from ..tcp.test_connection import nonsense

LATER = 60_000_000_000


def found(text: str, *, end_ns: int | None = None, **evidence: object) -> list[Finding]:
    c = track(text)
    return judge(c, Evidence(end_ns=c.last_time_ns + LATER if end_ns is None else end_ns, **evidence))  # type: ignore[arg-type]


def codes(findings: list[Finding]) -> list[str]:
    return [f.code for f in findings]


HALF_CLOSED = (
    HANDSHAKE + "> P. 1:11(10) ack 1\n< P. 1:11(10) ack 11\n> F. 11:11(0) ack 11\n< . 11:11(0) ack 12\n"
)
FOUR_WAY = HALF_CLOSED + "< F. 11:11(0) ack 12\n> . 12:12(0) ack 12\n"
PROBED = HALF_CLOSED + "+15\n< . 10:10(0) ack 12\n> . 12:12(0) ack 11\n"

FORGED = "> S 0:0(0)\n< R. 5000:5000(0) ack 1\n< F. 5000:5000(0) ack 1\n> R 1:1(0)\n"

CASES = {
    # name: (conversation, the codes found, worst first)
    "handshake and nothing else": (HANDSHAKE, []),
    "orderly": (FOUR_WAY, []),
    "missing FIN": (HALF_CLOSED, ["missing-fin"]),
    "missing FIN, probed": (PROBED, ["missing-fin", "keepalive-probes"]),
    "missing FIN, then the orphan is gone": (
        PROBED + "+15\n< . 10:10(0) ack 12\n> R 12:12(0)",
        ["missing-fin", "reset", "keepalive-probes"],
    ),
    "a FIN long after the other": (
        HALF_CLOSED + "+2\n< F. 11:11(0) ack 12\n> . 12:12(0) ack 12",
        ["late-fin"],
    ),
    "a FIN lost, and answered at once when it came": (
        HANDSHAKE + "> F. 1:1(0) ack 1\n+2\n> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2",
        ["fin-retransmitted", "retransmission"],
    ),
    "a SYN answered by a SYN": (
        "> S 0:0(0)\n< S 0:0(0)\n> S. 0:0(0) ack 1\n< . 1:1(0) ack 1\n> P. 1:5(4) ack 1\n< . 1:1(0) ack 5",
        ["split-handshake"],
    ),
    "an RST and a FIN forged before the SYN,ACK": (
        FORGED
        + "< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n> P. 1:11(10) ack 1\n< P. 1:11(10) ack 11\n"
        + "> . 11:11(0) ack 11",
        ["stray-segments"],
    ),
    "refused, and the SYN,ACK too late": (
        "> S 0:0(0)\n< R. 5000:5000(0) ack 1\n< S. 0:0(0) ack 1\n> R 1:1(0)",
        ["refused", "stray-segments"],
    ),
    "two SYNs that nobody answered": ("> S 0:0(0)\n< S 0:0(0)", ["unanswered"]),
    "half-close in use": (
        HALF_CLOSED + "+0.1\n< P. 11:111(100) ack 12\n> . 12:12(0) ack 111\n< F. 111:111(0) ack 12\n"
        "> . 12:12(0) ack 112",
        ["half-close"],
    ),
    "refused": ("> S 0:0(0)\n< R. 0:0(0) ack 1", ["refused"]),
    "unanswered": ("> S 0:0(0)\n+1\n> S 0:0(0)", ["unanswered", "retransmission"]),
    "half-open": ("> S 0:0(0)\n< S. 0:0(0) ack 1", ["half-open"]),
    "old duplicate SYN": ("> S 0:0(0)\n< S. 0:0(0) ack 1\n> R 1:1(0)", ["half-open"]),
    "reset": (HANDSHAKE + "> P. 1:11(10) ack 1\n< R. 1:1(0) ack 1", ["reset"]),
    "reset after both FINs": (
        HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> R 2:2(0)",
        ["reset"],
    ),
    "blind reset": (HANDSHAKE + "> R 101:101(0)\n< . 1:1(0) ack 1", ["reset-ignored"]),
    "simultaneous open": (
        "> S 0:0(0)\n< S 0:0(0)\n> S. 0:0(0) ack 1\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n< . 1:1(0) ack 1",
        ["simultaneous-open"],
    ),
    "simultaneous close": (
        HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 1\n> . 2:2(0) ack 2\n< . 2:2(0) ack 2",
        ["simultaneous-close"],
    ),
    "data after its own FIN": (
        HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2\n> P. 2:12(10) ack 2",
        ["data-after-fin"],
    ),
    "keepalive answered": (
        HANDSHAKE + "+15\n> . 0:0(0) ack 1\n< . 1:1(0) ack 1",
        ["keepalive-probes"],
    ),
    "keepalive unanswered": (
        HANDSHAKE
        + "< . 1:1(0) ack 1\n+15\n> . 0:0(0) ack 1\n+1\n> . 0:0(0) ack 1\n+1\n> . 0:0(0) ack 1\n+1\n"
        "> R. 1:1(0) ack 1",
        ["reset", "keepalive-unanswered", "keepalive-probes", "window-update-after-handshake"],
    ),
    "zero window": (
        HANDSHAKE
        + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11 win 0\n+2\n> . 10:10(0) ack 1\n< . 1:1(0) ack 11 win 0\n"
        "+1\n< . 1:1(0) ack 11 win 900",
        ["zero-window"],
    ),
    "nobody acknowledges any more": (
        HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11\n> P. 11:21(10) ack 1\n+1\n> P. 11:21(10) ack 1",
        ["unacknowledged-data", "retransmission"],
    ),
    "a segment that was not captured": (
        HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 99",
        ["capture-incomplete"],
    ),
    "mid-stream": ("> P. 1:11(10) ack 1\n< . 1:1(0) ack 11", ["capture-incomplete"]),
    "one direction only": (
        "> S 0:0(0)\n> . 1:1(0) ack 1\n> P. 1:11(10) ack 1\n> F. 11:11(0) ack 1",
        ["capture-incomplete"],
    ),
    "FIN never acknowledged": (
        HANDSHAKE + "< . 1:1(0) ack 1 win 900\n> F. 1:1(0) ack 1\n+0.2\n> F. 1:1(0) ack 1",
        ["fin-unacknowledged", "retransmission", "window-update-after-handshake"],
    ),
    "FIN acknowledged at the second try": (
        HANDSHAKE + "> F. 1:1(0) ack 1\n+0.2\n> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2",
        ["fin-retransmitted", "retransmission"],
    ),
    "SYN at the second try": (
        "> S 0:0(0)\n+1\n> S 0:0(0)\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1",
        ["handshake-retried", "retransmission"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_codes(name: str) -> None:
    text, expected = CASES[name]
    assert codes(found(text)) == expected


def test_the_missing_fin_names_states_frames_and_both_readings() -> None:
    finding = found(PROBED)[0]
    assert (finding.severity, finding.side, finding.frame) == (Severity.ERROR, "server", 6)
    for part in (
        "The server never sent a FIN", "frame 6", "frame 7", "CLOSE_WAIT", "FIN_WAIT_2", "half-closed",
        "closed the socket",
    ):  # fmt: skip
        assert part in finding.text
    assert "XNU" not in finding.text  # only the server probes: that says nothing of the client


def test_two_way_probes_name_the_system_that_probes_for_a_closed_socket() -> None:
    text = (
        HALF_CLOSED
        + "+15\n< . 10:10(0) ack 12\n> . 11:11(0) ack 11\n> . 12:12(0) ack 11\n< . 11:11(0) ack 12"
    )
    finding = found(text)[0]
    assert "still holds the socket" in finding.text and "XNU" in finding.text


def test_the_holder_of_a_leaked_socket_is_named() -> None:
    holder = Holder("server", 4711, 7, "python -m servers.rpc", "CLOSE_WAIT", "psutil")
    c = track(HALF_CLOSED)
    end_ns = c.last_time_ns + 2_000_000_000
    finding = judge(c, Evidence(end_ns=end_ns, source="live", holders=(holder,)))[0]
    assert (finding.code, finding.severity) == ("missing-fin", Severity.ERROR)
    assert "Process 4711 (python -m servers.rpc) still holds the socket, file descriptor 7" in finding.text


def test_the_lines_that_hold_a_leaked_socket_are_told_after_their_process() -> None:
    clues = (Clue("app.py:34", "task 'Task-7' holds it"), Clue("", "no more is known"))
    holder = Holder("server", 4711, 7, "python app.py", "CLOSE_WAIT", "sock_diag", clues)
    c = track(HALF_CLOSED)
    finding = judge(c, Evidence(end_ns=c.last_time_ns + 2_000_000_000, source="live", holders=(holder,)))[0]
    said = "in CLOSE_WAIT (sock_diag): task 'Task-7' holds it (app.py:34); no more is known. The client is"
    assert said in finding.text


def test_a_fin_that_may_yet_come_is_no_error() -> None:
    c = track(HALF_CLOSED)
    finding = judge(c, Evidence(end_ns=c.last_time_ns + 1_000_000))[0]
    assert (finding.code, finding.severity) == ("missing-fin", Severity.WARNING)
    assert "a longer capture would tell" in finding.text


@pytest.mark.parametrize(
    ("text", "severity", "part"),
    [
        (
            HANDSHAKE + "> P. 1:11(10) ack 1\n< R. 1:1(0) ack 1",
            Severity.WARNING,
            "10 bytes that the client had sent",
        ),
        (
            HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11\n+1\n< R. 1:1(0) ack 11",
            Severity.WARNING,
            "SO_LINGER",
        ),
        (
            HALF_CLOSED + "+0.1\n< P. 11:21(10) ack 12\n> R 12:12(0)",
            Severity.WARNING,
            "wrote to a closed peer",
        ),
        (
            HANDSHAKE + "+9\n> P. 1:11(10) ack 1\n< R 1:1(0)",
            Severity.WARNING,
            "no such connection any more",
        ),
        (HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> R 2:2(0)", Severity.INFO, "nothing was lost"),
    ],
)
def test_why_it_was_reset(text: str, severity: Severity, part: str) -> None:
    finding = next(f for f in found(text) if f.code == "reset")
    assert finding.severity is severity
    assert part in finding.text


def test_icmp_tells_why_a_syn_was_not_answered() -> None:
    error = IcmpError(2, START_NS, 3, 1, CLIENT)
    text = found("> S 0:0(0)", icmp_errors={error.quoted_flow: [error]})[0].text
    assert "ICMP told why in frame 2: host unreachable (type 3, code 1)." in text
    assert "connect() fails with EHOSTUNREACH" in text  # net/ipv4/icmp.c


def test_dropped_packets_are_told() -> None:
    findings = found(FOUR_WAY, dropped=3)
    assert codes(findings) == ["capture-incomplete"]
    assert "3 packets were dropped" in findings[0].text


def test_a_reused_port() -> None:
    rows = [*segments(FOUR_WAY), *segments(HANDSHAKE, client_isn=70_000, frame=20)]
    assert codes(judge(track_all(rows)[1], Evidence())) == ["port-reused"]


def test_disagreements_are_told_at_their_frames() -> None:
    lines = (2, "frame 2: the line prints flags [F.]"), (5, "frame 5: the line prints seq 5")
    told = [f for f in judge(track(FOUR_WAY), Evidence(disagreements=lines)) if f.code.startswith("text")]
    assert [(f.frame, f.text) for f in told] == list(lines)


def test_rows_of_the_table_are_whole() -> None:
    assert len({row.code for row in RULES}) == len(RULES)
    for row in RULES:
        assert row.title and row.meaning and row.cause and row.remedy and row.disproof
        assert rule(row.code) is row
    assert rule("no-such-thing") is None


def test_forged_segments_change_nothing() -> None:
    c = track(CASES["an RST and a FIN forged before the SYN,ACK"][0])
    assert (c.opening, c.ending, c.reset_by, c.first_fin) == ("handshake", "open", None, None)
    assert (c.client.state, c.server.state) == ("ESTABLISHED", "ESTABLISHED")
    assert (c.client.payload_bytes, c.server.payload_bytes) == (10, 10)
    assert c.exchanges is not None
    assert [e.seq for e in c.exchanges if not e.from_client] == [5000, 5000, 0, 1]  # from the SYN,ACK on
    assert [e.notes for e in c.exchanges if e.notes] == [int(Note.PORT_REUSED)]


def test_a_split_handshake_in_two_steps() -> None:
    """The ACK before the called end's SYN makes it a connection of its own, which tshark says too."""
    first, second = track_all(
        segments("> S 0:0(0)\n< . 700:700(0) ack 1\n< S 0:0(0)\n> S. 0:0(0) ack 1\n< . 1:1(0) ack 1")
    )
    assert codes(judge(first, Evidence())) == ["unanswered"]
    assert "sent a SYN of its own in frame 3" in judge(first, Evidence())[0].text
    assert codes(judge(second, Evidence())) == ["split-handshake"]
    assert "10.0.0.1:40000 that called first" in judge(second, Evidence())[0].text


def test_two_syns_that_nobody_answered() -> None:
    (finding,) = found(CASES["two SYNs that nobody answered"][0])
    assert "sent a SYN of its own (frame 2), which was not answered either" in finding.text


def test_what_reuse_of_the_ports_ends_is_not_said_to_last() -> None:
    rows = [*segments(HALF_CLOSED), *segments(HANDSHAKE, client_isn=70_000, frame=20)]
    first, _ = track_all(rows)
    (finding,) = judge(first, Evidence(end_ns=rows[-1].time_ns + LATER))
    assert finding.code == "missing-fin" and finding.severity is Severity.WARNING
    assert "until frame 20 opened the four-tuple anew" in finding.text


def test_who_held_a_socket_is_said_with_the_time() -> None:
    c = track(CASES["a FIN long after the other"][0])
    held = Holder("server", 7, 5, "app", "CLOSE_WAIT", "sock_diag", seen_ns=c.start_ns + 1_500_000_000)
    (finding,) = judge(c, Evidence(source="live", holders=(held,)))
    assert finding.severity is Severity.WARNING
    assert "Process 7 (app) held the socket, file descriptor 5, when it was last looked for" in finding.text
    assert "at 1.5 s, in CLOSE_WAIT (sock_diag)" in finding.text


def test_every_rule_has_a_case() -> None:
    shown = {code for _, expected in CASES.values() for code in expected}
    elsewhere = {row.code for row in rules_kernel.RULES}  # test_rules_kernel
    elsewhere |= {"icmp-error", "port-reused", "out-of-order", "ack-short-of-fin", "text-disagrees-with-hex"}
    assert shown | elsewhere == {row.code for row in RULES}


def _holds(c: Connection) -> None:
    evidence = Evidence(end_ns=c.last_time_ns + LATER)
    findings = judge(c, evidence)
    ranks = [f.severity.rank for f in findings]
    assert ranks == sorted(ranks)
    for finding in findings:
        assert rule(finding.code) is not None
        assert finding.text.strip() == finding.text and finding.text
        assert finding.frame is None or c.first_frame <= finding.frame <= c.last_frame
    assert describe(c, evidence, findings)


@given(nonsense())
def test_any_conversation_can_be_judged_and_described(text: str) -> None:
    for c in track_all(segments(text)):
        _holds(c)
