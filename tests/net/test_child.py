import os
import signal
import time
from pathlib import Path

from testbed.errors import CapabilityError, UsageError
from testbed.net.child import Outcome, tried_in_child


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
