"""What a server's processes are seen to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from testbed.verify.target import disposition, processor_waits

SPIN = (
    "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(flush=True)\nwhile True: pass"
)


def test_two_that_share_a_processor_wait_for_each_other() -> None:
    """Only one of them runs at a time, so that together they wait at least as long as it takes."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in spinning:
            assert process.stdout is not None and process.stdout.readline()
        pids = [process.pid for process in spinning]
        before, began = processor_waits(pids), time.monotonic()
        time.sleep(0.5)
        took = time.monotonic() - began
        after = processor_waits(pids)
    finally:
        for process in spinning:
            process.kill()
            process.communicate()
    assert set(before) == set(after) == {str(pid) for pid in pids}
    # what the one that waits now has waited is counted when it runs next
    assert sum(after[thread] - before[thread] for thread in after) > took / 3


@pytest.mark.parametrize(
    ("arranged", "said"),
    [
        ("", "default"),
        ("signal.signal(signal.SIGTERM, lambda *_: None)", "handled"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "ignored"),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])", "blocked"),
    ],
)
def test_what_a_process_has_arranged_for_a_signal(arranged: str, said: str) -> None:
    program = f"import signal; {arranged}; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program.replace("; ;", ";")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert disposition(process.pid, signal.SIGTERM) == said
        process.communicate(b"\n")
    assert disposition(process.pid, signal.SIGTERM) is None


def test_a_process_that_is_gone_has_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert processor_waits([process.pid]) == {}
    assert str(os.getpid()) in processor_waits([os.getpid()])
