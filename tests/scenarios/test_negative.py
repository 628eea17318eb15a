"""Each expectation can fail: where a server or a network behaves otherwise it does, and says how."""

from __future__ import annotations

import pytest

from testbed.errors import Error
from testbed.lab import Verdict
from testbed.lab.judgement import worst
from testbed.net import sysctl
from testbed.net.private import PrivateNetwork
from testbed.scenarios import catalogue, find
from testbed.scenarios.play import judge_experiment, lab_of

from .twins import TWINS, Twin


def test_every_scenario_has_a_twin() -> None:
    assert {twin.scenario for twin in TWINS} == set(catalogue())


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.scenario)
async def test_fails_where_it_is_otherwise(
    twin: Twin, live: None, network: PrivateNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = find(twin.scenario)
    for (kind, method), other in twin.instead.items():
        monkeypatch.setattr(kind, method, other)
    for name, value in {**scenario.sysctls, **twin.sysctls}.items() if not scenario.hosts else ():
        sysctl.set(name, value)
    lab = lab_of(scenario, kind=twin.lab)
    broke_off = ""
    try:
        async with lab:
            await scenario.play(lab)
    except Error as error:
        broke_off = str(error)
    checks = judge_experiment(scenario, lab.experiment, lab.checks)
    said = "\n".join([broke_off, *(check.detail for check in checks)])
    print(said)
    assert broke_off or worst(checks) is Verdict.FAIL
    assert twin.told in said
