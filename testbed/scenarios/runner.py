"""Many scenarios side by side, each in a process and a private network of its own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from ..errors import CapabilityError
from ..kernel import trace_source
from ..net import sysctl
from ..net.private import enter_private_network
from ..net.workers import Crew, Job, Tell
from .play import play
from .result import RunResult
from .scenario import Load, find, with_load

Network = Literal["private", "host"]
Report = Callable[[str, str], None]
"""Called with a scenario's name and the step it is at."""


def run(
    names: Sequence[str],
    *,
    net: Network = "private",
    out: Path | None = None,
    report: Report | None = None,
    load: Load | None = None,
) -> Iterator[RunResult]:
    """Run scenarios, yielding each result as it comes; in the host's network one after the other.

    load  other numbers, for scenarios that can have them (`Scenario.sized`)
    """
    alone = net == "host"
    crew = Crew(preload=__name__)
    for turn, name in enumerate(names):
        seconds = with_load(find(name), load).seconds
        crew.add(Job(name, _work, (name, net, out, load, turn), seconds, alone=alone))
    for job, kind, value, seconds in crew:
        if kind == "step":
            if report is not None:
                report(job.name, value)
        elif kind == "result":
            yield value
        else:
            yield RunResult(job.name, seconds, problem="its process was ended from outside", seen=False)


def _work(name: str, net: Network, out: Path | None, load: Load | None, turn: int, tell: Tell) -> RunResult:
    """In the worker: a network of its own, then the scenario."""
    scenario = with_load(find(name), load)
    began = time.monotonic()
    try:
        if not scenario.each:
            _stay_on_one_processor(turn)
        if net == "private":
            enter_private_network(mtu=scenario.mtu)
            for key, value in scenario.sysctls.items() if not scenario.hosts else ():
                sysctl.set(key, value)
        elif scenario.hosts:
            raise CapabilityError("it is played between two hosts", "run it without --net host")
        elif scenario.sysctls:
            raise CapabilityError("it changes settings of the kernel's TCP", "run it in a private network")
        with asyncio.Runner(loop_factory=_fast_loop() if scenario.each else None) as runner:
            return runner.run(play(scenario, out=out, progress=tell))
    except CapabilityError as error:
        return RunResult(name, time.monotonic() - began, problem=error.what, remedy=error.remedy)
    finally:
        trace_source.release()  # a worker ends without exit handlers


def _stay_on_one_processor(turn: int) -> None:
    """This process and those that it starts; `turn` decides which.

    Every processor has a queue of its own for the loopback's packets (net/core/dev.c, softnet_data), so a
    delayed ACK that a timer sends on one may arrive behind the FIN that was sent after it on another, and be
    answered with a RST once the connection is over: true, rare, and not what a scenario is about.
    """
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[turn % len(allowed)]})


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return loop
