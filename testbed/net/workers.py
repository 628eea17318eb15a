"""Jobs side by side, each in a process of its own that may have a private network.

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
from collections.abc import Awaitable, Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, Literal, NamedTuple, TypeVar

from .libc import die_with_parent

LONG: Final = 5.0
"""Seconds from which a job is one that waits."""

_END_SECONDS: Final = 3.0
_T = TypeVar("_T")

Tell = Callable[[str], None]
"""In a worker: sends a line to who asked for the job."""


class Job(NamedTuple):
    """Something to be done in a worker.

    name       for the reports; need not be the only one of that name
    work       a function of a module, called with `arguments` and then a `Tell`
    arguments  picklable
    seconds    about how long it takes
    alone      nothing else may run meanwhile
    """

    name: str
    work: Callable[..., object]
    arguments: tuple[Any, ...]
    seconds: float
    alone: bool = False


class News(NamedTuple):
    """What comes of a job, `seconds` after it began.

    kind, value  ``step`` and a line it told; ``result`` and what it returned; ``lost`` and the exit
                 status of a process that ended without a result
    """

    job: Job
    kind: Literal["step", "result", "lost"]
    value: Any
    seconds: float


def side_by_side(jobs: Sequence[Job], *, preload: str, brief_at_once: int | None = None) -> Iterator[News]:
    """Run jobs, yielding what they tell and what comes of each as it comes.

    Those that wait for timers run all at once, as they cost nothing; the brief ones `brief_at_once` at
    a time (default: as many as there are processors), so that none waits for its turn in the middle of
    a close and finds the delayed ACK's 40 ms gone.  The longest begin first.

    preload  the module that the processes have imported before they start
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    waiting = sorted(jobs, key=lambda job: (job.alone, -job.seconds))
    running: dict[Pipe, tuple[Job, BaseProcess, float]] = {}
    at_once = brief_at_once or os.cpu_count() or 1

    def room() -> bool:
        if waiting[0].alone or any(job.alone for job, *_ in running.values()):
            return not running
        brief = sum(job.seconds < LONG for job, *_ in running.values())
        return waiting[0].seconds >= LONG or brief < at_once

    try:
        while waiting or running:
            while waiting and room():
                job = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(job, theirs), daemon=True)
                process.start()
                theirs.close()
                running[ours] = (job, process, time.monotonic())
            for pipe in wait(list(running)):
                assert isinstance(pipe, Pipe)
                job, worker, began = running[pipe]
                try:
                    kind, value = pipe.recv()
                except EOFError:
                    worker.join(_END_SECONDS)
                    kind, value = "lost", worker.exitcode
                if kind != "step":
                    del running[pipe]
                    pipe.close()
                    worker.join(10)
                yield News(job, kind, value, time.monotonic() - began)
    finally:
        for pipe, (_, worker, _) in running.items():
            worker.terminate()
            pipe.close()
        for _, worker, _ in running.values():
            worker.join(_END_SECONDS)
            if worker.is_alive():
                worker.kill()


def _work(job: Job, pipe: Pipe) -> None:
    """In the worker."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    pipe.send(("result", job.work(*job.arguments, lambda text: pipe.send(("step", text)))))
    pipe.close()


async def while_wanted(work: Awaitable[_T]) -> _T:
    """Await `work`, and be gone with the process that asked for it, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    asyncio.get_running_loop().add_reader(parent.sentinel, os._exit, 1)
    return await work
