"""The recipes of ci/recipes: their shell steps are taken out and run, each as whom it is written for.

What is installed here already is not installed again (apt-get, pip), and this machine's settings stay what
they are (sysctl): these three are replaced, and `sudo` is left out where root runs the step.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from .cli.ordinary_user import NOBODY, ordinary_python
from .conftest import ROOT

RECIPES = ROOT / "ci" / "recipes"
SITE = Path(pytest.__file__).parents[1]
DOCKERS = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot"
"""Docker's default capabilities, but for three that nothing here could use (moby, oci/caps/defaults.go)."""

TEST = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)[0]
INTEGRATION = """
import socket

def test_a_call():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        client.close()
        assert accepted.recv(1) == b""
        accepted.close()
"""
SERVER = "from testbed.servers.http import main\nraise SystemExit(main())\n"
REPLACED = {"apt-get": "exit 0", "pip": "exit 0", "sysctl": "exit 0", "sudo": 'exec "$@"'}
SHORTER = ("testbed verify ", "testbed verify --check close-back --check rebind ")
"""Of the checks two: tests/verify has all of them."""


class Job(NamedTuple):
    """The steps of a job, and before each the words that make this machine the one it is written for."""

    steps: tuple[str, ...]
    as_user: tuple[str, ...]


def shell(document: Any) -> tuple[str, ...]:
    return tuple(step["run"] for step in document["steps"] if "run" in step)


def capabilities(*, user: bool, keep: str) -> tuple[str, ...]:
    who = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if user else ()
    bounds = "".join(f",+{name}" for name in keep.split(",")) if keep else ""
    return ("setpriv", *who, "--inh-caps=-all", f"--bounding-set=-all{bounds}")


def container(*more: str) -> tuple[str, ...]:
    """A network with a loopback, and root with these capabilities and no more."""
    mine = capabilities(user=False, keep=",".join((DOCKERS, *more)))
    return ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *mine)


def jobs() -> dict[str, Job]:
    github = yaml.safe_load((RECIPES / "github.yml").read_text())["jobs"]
    gitlab = yaml.safe_load((RECIPES / "gitlab.yml").read_text())["connections"]
    (command,) = re.findall(r"^CMD (\[.*\])$", (RECIPES / "Dockerfile").read_text(), re.MULTILINE)
    words = " ".join(yaml.safe_load(command))
    added = re.findall(r"--cap-add (\w+)", (RECIPES / "Dockerfile").read_text())
    options = re.findall(r"--cap-add (\w+)", github["container"]["container"]["options"])
    return {
        "GitHub, namespaces": Job(shell(github["namespaces"]), capabilities(user=True, keep="")),
        "GitHub, setcap": Job(shell(github["setcap"]), capabilities(user=True, keep="net_raw,net_admin")),
        "GitHub, container": Job(shell(github["container"]), container(*map(str.lower, options))),
        "GitLab": Job((*gitlab["before_script"], *gitlab["script"]), container()),
        "Docker": Job((words,), container(*map(str.lower, added))),
    }


JOBS = jobs()


@pytest.fixture
def place(live: None) -> Iterator[Path]:
    """A folder that an ordinary user may enter, with a project and with the programs that a runner has."""
    if os.geteuid() != 0:
        pytest.skip("being somebody with other privileges takes root")
    python = ordinary_python()
    home = Path(tempfile.mkdtemp())
    try:
        project, programs = home / "project", home / "bin"
        for folder in (project, project / "tests", project / "integration", programs):
            folder.mkdir()
        (project / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\ntestpaths = tests\n")
        (project / "tests" / "test_goodbye.py").write_text(TEST)
        (project / "integration" / "test_call.py").write_text(INTEGRATION)
        (project / "server.py").write_text(SERVER)
        tcpdump = shutil.which("tcpdump", path=f"{os.environ['PATH']}:/usr/sbin")
        assert tcpdump is not None
        shutil.copy(tcpdump, programs)  # a copy: its capabilities are set
        runs = {
            "python": f'exec {python} "$@"',
            "testbed": f'exec {python} -m testbed "$@"',
            "pytest": f'exec {python} -m pytest -p no:cacheprovider "$@"',
            **REPLACED,
        }
        for name, text in runs.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        for path in (home, *home.rglob("*")):
            path.chmod(0o755)
            if path.is_relative_to(project):
                os.chown(path, NOBODY, NOBODY)
        yield home
    finally:
        shutil.rmtree(home)


def step(text: str, job: Job, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one, as root where it says sudo."""
    return subprocess.run(
        [*(() if "sudo" in text else job.as_user), "bash", "-e", "-c", text.replace(*SHORTER)],
        cwd=home / "project",
        env={
            "PATH": f"{home / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": f"{SITE}:{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home / "project"),
            "GITHUB_STEP_SUMMARY": str(home / "project" / "summary.md"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", JOBS)
def test_a_job_passes_and_captures(name: str, place: Path) -> None:
    if name.startswith(("GitHub, container", "GitLab", "Docker")):
        os.chown(place / "project", 0, 0)
    for text in JOBS[name].steps:
        done = step(text, JOBS[name], place)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        if "pytest --tcp" in text:
            assert "1 passed" in done.stdout
            assert "tcp: tcpdump" in done.stdout
    summary = place / "project" / "summary.md"
    assert summary.exists() is any("GITHUB_STEP_SUMMARY" in text for text in JOBS[name].steps)
    if summary.exists():
        assert summary.read_text().startswith("### `testbed ")


def test_without_what_its_first_steps_do_a_job_fails(place: Path) -> None:
    """--tcp-require: no suite that was skipped looks green."""
    job = JOBS["GitHub, setcap"]
    done = step(job.steps[-1], job, place)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--tcp-require: capture: " in done.stderr and "setcap" in done.stderr


def test_every_job_says_what_it_requires() -> None:
    for name, job in JOBS.items():
        assert any("--tcp-require=capture" in text for text in job.steps), name


def test_the_page_names_every_recipe() -> None:
    page = (RECIPES / "README.md").read_text()
    assert {path.name for path in RECIPES.iterdir()} - {"README.md"} == set(re.findall(r"\]\((\S+?)\)", page))
