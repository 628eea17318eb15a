"""Many connections: each server and ending gives each its verdict, and one that is otherwise is found."""

from __future__ import annotations

import json
import socket
from collections import Counter
from typing import Any

import pytest

from testbed.errors import UsageError
from testbed.lab import Verdict
from testbed.lab.crowd import Crowd
from testbed.net.private import PrivateNetwork
from testbed.scenarios import Load, find, run, with_load
from testbed.scenarios.each import in_all, judge_each
from testbed.scenarios.load.many_connections import COURSES, MOST, TALKS
from testbed.scenarios.play import JudgedLab, judge_experiment, lab_of
from tests.cli.test_commands import one_line
from tests.cli.test_commands import testbed as command

MANY = 60
NAME = "many-connections"


@pytest.mark.parametrize("server", TALKS)
@pytest.mark.parametrize("ending", COURSES)
def test_every_server_and_ending(server: str, ending: str, live: None) -> None:
    (result,) = run([NAME], load=Load(MANY, server, ending))
    assert result.verdict is Verdict.PASS, "\n".join([result.why, *(c.detail for c in result.checks)])
    assert Counter(one.verdict for one in result.judged) == {Verdict.PASS: MANY}
    assert result.dropped == 0 and result.captured == result.counted
    assert max(sum(count.servers.values()) for count in result.census) == MANY
    document = result.to_json()
    assert document["connections"] == {"verdicts": {"pass": MANY}, "others": []}
    assert json.loads(json.dumps(document["census"]))[-1].keys() == {"time_ns", "client", "server"}


async def played(lab: JudgedLab, load: Load) -> JudgedLab:
    scenario = with_load(find(NAME), load)
    async with lab:
        await scenario.play(lab)
    return lab


class OneResets(JudgedLab):
    """Of its clients the seventh ends with an RST."""

    async def see_many(self, *arguments: Any, **options: Any) -> int:
        return await super().see_many(*arguments, **{**options, "timeout": 0.5})

    def crowd(self, *, timeout: float = 60.0) -> Crowd:
        crowd = super().crowd(timeout=timeout)
        ends = crowd.half_close_and_read

        async def otherwise() -> Counter[str]:
            seventh = crowd.members[6]
            seventh.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.odd = seventh.socket.getsockname()[1]
            seventh.socket.close()
            del crowd.members[6]
            return await ends()

        crowd.half_close_and_read = otherwise  # type: ignore[method-assign]
        return crowd


async def test_one_of_many_is_found_and_told(live: None, network: PrivateNetwork) -> None:
    load = Load(MANY)
    scenario = with_load(find(NAME), load)
    lab = lab_of(scenario, kind=OneResets)
    assert isinstance(lab, OneResets)
    await played(lab, load)
    judged = judge_each(scenario, lab.experiment)
    (other,) = [one for one in judged if one.verdict is not Verdict.PASS]
    assert other.verdict is Verdict.FAIL
    assert other.client == f"127.0.0.1:{lab.odd}"
    assert "+ > R" in other.why
    told = in_all(judged)
    assert told.verdict is Verdict.FAIL and f"{MANY - 1} of {MANY}" in told.statement
    assert f"127.0.0.1:{lab.odd}: not so that" in told.detail
    assert told in judge_experiment(scenario, lab.experiment, lab.checks)


async def test_without_a_packet_no_verdict_is_a_pass(live: None, network: PrivateNetwork) -> None:
    load = Load(3)
    scenario = with_load(find(NAME), load)
    lab = await played(lab_of(scenario), load)
    recording = lab.experiment.recording
    object.__setattr__(recording, "complete", False)
    object.__setattr__(recording, "dropped", 1)
    assert [one.verdict for one in judge_each(scenario, lab.experiment)] == [Verdict.INCONCLUSIVE] * 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([NAME, "--connections", str(MOST + 1)], ("28,000",)),
        ([NAME, "--connections", "0"], ("--connections", "0")),
        ([NAME, "--ending", "rude"], ("no ending 'rude'", "polite, never")),
        ([NAME, "--server", "gopher"], ("--server", "gopher")),
        (["time-wait", "--connections", "5"], (f"for {NAME} alone",)),
        (["--all", "--ending", "never"], (f"for {NAME} alone",)),
    ],
)
def test_numbers_it_cannot_have(arguments: list[str], words: tuple[str, ...]) -> None:
    done = command("run", *arguments)
    assert done.returncode == 2
    one_line(done, *words)


def test_other_scenarios_have_no_numbers() -> None:
    with pytest.raises(UsageError, match="no numbers to choose"):
        with_load(find("time-wait"), Load(5))
    assert with_load(find("time-wait"), None) is find("time-wait")


def test_as_it_is_typed(live: None) -> None:
    done = command("run", NAME, "--connections", "50", "--ending", "never")
    assert done.returncode == 0, done.stdout
    assert "clients: 50 FIN_WAIT_2   server: 50 CLOSE_WAIT" in done.stdout
    assert "(1 of 50)" in done.stdout and "and 49 more connections" in done.stdout
    assert "50 of 50" in done.stdout
