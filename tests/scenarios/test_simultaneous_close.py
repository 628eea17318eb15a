"""CLOSING on both ends, every time: the fault is exact, so nothing is left to luck.

``TESTBED_RUNS=500`` asks for more runs than the suite has time for.
"""

from __future__ import annotations

import os

import pytest

from testbed.lab import Verdict
from testbed.net.private import PrivateNetwork
from testbed.scenarios import find
from testbed.scenarios.play import play

RUNS = int(os.environ.get("TESTBED_RUNS", "50"))


@pytest.mark.timeout(60 + 2 * RUNS)
async def test_closing_is_seen_every_time(live: None, network: PrivateNetwork) -> None:
    scenario = find("simultaneous-close")
    closing = 0
    for _ in range(RUNS):
        result = await play(scenario)
        assert result.verdict is Verdict.PASS, f"{result.why}\n" + "\n".join(result.transcript)
        ends = {
            row["endpoint"] for row in result.states if row["state"] == "CLOSING" and row["witness"] != "wire"
        }
        closing += ends == {"client", "server"}
    assert closing == RUNS, f"the kernels showed CLOSING at both ends in {closing} of {RUNS} runs"
