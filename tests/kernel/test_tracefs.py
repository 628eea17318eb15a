"""Instances of the kernel's tracing: made, locked, swept, removed; and who may have none."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.errors import CapabilityError
from testbed.kernel import tracefs
from testbed.net import libc
from testbed.net.child import tried_in_child

NOBODY = 65534
NEW_MOUNTS = 0x0002_0000  # CLONE_NEWNS
HOLD = """
import sys
from testbed.kernel import {module}
held = {make}
print(held.path if hasattr(held, "path") else held._instance.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(module: str = "tracefs", make: str = "tracefs.Instance()") -> Iterator[tuple[Path, int]]:
    """A process that holds an instance until it is killed; where that is for us, and its pid."""
    program = HOLD.format(module=module, make=make)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            yield tracefs.root() / "instances" / Path(child.stdout.readline().strip()).name, child.pid
        finally:
            child.kill()


def made_by(pid: int) -> list[Path]:
    return list((tracefs.root() / "instances").glob(f"{tracefs.PREFIX}{pid}-*"))


@pytest.mark.usefixtures("tracing")
def test_an_instance_is_made_locked_and_removed() -> None:
    instance = tracefs.Instance()
    try:
        assert instance.path.is_dir()
        assert f"{tracefs.PREFIX}{os.getpid()}-" in instance.path.name
        instance.write("trace_clock", "mono")
        assert "[mono]" in instance.read("trace_clock")
        other = os.open(instance.path / tracefs.LOCKED, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
    finally:
        instance.remove()
    assert not instance.path.exists()
    instance.remove()


@pytest.mark.usefixtures("tracing")
def test_every_processor_has_a_buffer_and_an_empty_one_does_not_block() -> None:
    instance = tracefs.Instance()
    buffers = list(instance.buffers())
    try:
        assert len(buffers) == len(list((instance.path / "per_cpu").iterdir()))
        for buffer in buffers:
            with pytest.raises(BlockingIOError):
                os.read(buffer, 4096)
    finally:
        for buffer in buffers:
            os.close(buffer)
        instance.remove()


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize(
    ("module", "make"),
    [("tracefs", "tracefs.Instance()"), ("trace_source", "trace_source.TraceSource()")],
    ids=["bare", "with buffers open"],
)
def test_a_living_ones_instance_stays_and_a_killed_ones_is_swept(module: str, make: str) -> None:
    with holder(module, make) as (path, pid):
        tracefs.sweep()
        assert made_by(pid) == [path]
        os.kill(pid, 9)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        tracefs.sweep()
        assert made_by(pid) == []


@pytest.mark.usefixtures("tracing")
def test_what_a_killed_one_listened_to_is_switched_off_and_gone() -> None:
    with holder("trace_source", "trace_source.TraceSource(); held.listen([1])") as (path, pid):
        assert (path / "events/sock/inet_sock_set_state/enable").read_text().strip() in ("1", "1*")
        os.kill(pid, 9)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        tracefs.sweep()
        assert made_by(pid) == []


@pytest.mark.usefixtures("tracing")
def test_somebody_elses_instance_is_left_alone() -> None:
    theirs = tracefs.root() / "instances" / f"not-{tracefs.PREFIX}{os.getpid()}"
    theirs.mkdir()
    try:
        tracefs.sweep()
        assert theirs.is_dir()
    finally:
        theirs.rmdir()


# ---------------------------------------------------------------- mounted, not mounted, not for this user


def mounts(*, tracefs_mounted: bool) -> None:
    """In a child of its own: tracefs mounted in the usual place for it alone, or nowhere."""
    libc.unshare(NEW_MOUNTS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
    for folder in ("/sys/kernel/debug", "/sys/kernel/tracing"):
        while subprocess.run(["umount", "-R", folder], check=False, capture_output=True).returncode == 0:
            pass
    if tracefs_mounted:
        mount = ["mount", "-t", "tracefs", "nodev", "/sys/kernel/tracing"]
        subprocess.run(mount, check=True, capture_output=True)


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize(
    ("mounted", "where"), [(True, r"/sys/kernel/tracing"), (False, r"/proc/self/fd/\d+")]
)
def test_where_tracefs_is(mounted: bool, where: str) -> None:
    def attempt() -> str:
        mounts(tracefs_mounted=mounted)
        tracefs.root.cache_clear()
        instance = tracefs.Instance()
        found = str(tracefs.root())
        assert instance.path.is_dir()
        instance.remove()
        assert not instance.path.exists()
        assert Path("/sys/kernel/tracing/instances").is_dir() == mounted  # nobody else sees our mount
        return found

    outcome = tried_in_child(attempt, timeout=20)
    assert outcome.worked, outcome
    assert re.fullmatch(where, outcome.said)


def test_an_ordinary_user_is_told_to_be_root() -> None:
    """As it is on this machine, whether tracefs is mounted or not."""

    def attempt() -> str:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        tracefs.root.cache_clear()
        try:
            return f"allowed: {tracefs.root()}"
        except CapabilityError as error:
            return f"{error.what}; {error.remedy}"

    outcome = tried_in_child(attempt, timeout=20)
    assert outcome.worked, outcome
    assert re.match(r"tracefs is (reserved to root|not mounted and cannot be \(.*\)); ", outcome.said)
    assert tracefs.REMEDY in outcome.said


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("mounted", [True, False])
def test_an_ordinary_user_is_told_why(mounted: bool) -> None:
    def attempt() -> str:
        mounts(tracefs_mounted=mounted)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        tracefs.root.cache_clear()
        try:
            tracefs.Instance()
        except CapabilityError as error:
            return error.what
        return "allowed"

    outcome = tried_in_child(attempt, timeout=20)
    assert outcome.worked, outcome
    assert outcome.said == "tracefs is reserved to root"


@pytest.mark.usefixtures("tracing")
def test_one_who_was_root_is_told_too() -> None:
    """Where tracefs is was found before root's rights were given up."""

    def attempt() -> str:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        told = []
        for needs in (tracefs.sweep, tracefs.Instance):
            with pytest.raises(CapabilityError) as error:
                needs()
            told.append(error.value.remedy)
        return " ".join(told)

    outcome = tried_in_child(attempt, timeout=20)
    assert outcome.worked, outcome
    assert outcome.said == f"{tracefs.REMEDY} {tracefs.REMEDY}"
