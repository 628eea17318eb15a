"""The servers' endings are the proof: each bad one makes exactly the checks complain that it should.

The tables are derived from what an ending does (servers/endings.py), not from what the checks said.  A
check that is not named passes; `polite` passes all.  HTTP is put to every check; RPC and echo to those
that their endings are about, with two that must pass beside them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from testbed.errors import TargetError
from testbed.servers import ENDINGS
from testbed.verify.checks import CHECKS
from testbed.verify.outcome import Verdict
from testbed.verify.plan import Plan
from testbed.verify.profiles import PROFILES
from testbed.verify.report import told
from testbed.verify.verification import verify

WHOLE = os.environ.get("VERIFY_ALL") == "1"
USUAL = frozenset({"polite", "never", "linger-zero"})
"""The endings that are put to the checks each time: nothing wrong, a close that never comes, one too hard."""

pytestmark = [pytest.mark.usefixtures("live"), pytest.mark.timeout(300)]

FAIL, WARN, INFO, SKIPPED = Verdict.FAIL, Verdict.WARN, Verdict.INFO, Verdict.SKIPPED

TIMES = ("--idle-timeout", "4.5", "--request-timeout", "3", "--keepalive-idle", "60")
"""Long enough for a kernel to give a client up (3.4 s after its reply), shorter than `--idle`; longer than
the grace, so that no timeout ends what a stop left open."""

HTTP: Mapping[str, Mapping[str, Verdict]] = {
    "polite": {},
    "half-close-aware": {},
    # closes without lingering; and no connection of its is ever idle
    "server-first": {"stop-idle": SKIPPED, "idle-race": SKIPPED, "early-reply": FAIL},
    # one second between the decision to close and the FIN
    "slow": {"close-back": WARN, "idle-race": WARN},
    # holds what should be closed: also when the reason is a timeout or its own early answer
    "never": {
        "close-back": FAIL,
        "descriptor-leak": FAIL,
        "idle-timeout": INFO,
        "idle-race": INFO,
        "stalled-request": WARN,
        "early-reply": WARN,
    },
    # after its first reply it neither reads, nor times out, nor learns of an error
    "deaf": {
        "close-back": FAIL,
        "descriptor-leak": FAIL,
        "client-vanishes": FAIL,
        "idle-race": FAIL,
        "idle-timeout": INFO,
        "stalled-request": WARN,
        "early-reply": WARN,
        "stop-queued": WARN,
    },
    # invisible on the wire
    "shutdown-only": {"descriptor-leak": FAIL},
    "cut-on-eof": {"half-close": WARN},
    # RST wherever it closes: with a reply before it a fail, with nothing unread a warning
    "linger-zero": {
        "close-back": FAIL,
        "half-close": FAIL,
        "early-reply": FAIL,
        "stop-in-flight": FAIL,
        "stop-queued": FAIL,
        "stop-idle": WARN,
        "stop-fresh": WARN,
        "idle-timeout": WARN,
    },
    # closes on top of whatever comes after its first reply, and never without
    "unread": {
        "early-reply": FAIL,
        "idle-race": FAIL,
        "idle-timeout": INFO,
        "stalled-request": WARN,
        "stop-queued": WARN,
    },
    # the same for every error of a connection, ETIMEDOUT included
    "leak-on-reset": {"descriptor-leak": FAIL, "client-vanishes": FAIL},
    "crash-on-reset": {"client-reset": FAIL, "descriptor-leak": FAIL, "client-vanishes": FAIL},
    "ignore-stop": {"stop-idle": FAIL, "stop-fresh": FAIL, "stop-in-flight": FAIL},
    "wait-for-fresh": {"stop-fresh": FAIL},
    # a quick request that lay in the kernel is answered in the pass of the loop that brings the signal
    "cut-on-stop": {"stop-in-flight": FAIL},
    # that answer too has a reset behind it
    "abort-on-stop": {"stop-idle": WARN, "stop-fresh": WARN, "stop-in-flight": FAIL, "stop-queued": FAIL},
    "accept-on-stop": {"stop-new-connection": FAIL},
    "drop-queued": {"stop-queued": FAIL},
}

UNUSABLE = "accept-never"

OPTIONS: Mapping[str, Mapping[str, Verdict]] = {
    "--idle-timeout 0": {"idle-timeout": INFO, "idle-race": INFO},
    "--request-timeout 0": {"stalled-request": WARN},
    "--linger 0": {"early-reply": FAIL},
    "--no-reuse-address": {"rebind": FAIL},
}

SKIPS: Mapping[str, frozenset[str]] = {
    "rpc": frozenset(),
    # no request of it is ever unfinished or under way
    "echo": frozenset({"stop-in-flight", "early-reply", "stalled-request"}),
}

SLOW = frozenset({"idle-timeout", "idle-race", "stalled-request", "client-vanishes", "descriptor-leak"})
"""Checks that wait for timeouts: HTTP's endings go through these."""

