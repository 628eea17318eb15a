"""Every command's help has examples, and each of them is a command line that is taken."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from testbed.cli import COMMANDS, _testbed
from testbed.cli.completion_command import SHELLS
from testbed.findings import RULES
from testbed.scenarios import find
from testbed.servers.command import add_options
from testbed.servers.echo import EchoServer
from testbed.servers.http import HttpServer
from testbed.servers.listener import Server
from testbed.servers.rpc import RpcServer
from testbed.verify.checks import find_check

from .test_commands import testbed

FILES = ("ping",)
"""What examples name as theirs and a command line wants to find."""


def help_of(*command: str) -> str:
    context = click.Context(_testbed, info_name="testbed")
    if not command:
        return _testbed.get_help(context)
    found = _testbed.get_command(context, command[0])
    assert found is not None
    return found.get_help(click.Context(found, parent=context, info_name=command[0]))


def examples(text: str) -> Iterator[str]:
    """The command lines in a help: `testbed` alone, behind a pipe, or within $( )."""
    for line in text.splitlines():
        command = line.strip().partition("  ")[0]  # what stands behind two blanks tells what it does
        if line.startswith("  ") and re.match(r"(\w+ .*\| |eval \"\$\()?testbed [a-z]", command):
            yield command


EXAMPLES = [(name, line) for name in COMMANDS for line in examples(help_of(name))]
OWN = [("testbed", line) for line in examples(help_of()) if "COMMAND" not in line]


def words_of(line: str) -> list[str]:
    """The arguments of `testbed` in it."""
    if inside := re.search(r"\$\((testbed .*?)\)", line):
        line = inside[1]
    line = re.sub(r"\$\(.*?\)", "1", line).rpartition(" | ")[2] if " | testbed" in line else line
    line = re.sub(r"\$\(.*?\)", "1", line).partition(" > ")[0].partition(" | ")[0]
    program, *words = shlex.split(line)
    assert program == "testbed"
    return words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_of_its_own(name: str) -> None:
    assert [line for command, line in EXAMPLES if command == name and f"testbed {name}" in line]


@pytest.mark.parametrize(("name", "line"), [*EXAMPLES, *OWN], ids=lambda value: value)
def test_an_example_is_taken(name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed, and each name in it looked up; what the commands do is the other tests'."""
    monkeypatch.chdir(tmp_path)
    for file in FILES:
        (tmp_path / file).touch()
    first, *words = words_of(line)
    command = _testbed.get_command(click.Context(_testbed), first)
    assert command is not None
    if words == ["--help"]:
        return
    taken = command.make_context(first, words).params
    scenarios = taken.get("names", ()) if first == "run" else [taken["name"]] if first == "step" else []
    assert [find(scenario).name for scenario in scenarios] == list(scenarios)
    if first == "verify":
        assert [find_check(check).id for check in taken["names"]] == list(taken["names"])
    for code in filter(None, (taken.get("code"), taken.get("code_wanted"))):
        assert code in {rule.code for rule in RULES}
    if first == "serve" and "--help" not in taken["options"]:
        served(taken["protocol"], taken["options"])


def served(protocol: str, options: tuple[str, ...]) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    servers: dict[str, type[Server]] = {"echo": EchoServer, "rpc": RpcServer, "http": HttpServer}
    add_options(parser, servers[protocol])
    parser.parse_args(options)


def test_what_is_no_example_is_not_taken_for_one() -> None:
    assert list(examples("  testbed run NAME\nUsage: testbed run\n  a | testbed explain -\n")) == [
        "testbed run NAME",
        "a | testbed explain -",
    ]
    assert words_of('eval "$(testbed completion bash)"') == ["completion", "bash"]
    assert words_of("testbed watch --netns $(docker inspect web) > a.jsonl") == ["watch", "--netns", "1"]


def test_doctor_in_words(without_tcpdump: list[str]) -> None:
    """Each no has what is missing without it, and what to do about it; a last line says what it comes to."""
    command = [*without_tcpdump, sys.executable, "-m", "testbed", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said, without, remedy = told_of("capture", done.stdout)
    assert said == "tcpdump is not installed"
    assert without == "without it: no live command works but watch and serve"
    assert remedy == "remedy: install it: apt-get install tcpdump"
    last = done.stdout.splitlines()[-1]
    assert last.startswith("explain reads captures here. For run, verify, exec and the pytest fixture see to")
    assert "capture" in last


def test_doctor_for_who_may_nothing() -> None:
    """Nobody, without a single privilege and without a user namespace: every no has its two lines."""
    nobody = ["unshare", "--user", "setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    command = [*nobody, sys.executable, "-m", "testbed", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if not done.stdout:
        pytest.skip(f"nobody's place cannot be had here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    for name in ("netns", "capture", "hosts", "tracefs"):
        said, without, remedy = told_of(name, done.stdout)
        assert said and without.startswith("without it: ") and remedy.startswith("remedy: ")
    assert "netns and capture" in done.stdout.splitlines()[-1]


def told_of(name: str, printed: str) -> list[str]:
    """Of a capability that is not there: what was found, what is missing without, the remedy."""
    lines = printed.splitlines()
    at = next(n for n, line in enumerate(lines) if re.match(rf"no   {name} ", line))
    return [lines[at][4:].split(maxsplit=1)[1], *(line.strip() for line in lines[at + 1 : at + 3])]


def test_every_shell_has_its_script() -> None:
    for shell in SHELLS:
        done = testbed("completion", shell)
        assert done.returncode == 0 and "_TESTBED_COMPLETE" in done.stdout
