"""Completion as a shell has it: the printed script, sourced, asked behind real words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.cli import COMMANDS
from testbed.findings import RULES
from testbed.scenarios import catalogue
from testbed.servers.endings import ENDINGS
from testbed.stepper.session import why_not
from testbed.verify.checks import CHECKS
from testbed.verify.profiles import PROFILES

ASK = """
complete -p testbed >/dev/null 2>&1 && exit 9
eval "$(testbed completion bash)"
read -r -a COMP_WORDS <<<"$1"
[[ $1 == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { printf 'compopt %s %s\\n' "$@"; }
_testbed_completion testbed "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def asked(typed: str) -> list[str]:
    """What bash would offer behind these words."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", typed],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def beginning(word: str, names: object) -> list[str]:
    assert isinstance(names, list)
    found = [name for name in names if name.startswith(word)]
    assert found, "nothing begins so: the test would prove nothing"
    return found


SCENARIOS = list(catalogue())
STEPPED = [row.name for row in catalogue().values() if not why_not(row)]
CODES = [rule.code for rule in RULES]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("testbed ", list(COMMANDS)),
        ("testbed ex", ["explain", "exec"]),
        ("testbed run mis", beginning("mis", SCENARIOS)),
        (
            "testbed run handshake hands",
            [name for name in beginning("hands", SCENARIOS) if name != "handshake"],
        ),
        ("testbed step si", beginning("si", STEPPED)),
        ("testbed explain --code mis", beginning("mis", CODES)),
        ("testbed explain --finding not-", beginning("not-", CODES)),
        ("testbed verify --check stop-", beginning("stop-", list(CHECKS))),
        ("testbed verify --check stop-idle --profile n", beginning("n", list(PROFILES))),
        ("testbed serve rpc --ending ", list(ENDINGS)),
        ("testbed serve r", ["rpc"]),
        ("testbed run --cov", ["--coverage", "--coverage-svg"]),
        ("testbed completion ", ["bash", "zsh", "fish"]),
        ("testbed explain inci", ["compopt -o default", ""]),
        ("testbed verify -- ./ser", ["compopt -o default", ""]),
    ],
)
def test_bash_offers(typed: str, offered: list[str]) -> None:
    assert sorted(asked(typed)) == sorted(offered or [""])


def test_what_cannot_be_stepped_through_is_not_offered() -> None:
    """But it can be run."""
    name = next(row.name for row in catalogue().values() if why_not(row))
    assert name not in asked(f"testbed step {name}")
    assert name in asked(f"testbed run {name}")


@pytest.mark.parametrize(("shell", "check"), [("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_other_shells_take_their_script(shell: str, check: list[str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    printed = subprocess.run(
        [sys.executable, "-m", "testbed", "completion", shell], capture_output=True, text=True, timeout=60
    )
    script = tmp_path / "script"
    script.write_text(printed.stdout)
    done = subprocess.run([shell, *check, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("zsh", {"COMP_WORDS": "testbed run mis", "COMP_CWORD": "2"}),
        ("fish", {"COMP_WORDS": "testbed run mis", "COMP_CWORD": "mis"}),
    ],
)
def test_they_are_told_what_a_name_means(shell: str, words: dict[str, str]) -> None:
    """What those scripts ask for, asked for without the shell."""
    done = subprocess.run(
        ["testbed"],
        env=environment() | words | {"_TESTBED_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    for name in beginning("mis", SCENARIOS):
        assert name in done.stdout and catalogue()[name].title in done.stdout
