"""Each expectation can fail: held against a server that behaves otherwise, it does, and says how."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from testbed.errors import ExperimentError
from testbed.lab import Verdict
from testbed.lab.judgement import worst
from testbed.net.private import PrivateNetwork
from testbed.scenarios import find
from testbed.scenarios.play import JudgedLab, judge_experiment

TWINS = {
    # scenario: (the ending its server has instead, what the failure must tell)
    "handshake": ("linger-zero", "+ < R. 1:1(0) ack 2"),
    "echo-exchange": ("never", "- < F. 19:19(0) ack 9"),
    "rpc-call": ("linger-zero", "+ < R. 255:255(0) ack 106"),
    "three-segment-close": ("slow", "it took 4"),
    "four-way-close": ("never", "was not seen in TIME_WAIT"),
    "half-close": ("polite", "+ < P. 1:19(18) ack 8"),
    "linger-zero": ("polite", "was told 'EOF', not 'ECONNRESET'"),
}


class OtherServerLab(JudgedLab):
    """A lab whose server ends its connections otherwise than the scenario asks for."""

    instead = ""

    async def serve(self, kind: str = "echo", **options: Any) -> tuple[str, int]:
        options.pop("delay", None)
        return await super().serve(kind, **{**options, "ending": self.instead, "port": 0})

    async def see(self, *arguments: Any, **options: Any) -> Any:
        return await super().see(*arguments, **{**options, "timeout": 0.5})

    async def see_gone(self, *arguments: Any, **options: Any) -> None:
        await super().see_gone(*arguments, **{**options, "timeout": 0.5})

    async def until_server(self, *arguments: Any, **options: Any) -> None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", TWINS)
async def test_fails_against_another_server(name: str, live: None, network: PrivateNetwork) -> None:
    scenario = find(name)
    instead, told = TWINS[name]
    lab = OtherServerLab()
    lab.instead = instead
    broke_off = ""
    try:
        async with lab:
            await scenario.play(lab)
    except ExperimentError as error:
        broke_off = str(error)
    checks = judge_experiment(scenario, lab.experiment, lab.checks)
    assert worst(checks) is Verdict.FAIL
    assert told in "\n".join([broke_off, *(check.detail for check in checks)])
