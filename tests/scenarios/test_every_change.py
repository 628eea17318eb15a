"""Every change of state that the kernel reports is seen, none is missed and none is another connection's.

What must be seen is derived from RFC 9293 figure 5 and from where Linux changes the state; what has no
event (the small object that keeps TIME_WAIT) must come from its socket tables, and say so.  Beside it a
process in another network opens connections at the same addresses and port.

TESTBED_RUNS=500 makes of it the long proof, with 1,000 of them a second; the short one leaves the
machine to the tests that run beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from testbed.errors import CapabilityError
from testbed.findings.table import Side
from testbed.kernel import trace_source
from testbed.net.private import PrivateNetwork
from testbed.scenarios.play import JudgedLab
from testbed.scenarios.scenario import find
from testbed.tcp.states import State
from tests.conftest import ROOT

RUNS = int(os.environ.get("TESTBED_RUNS", "5"))
PORT = 9502
RATE = 1000 if RUNS >= 500 else 100
S = State

ACTIVE_OPEN = [
    (S.CLOSED, S.SYN_SENT),  # connect(): tcp_v4_connect
    (S.SYN_SENT, S.ESTABLISHED),  # the SYN,ACK: tcp_finish_connect
]
PASSIVE_OPEN = [
    (S.LISTEN, S.SYN_RECEIVED),  # the third segment makes a socket: inet_csk_clone_lock
    (S.SYN_RECEIVED, S.ESTABLISHED),  # tcp_rcv_state_process
]
CLOSES_FIRST = [
    (S.ESTABLISHED, S.FIN_WAIT_1),  # close() or shutdown(): tcp_close_state
    (S.FIN_WAIT_1, S.FIN_WAIT_2),  # the ACK of the FIN, alone or with the peer's: tcp_rcv_state_process
    (S.FIN_WAIT_2, S.CLOSED),  # tcp_time_wait: the socket goes, a small object stays
]
CLOSES_SECOND = [
    (S.ESTABLISHED, S.CLOSE_WAIT),  # the FIN: tcp_fin
    (S.CLOSE_WAIT, S.LAST_ACK),  # close(): tcp_close_state
    (S.LAST_ACK, S.CLOSED),  # the ACK of the FIN: tcp_done
]
EXPECTED: dict[str, dict[Side, list[tuple[State, State]]]] = {
    "four-way-close": {"client": ACTIVE_OPEN + CLOSES_FIRST, "server": PASSIVE_OPEN + CLOSES_SECOND},
    "three-segment-close": {"client": ACTIVE_OPEN + CLOSES_FIRST, "server": PASSIVE_OPEN + CLOSES_SECOND},
    "server-closes-first": {"client": ACTIVE_OPEN + CLOSES_SECOND, "server": PASSIVE_OPEN + CLOSES_FIRST},
}


@pytest.fixture(scope="module")
def noise(live: None) -> Iterator[None]:
    try:
        trace_source.give_back(trace_source.borrow())
    except CapabilityError as error:
        pytest.skip(f"no tracepoints: {error}")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.noise", str(PORT), str(RATE)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield
    told, _ = process.communicate(input="", timeout=10)
    assert process.returncode == 0
    print("noise:", told)


@pytest.mark.timeout(60 + RUNS)
@pytest.mark.parametrize("name", EXPECTED)
async def test_every_change_is_seen_and_no_other(name: str, network: PrivateNetwork, noise: None) -> None:
    scenario = find(name)
    for run in range(RUNS):
        lab = JudgedLab()
        async with lab:
            await scenario.play(lab)
        (connection,) = lab.experiment.connections
        account = connection.account
        assert account.problem == "", f"run {run}"
        for side, expected in EXPECTED[name].items():
            seen = [(event.before, event.state) for event in account.transitions[side]]
            assert seen == expected, f"run {run}, {side}"
        first: Side = "server" if name == "server-closes-first" else "client"
        last = [mark for mark in account.marks if mark.side == first][-1]
        assert (last.state, last.witness) == ("TIME_WAIT", "sock_diag"), f"run {run}"
