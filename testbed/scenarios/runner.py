"""Many scenarios side by side, each in a process and a private network of its own.

The processes are forked from a server process that has everything imported (multiprocessing's
forkserver), so that each starts in milliseconds and single-threaded, as a user namespace wants.
Each watches for the end of the process that asked for it, and ends with it; the server process ends
with the last of them.  So a killed run leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from ..errors import CapabilityError
from ..kernel import trace_source
from ..net import sysctl
from ..net.libc import die_with_parent
from ..net.private import enter_private_network
from .play import play
from .result import RunResult
from .scenario import Scenario, find

Network = Literal["private", "host"]
LONG = 5.0
"""Seconds from which a scenario is one that waits."""
Report = Callable[[str, str], None]
"""Called with a scenario's name and the step it is at."""


def run(
    names: Sequence[str],
    *,
    net: Network = "private",
    out: Path | None = None,
    report: Report | None = None,
) -> Iterator[RunResult]:
    """Run scenarios, yielding each result as it comes.

    Those that wait for the kernel's timers run all at once, as they cost nothing; the brief ones
    as many at a time as there are processors, so that none waits for its turn in the middle of a
    close and finds the delayed ACK's 40 ms gone.  In the host's network one after the other.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["testbed.scenarios.runner"])
    waiting = sorted(names, key=lambda name: -find(name).seconds)
    running: dict[Pipe, tuple[str, BaseProcess, float]] = {}
    brief_at_once = os.cpu_count() or 1

    def room() -> bool:
        brief = sum(find(name).seconds < LONG for name, _, _ in running.values())
        if net == "host":
            return not running
        return find(waiting[0]).seconds >= LONG or brief < brief_at_once

    try:
        while waiting or running:
            while waiting and room():
                name = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(name, net, out, theirs), daemon=True)
                process.start()
                theirs.close()
                running[ours] = (name, process, time.monotonic())
            for pipe in wait(list(running)):
                assert isinstance(pipe, Pipe)
                name, worker, began = running[pipe]
                try:
                    kind, value = pipe.recv()
                except EOFError:
                    worker.join(5)
                    kind = "result"
                    value = RunResult(
                        name,
                        time.monotonic() - began,
                        problem=f"its process ended with status {worker.exitcode}",
                        seen=False,
                    )
                if kind == "step":
                    if report is not None:
                        report(name, value)
                    continue
                del running[pipe]
                pipe.close()
                worker.join(10)
                yield value
    finally:
        for pipe, (_, worker, _) in running.items():
            worker.terminate()
            worker.join(3)
            if worker.is_alive():
                worker.kill()
            pipe.close()


def _work(name: str, net: Network, out: Path | None, pipe: Pipe) -> None:
    """In the worker: a network of its own, then the scenario."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    scenario = find(name)
    began = time.monotonic()
    try:
        if net == "private":
            enter_private_network(mtu=scenario.mtu)
            for key, value in scenario.sysctls.items() if not scenario.hosts else ():
                sysctl.set(key, value)
        elif scenario.hosts:
            raise CapabilityError("it is played between two hosts", "run it without --net host")
        elif scenario.sysctls:
            raise CapabilityError("it changes settings of the kernel's TCP", "run it in a private network")
        result = asyncio.run(_play_while_wanted(scenario, out, pipe))
    except CapabilityError as error:
        result = RunResult(name, time.monotonic() - began, problem=error.what, remedy=error.remedy)
    finally:
        trace_source.release()  # multiprocessing runs nobody's atexit
    pipe.send(("result", result))
    pipe.close()


async def _play_while_wanted(scenario: Scenario, out: Path | None, pipe: Pipe) -> RunResult:
    """Play, and be gone with the process that asked for it, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    asyncio.get_running_loop().add_reader(parent.sentinel, os._exit, 1)
    return await play(scenario, out=out, progress=lambda text: pipe.send(("step", text)))
