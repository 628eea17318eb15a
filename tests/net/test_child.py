import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from testbed.errors import CapabilityError, UsageError
from testbed.net.child import Outcome, end_without_waiting, tried_in_child


def test_what_it_returned_comes_back() -> None:
    parent = os.getpid()
    outcome = tried_in_child(lambda: f"{os.getppid()}")
    assert outcome == Outcome(True, str(parent))


def test_a_missing_capability_keeps_its_remedy() -> None:
    def fail() -> str:
        raise CapabilityError("no", "do this")

    assert tried_in_child(fail) == Outcome(False, "no", "do this")


def test_any_error_is_an_outcome() -> None:
    def fail() -> str:
        raise UsageError("what?")

    assert tried_in_child(fail) == Outcome(False, "UsageError: what?")


def test_one_that_is_killed_is_an_outcome() -> None:
    def end() -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "still there"

    assert not tried_in_child(end).worked


def test_one_that_does_not_end_is_ended() -> None:
    def stall() -> str:
        time.sleep(60)
        return "slept"

    begun = time.monotonic()
    outcome = tried_in_child(stall, timeout=0.2)
    assert not outcome.worked
    assert "0.2 s" in outcome.said
    assert time.monotonic() - begun < 30


def test_no_child_and_no_descriptor_is_left() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    tried_in_child(lambda: "x")
    assert set(Path("/proc/self/fd").iterdir()) == before


async def test_one_that_is_not_waited_for_is_reaped_by_the_loop() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    end_without_waiting(process)
    async with asyncio.timeout(30):
        while Path(f"/proc/{process.pid}").exists():  # a zombie would be there
            await asyncio.sleep(0.01)
    assert process.returncode == -signal.SIGKILL


def test_or_at_the_end_of_the_process() -> None:
    code = """if 1:
        import subprocess, sys
        from testbed.net.child import end_without_waiting
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        end_without_waiting(process)
        print(process.pid)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not Path(f"/proc/{int(done.stdout)}").exists()
