"""How the checks treat a server, held against what the wire and the kernel show of it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.net.private import PrivateNetwork
from testbed.verify.checks.closing import FIRST_PART, believed, early_reply
from testbed.verify.checks.racing import WIDE
from testbed.verify.dialogue import Request
from testbed.verify.outcome import Outcome, Verdict
from testbed.verify.peer import Asked, Peer
from testbed.verify.stage import Stage
from testbed.verify.survey import Survey
from testbed.verify.waiting import until

from . import servers
from .verifying import plan, python, verified

pytestmark = [pytest.mark.usefixtures("live"), pytest.mark.timeout(120)]

DEFERRING = """
import socket, sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
connections = []
while True:
    connection, _ = listener.accept()
    connections.append(connection)
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""


def test_a_request_and_its_fin_are_one_segment(tmp_path: Path) -> None:
    """Else the verdict on half-close depends on how soon the server answers."""
    server = (sys.executable, "-m", "testbed.servers.http", "--port", "{port}")
    found = verified(plan(*server, out=tmp_path), "half-close")
    assert not found.verdicts, found.said
    capture = str(tmp_path / "half-close" / "capture.pcap")
    wanted = "dst port 8000 and tcp[tcpflags] & tcp-fin != 0"
    found_there = subprocess.run(
        ["tcpdump", "-nr", capture, wanted], capture_output=True, text=True, check=True
    )
    assert found_there.stdout
    assert all(
        "Flags [FP.]" in line and not line.endswith("length 0") for line in found_there.stdout.splitlines()
    )


def test_a_connection_that_was_not_handed_over_proves_nothing() -> None:
    """TCP_DEFER_ACCEPT: the kernel forgets a connection without a byte, and says nothing to its client."""
    found = verified(python(DEFERRING), "kill", "rebind")
    assert found.results.keys() == {"kill", "rebind"}
    assert not found.verdicts, found.said


def test_who_was_not_handed_a_connection_cannot_close_it() -> None:
    found = verified(python(DEFERRING), "stop-fresh")
    assert found.verdicts == {"stop-fresh": Verdict.WARN}, found.said
    outcome = found.results["stop-fresh"].telling
    assert "without a word on the not yet accepted connection" in outcome.what
    assert "AcceptFilter http none" in outcome.change


# ---- half-close


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("pass", "a slow reply: nothing, then FIN at once after the client's (frames "),
        (
            "connection.sendall(BAD)",
            "a slow reply: 400 with 0 bytes of body instead of 200 with 0 bytes of body (frame ",
        ),
    ],
)
def test_a_reply_that_is_not_given_is_told_and_all_are_kept(does: str, words: str) -> None:
    """The slow one is not given, the short one comes in full: the words tell the one, the parts both."""
    found = verified(python(servers.at_eof(does), slow_path="/slow"), "half-close")
    assert found.verdicts == {"half-close": Verdict.WARN}, found.said
    (result,) = found.results.values()
    assert result.what.startswith(words)
    assert {leaf.part: leaf.verdict for leaf in result.telling.leaves} == {
        "a short reply": Verdict.PASS,
        "a slow reply": Verdict.WARN,
    }


def test_a_reply_that_does_not_fit_is_cut_off_each_time() -> None:
    """By a server that looks whether its client has gone when it can send no more (EPOLLRDHUP)."""
    found = verified(python(servers.LOOKS_WHEN_IT_MUST_WAIT, large_path="/large"), "half-close")
    assert found.verdicts == {"half-close": Verdict.WARN}, found.said
    (result,) = found.results.values()
    cut = r"a large reply: an incomplete reply \(200 with \d+ bytes of body\), given up within 300 ms of "
    assert re.match(cut, result.what), result.what


# ---- a signal that nobody handles


@pytest.mark.parametrize("check", ["stop-in-flight", "stop-queued"])
def test_a_signal_that_nobody_handles_is_the_cause(check: str) -> None:
    found = verified(python(servers.NO_HANDLER, slow_path="/slow"), check)
    assert found.verdicts == {check: Verdict.FAIL}, found.said
    outcome = found.results[check].telling
    assert "no handler for SIGTERM is installed" in outcome.what
    assert "handle the stop signal" in outcome.change


def test_who_is_left_in_the_queue_was_never_accepted() -> None:
    found = verified(python(servers.STOPS_ACCEPTING), "stop-new-connection")
    assert found.verdicts == {"stop-new-connection": Verdict.FAIL}, found.said
    what = found.results["stop-new-connection"].what
    assert ": taken by the kernel, never accepted, and reset as the listener was closed (frames " in what


# ---- client-reset


@pytest.mark.parametrize("server", [servers.SLOW_TO_ACCEPT, servers.SHORT_IDLE])
def test_who_is_in_use_is_ended_by_no_idle_timeout(server: str) -> None:
    """The other client asks again and again: one left alone is ended by a timeout, and not by a reset."""
    found = verified(python(server), "client-reset")
    assert found.results["client-reset"].telling.measured["resets"] == 4
    assert not found.verdicts, found.said


# ---- stalled-request


def test_who_had_to_wait_for_the_stalled_is_told_for_how_long() -> None:
    """Two have 1.5 s each, one after the other; who asked half a second after the first comes then."""
    found = verified(python(servers.ONE_AT_A_TIME, idle=5.0), "stalled-request")
    assert found.verdicts == {"stalled-request": Verdict.FAIL}, found.said
    (result,) = found.results.values()
    assert result.what.startswith("while 2 requests stalled, another client's (frame ")
    assert ") was answered 2." in result.what


# ---- early-reply


