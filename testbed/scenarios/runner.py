"""Many scenarios side by side, each in a process and a private network of its own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

from ..errors import CapabilityError
from ..kernel import trace_source
from ..lab.nursery import Nursery
from ..net import sysctl
from ..net.private import enter_private_network
from .play import play
from .result import RunResult
from .scenario import find

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
    waiting = sorted(names, key=lambda name: -find(name).seconds)
    running: dict[Pipe, tuple[str, float]] = {}
    brief_at_once = os.cpu_count() or 1

    def room() -> bool:
        brief = sum(find(name).seconds < LONG for name, _ in running.values())
        if net == "host":
            return not running
        return find(waiting[0]).seconds >= LONG or brief < brief_at_once

    with Nursery(__name__) as nursery:
        while waiting or running:
            while waiting and room():
                name = waiting.pop(0)
                running[nursery.start(_work, name, net, out)] = name, time.monotonic()
            for pipe in wait(list(running)):
                assert isinstance(pipe, Pipe)
                name, began = running[pipe]
                try:
                    kind, value = pipe.recv()
                except EOFError:
                    kind = "result"
                    seconds = time.monotonic() - began
                    value = RunResult(name, seconds, problem="its process was ended from outside", seen=False)
                if kind == "step":
                    if report is not None:
                        report(name, value)
                    continue
                del running[pipe]
                pipe.close()
                yield value


def _work(name: str, net: Network, out: Path | None, pipe: Pipe) -> None:
    """In the worker: a network of its own, then the scenario."""
    scenario = find(name)
    began = time.monotonic()
    try:
        if net == "private":
            enter_private_network(mtu=scenario.mtu)
            for key, value in scenario.sysctls.items():
                sysctl.set(key, value)
        elif scenario.sysctls:
            raise CapabilityError("it changes settings of the kernel's TCP", "run it in a private network")
        result = asyncio.run(play(scenario, out=out, progress=lambda text: pipe.send(("step", text))))
    except CapabilityError as error:
        result = RunResult(name, time.monotonic() - began, problem=error.what, remedy=error.remedy)
    finally:
        trace_source.release()  # a worker ends without exit handlers
    pipe.send(("result", result))
