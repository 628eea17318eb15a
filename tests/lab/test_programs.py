"""Programs of the machine in a lab: started, talked to, and gone afterwards whatever they do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from testbed.errors import CapabilityError, ExperimentError
from testbed.lab import Lab
from testbed.net.private import PrivateNetwork

from ..processes import running

pytestmark = pytest.mark.usefixtures("live")


async def test_one_that_is_absent_is_named_with_its_package(network: PrivateNetwork) -> None:
    with pytest.raises(CapabilityError, match="no-such-program is not installed") as raised:
        async with Lab() as lab:
            await lab.start("no-such-program", package="some-package")
    assert raised.value.remedy == "apt-get install some-package"


async def test_it_is_typed_to_and_read(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        cat = await lab.start("cat", package="coreutils")
        await cat.type("hello\n")
        await cat.until_printed(b"hello")
        with pytest.raises(ExperimentError, match="cat did not print 'goodbye'; it printed 'hello"):
            await cat.until_printed(b"goodbye", timeout=0.05)
        cat.end_of_input()
        assert await cat.ended() == 0
    assert any("types 'hello'" in step.text for step in lab.steps)


async def test_its_file_and_its_tmp_are_its_own(network: PrivateNetwork) -> None:
    script = 'cat "$1" && echo secret >/tmp/testbed-own && ls -A /tmp'
    async with Lab() as lab:
        shell = await lab.start("sh", "-c", script, "sh", "{file}", package="dash", file="its text\n")
        assert await shell.ended() == 0
        assert shell.printed == b"its text\ntestbed-own\n"
    assert not Path("/tmp/testbed-own").exists()


async def test_what_it_started_ends_with_the_lab_even_if_it_ignores_sigterm(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        shell = await lab.start("sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait", package="dash")
        await shell.until_printed(b"\n")
        children = [shell.pid, *(child.pid for child in psutil.Process(shell.pid).children())]
        assert len(children) == 2
        os.kill(shell.pid, signal.SIGKILL)  # its child is an orphan now
    deadline = time.monotonic() + 30
    while any(running(pid) for pid in children):  # one that is being killed may be busy with that
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_one_that_does_not_listen_says_what_it_printed(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        shell = await lab.start("sh", "-c", "echo cannot; exit 3", package="dash", side="server")
        with pytest.raises(ExperimentError, match="sh did not come to listen at 9502; it printed: cannot"):
            await lab.until_listening(shell, 9502)
