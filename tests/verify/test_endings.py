"""The servers' endings are the proof: each bad one makes exactly the checks complain that it should.

The tables are derived from what an ending does (servers/endings.py), not from what the checks said.  A
check that is not named passes; `polite` passes all.  HTTP is put to every check that can tell; RPC and
echo to those that their endings are about, with two that must pass beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from testbed.servers import ENDINGS
from testbed.verify.checks import CHECKS
from testbed.verify.outcome import Verdict
from testbed.verify.plan import Plan

from .verifying import Found, plan, together

pytestmark = [pytest.mark.usefixtures("live"), pytest.mark.timeout(600)]

FAIL, WARN, INFO, SKIPPED = Verdict.FAIL, Verdict.WARN, Verdict.INFO, Verdict.SKIPPED

TIMES = ("--idle-timeout", "4.5", "--request-timeout", "3")
"""Long enough for a kernel to give a client up (3.4 s after its reply), shorter than `--idle`; longer than
the grace, so that no timeout ends what a stop left open."""

KEEPALIVE = ("--keepalive-idle", "60")

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
    "ignore-stop": {
        "stop-idle": FAIL,
        "stop-fresh": FAIL,
        "stop-in-flight": FAIL,
        "stop-new-connection": FAIL,
    },
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
"""Checks that wait for timeouts, and ask nobody to stop."""

SHOWS_NOTHING: frozenset[tuple[str, str, str]] = frozenset(
    {
        # a frame that is refused at its header never counts as arrived, nor its refusal as the first reply
        *(("rpc", ending, "early-reply") for ending in ("deaf", "unread", "server-first")),
        # nothing is under way, so that the server is gone before anybody comes late
        ("echo", "accept-on-stop", "stop-new-connection"),
        ("echo", "ignore-stop", "stop-new-connection"),
    }
)
"""Where a protocol cannot show what an ending does: (protocol, ending, check)."""

CONTROLS = ("close-back", "stop-fresh")
"""Checks that RPC and echo are put to with every ending, whatever it is about."""


class Row(NamedTuple):
    """A server with its options, the checks that it is put to (none: all), and those that do not pass."""

    protocol: str
    options: str
    checks: tuple[str, ...]
    expected: Mapping[str, Verdict]
    keepalive: bool = True
    idle: float = 6.5


def http(ending: str) -> Row:
    """HTTP with an ending: every check, but not those that wait for timeouts where only the stop differs."""
    row, polite = ENDINGS[ending], ENDINGS["polite"]
    same = all(getattr(row, part) == getattr(polite, part) for part in ("respond", "goodbye", "fault"))
    checks = [name for name in CHECKS if not same or ending == "polite" or name not in SLOW]
    return Row("http", f"--ending {ending}", tuple(checks), HTTP[ending])


def other(protocol: str, ending: str) -> Row:
    """RPC or echo with an ending: what it is about, and the controls."""
    asked = ({*HTTP[ending], *CONTROLS}) - SKIPS[protocol] - SLOW
    expected = {
        name: verdict
        for name, verdict in HTTP[ending].items()
        if name in asked and (protocol, ending, name) not in SHOWS_NOTHING
    }
    return Row(protocol, f"--ending {ending}", tuple(name for name in CHECKS if name in asked), expected)


ROWS: Mapping[str, Row] = {
    **{f"http {ending}": http(ending) for ending in HTTP},
    **{f"http {options}": Row("http", options, (*bad, *CONTROLS), bad) for options, bad in OPTIONS.items()},
    **{
        f"{protocol} {ending}": other(protocol, ending)
        for protocol in SKIPS
        for ending in HTTP
        if ending != "polite"
    },
    **{
        f"{protocol} polite": Row(protocol, "", (), dict.fromkeys(skipped, SKIPPED))
        for protocol, skipped in SKIPS.items()
    },
    # keepalive and idle timeout: each is enough; without both a client that is gone is never noticed
    "http without keepalive": Row(
        "http",
        "--idle-timeout 0",
        ("keepalive-option", "client-vanishes"),
        {"keepalive-option": INFO, "client-vanishes": WARN},
        keepalive=False,
        idle=1.0,
    ),
    **{
        f"{protocol} {UNUSABLE}": Row(protocol, f"--ending {UNUSABLE}", (), {})
        for protocol in ("http", *SKIPS)
    },
}


def subject(row: Row) -> Plan:
    """The plan of a row, with grace and patience to match `TIMES`."""
    pages = {"slow_path": "/slow?seconds=0.5", "large_path": "/large"} if row.protocol == "http" else {}
    return plan(
        *(sys.executable, "-m", f"testbed.servers.{row.protocol}", "--port", "{port}"),
        *TIMES,
        *(KEEPALIVE if row.keepalive else ()),
        *row.options.split(),
        protocol="tcp" if row.protocol == "echo" else row.protocol,
        grace=2.5,
        idle=row.idle,
        **pages,
    )


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, live: None) -> Mapping[str, Found]:
    """All rows that this run asks for, verified side by side."""
    asked: list[str] = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and "name" in item.fixturenames
    ]
    return together({name: (subject(ROWS[name]), ROWS[name].checks) for name in asked})


def test_every_ending_has_its_row() -> None:
    assert {*HTTP, UNUSABLE} == set(ENDINGS)


@pytest.mark.parametrize("name", [name for name in ROWS if UNUSABLE not in name])
def test_exactly_the_checks_complain_that_should(name: str, found: Mapping[str, Found]) -> None:
    assert not found[name].problem
    assert found[name].verdicts == ROWS[name].expected, found[name].said


@pytest.mark.parametrize("name", [name for name in ROWS if UNUSABLE in name])
def test_a_server_that_never_accepts_cannot_be_used(name: str, found: Mapping[str, Found]) -> None:
    assert "TargetError" in found[name].problem
    assert "nobody accepted the connection" in found[name].problem
