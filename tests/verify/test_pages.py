"""What a page of a check says of it: the command to run it again, the figures in words."""

from __future__ import annotations

import shlex
import signal

import pytest

from testbed.cli.verify_command import command
from testbed.verify.checks import find_check
from testbed.verify.pages import again, in_words
from testbed.verify.plan import Plan
from testbed.verify.profiles import PROFILES

GENERIC = PROFILES["generic"]
USUAL = Plan(("./server", "--port", "{port}"), GENERIC, stop=GENERIC.stop, grace=GENERIC.grace)


def plan(**options: object) -> Plan:
    fields = {name: getattr(USUAL, name) for name in Plan.__dataclass_fields__}
    return Plan(**{**fields, **options})


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (USUAL, "testbed verify -- ./server --port '{port}'"),
        (
            plan(port=9000, slow_path="/slow"),
            "testbed verify --slow-path /slow --port 9000 -- ./server --port '{port}'",
        ),
        (
            plan(stop=signal.SIGINT, grace=3.5, idle=2.0, tls=True),
            "testbed verify --idle 2 --signal SIGINT --grace 3.5 --tls -- ./server --port '{port}'",
        ),
        (plan(command=(), connect="[::1]:80"), "testbed verify --connect '[::1]:80'"),
        (plan(command=("nginx",)), "testbed verify --profile generic -- nginx"),
        (plan(request=b"PING"), ""),
    ],
)
def test_it_says_what_was_chosen(made: Plan, told: str) -> None:
    assert again(made) == told


def test_the_command_takes_it() -> None:
    words = shlex.split(again(plan(stop=signal.SIGINT, grace=3.5, tls=True), find_check("stop-idle")))[2:]
    parsed = command.make_context("verify", words).params
    assert (parsed["names"], parsed["stop"], parsed["grace"]) == (("stop-idle",), "SIGINT", 3.5)
    assert parsed["argv"] == ("./server", "--port", "{port}")


@pytest.mark.parametrize(
    ("name", "figure", "told"),
    [
        ("exit_seconds", 0.037938, "exit: 38 ms"),
        ("fresh_seconds", None, "fresh: none"),
        ("port_free", True, "port free: yes"),
        ("exit_status", "exit status 0", "exit status 0"),
        ("one_in_flight_exit_status", "exit status 0", "one in flight: exit status 0"),
        ("exit_status", "by SIGKILL", "exit status: by SIGKILL"),
        ("connections_ended", 2, "connections ended: 2"),
        ("grown", {"ask and close": 10, "half-close": 0}, "grown: ask and close 10, half-close 0"),
    ],
)
def test_a_figure_in_words(name: str, figure: object, told: str) -> None:
    assert in_words(name, figure) == told