SHOWS_NOTHING: frozenset[tuple[str, str, str]] = frozenset(
    {
        # a frame that is refused at its header never counts as arrived, nor its refusal as the first reply
        *(("rpc", ending, "early-reply") for ending in ("deaf", "unread", "server-first")),
        # nothing is under way, so that the server is gone before anybody comes late
        ("echo", "accept-on-stop", "stop-new-connection"),
    }
)
"""Where a protocol cannot show what an ending does: (protocol, ending, check)."""

CONTROLS = ("close-back", "stop-fresh")


def some(endings: Iterable[str]) -> list[ParameterSet]:
    """All of them, skipped but for a few unless all are asked for: each waits for timers for some seconds."""
    left_out = pytest.mark.skipif(not WHOLE, reason="takes minutes with all the others: VERIFY_ALL=1 runs it")
    return [pytest.param(name, marks=() if name in USUAL else left_out) for name in endings]


def plan(protocol: str, *options: str, **more: Any) -> Plan:
    """One of the project's servers, with grace and patience to match `TIMES`."""
    command = (sys.executable, "-m", f"testbed.servers.{protocol}", "--port", "{port}", *TIMES, *options)
    pages = {"slow_path": "/slow?seconds=0.5", "large_path": "/large"} if protocol == "http" else {}
    return Plan(
        command=command,
        profile=PROFILES["generic"],
        protocol="tcp" if protocol == "echo" else protocol,
        grace=2.5,
        idle=6.5,
        env=tuple(os.environ.items()),
        cwd=Path.cwd(),
        **{**pages, **more},
    )


def verdicts(subject: Plan, names: tuple[str, ...] = tuple(CHECKS)) -> tuple[dict[str, Verdict], str]:
    """Every verdict that is no pass; and all that was said, for a failure's message."""
    done = verify(subject, [CHECKS[name] for name in names])
    said = "\n".join(
        f"{r.verdict} {r.check}: {told(r)}" for r in done.results if r.verdict is not Verdict.PASS
    )
    return {r.check: r.verdict for r in done.results if r.verdict is not Verdict.PASS}, said


def test_every_ending_has_its_row() -> None:
    assert {*HTTP, UNUSABLE} == set(ENDINGS)


@pytest.mark.parametrize("ending", some(HTTP))
def test_http(ending: str) -> None:
    found, said = verdicts(plan("http", "--ending", ending))
    assert found == HTTP[ending], said


@pytest.mark.parametrize("options", some(OPTIONS))
def test_http_options(options: str) -> None:
    found, said = verdicts(plan("http", *options.split()))
    assert found == OPTIONS[options], said


def test_without_keepalive_only_timeouts_notice() -> None:
    """Each of the two is enough; without both a client that is gone is never noticed."""
    bare = plan("http", "--idle-timeout", "0")
    words = list(bare.command)
    at = words.index("--keepalive-idle")
    del words[at : at + 2]
    found, said = verdicts(
        Plan(command=tuple(words), profile=bare.profile, idle=1.0, env=bare.env, cwd=bare.cwd),
        ("keepalive-option", "client-vanishes"),
    )
    assert found == {"keepalive-option": INFO, "client-vanishes": WARN}, said


@pytest.mark.parametrize("protocol", ["rpc", "echo"])
@pytest.mark.parametrize("ending", some(HTTP))
def test_other_protocols(protocol: str, ending: str) -> None:
    asked = ({*HTTP[ending], *CONTROLS}) - SKIPS[protocol] - SLOW
    expected = {
        name: verdict
        for name, verdict in HTTP[ending].items()
        if name in asked and (protocol, ending, name) not in SHOWS_NOTHING
    }
    found, said = verdicts(
        plan(protocol, "--ending", ending), tuple(name for name in CHECKS if name in asked)
    )
    assert found == expected, said


@pytest.mark.parametrize("protocol", ["rpc", "echo"])
def test_polite_passes_all(protocol: str) -> None:
    found, said = verdicts(plan(protocol))
    assert found == dict.fromkeys(SKIPS[protocol], SKIPPED), said


def test_a_server_that_never_accepts_cannot_be_used() -> None:
    with pytest.raises(TargetError, match="nobody accepted the connection"):
        verify(plan("http", "--ending", UNUSABLE))