def test_an_answer_on_the_head_alone_is_seen(
    monkeypatch: pytest.MonkeyPatch, network: PrivateNetwork
) -> None:
    """However soon it is there: the client is held here until it is, before it sends its body."""
    ask = Stage.asked

    async def asked(stage: Stage, peer: Peer, request: Request) -> Asked:
        asked = await ask(stage, peer, request)
        assert await until(lambda: peer.waiting, 10)
        return asked

    async def perform() -> Outcome:
        subject = python(servers.REFUSES_ON_THE_HEAD)
        async with Stage(subject, Survey(("127.0.0.1", subject.port), 0.1, 1)) as stage:
            await stage.start()
            monkeypatch.setattr(Stage, "asked", asked)
            return await early_reply(stage)

    outcome = asyncio.run(perform())
    assert outcome.verdict is Verdict.PASS, outcome
    assert outcome.measured["early"] is True
    # the first part, and a little more: not all of it, as one that has seen no answer sends
    assert outcome.measured["upload_bytes_sent"] == FIRST_PART + FIRST_PART // 4


def test_a_server_that_takes_its_time_is_no_busy_machine() -> None:
    found = verified(python(servers.READS_SLOWLY_AND_RESETS), "early-reply")
    assert found.verdicts == {"early-reply": Verdict.FAIL}, found.said
    assert found.results["early-reply"].telling.measured["reset"] is True


@pytest.mark.parametrize(
    ("verdict", "waited", "believed_as"),
    [
        (Verdict.FAIL, 0.1, Verdict.FAIL),
        (Verdict.FAIL, 0.8, Verdict.INCONCLUSIVE),
        (Verdict.WARN, 0.8, Verdict.INCONCLUSIVE),
        (Verdict.PASS, 0.8, Verdict.PASS),
    ],
)
def test_a_client_that_had_to_wait_proves_nothing(
    verdict: Verdict, waited: float, believed_as: Verdict
) -> None:
    assert believed(Outcome(verdict, "so it ended"), waited).verdict is believed_as


# ---- idle-race


def test_a_server_that_waits_for_a_processor_is_not_late_of_its_own() -> None:
    """Its requests lie there while it cannot run, and it closes upon them: as much is forgiven, and told."""
    found = verified(python(servers.LATE_FOR_ITS_TURN, idle=4.0), "idle-race")
    (result,) = found.results.values()
    measured = result.telling.measured
    assert measured["processor_wait_seconds"] > 0
    wide = measured["widest_gap_seconds"] > WIDE
    assert result.verdict is (Verdict.INCONCLUSIVE if wide else Verdict.PASS), found.said
    assert wide == ("the server waited for a processor" in result.what)


@pytest.mark.parametrize("later", [0.6, 1.6])
def test_a_coarse_timeout_is_met_all_the_same(later: float) -> None:
    """The clients found out that it fires after a second: the others ask on either side of when it does."""
    found = verified(python(servers.idle_for(1.0, later), idle=3.0), "idle-race")
    assert not found.verdicts, found.said
    measured = found.results["idle-race"].telling.measured
    assert 0 < measured["answered"] < measured["requests"]
    assert measured["closed_before"] > 0
    assert "which is not always the same: one every " in found.results["idle-race"].what


def test_a_close_that_a_request_sets_off_is_no_race() -> None:
    """One is always lost, however short the gap: those that come before it and after it are a tenth away."""
    found = verified(python(servers.ENDS_WHEN_WOKEN, idle=3.0), "idle-race")
    assert found.verdicts == {"idle-race": Verdict.WARN}, found.said
    (result,) = found.results.values()
    assert result.telling.measured["lost"] >= 1
    assert "its own arrival had the server look at its timeouts" in result.what


@pytest.mark.parametrize(("later", "words"), [(9.0, "none came after the close"), (0.1, "none was answered")])
def test_a_race_that_nobody_ran_is_inconclusive(later: float, words: str) -> None:
    found = verified(python(servers.idle_for(2.5, later), idle=4.0), "idle-race")
    assert found.verdicts == {"idle-race": Verdict.INCONCLUSIVE}, found.said
    what = found.results["idle-race"].what
    start = r"24 requests around the timeout of 2\.5 s, which is not always the same: one every \d+ ms: "
    assert re.match(start, what), what
    assert f": {words}." in what


# ---- descriptor-leak


def test_a_new_workers_descriptors_are_no_leak() -> None:
    found = verified(python(servers.preforked(grows=True), protocol="none"), "descriptor-leak")
    result = found.results["descriptor-leak"]
    assert result.verdict is Verdict.PASS, result.what
    measured = result.telling.measured
    assert (measured["processes_compared"], measured["processes_started"]) == (3, 1)
    assert "in 3 processes (1 started meanwhile: not compared)" in result.what


def test_who_works_for_one_after_the_other_leaks_nothing() -> None:
    """Ten requests of 0.4 s, whose clients are gone: longer than its idle timeouts are waited for."""
    found = verified(python(servers.ONE_TURN_AT_A_TIME, slow_path="/slow", idle=1.0), "descriptor-leak")
    assert not found.verdicts, found.said
    result = found.results["descriptor-leak"]
    grown = result.telling.measured["grown"]
    assert grown["reset while the reply is due"] > 0, "they were at work"
    assert "kinds (late)" in result.what, "and no timeout had to end them"


def test_a_preforked_servers_leak_is_one_whoever_came_meanwhile() -> None:
    leaking = python(servers.preforked(grows=True, leaks=True), protocol="none", idle=1.0)
    found = verified(leaking, "descriptor-leak")
    assert found.verdicts == {"descriptor-leak": Verdict.FAIL}, found.said
