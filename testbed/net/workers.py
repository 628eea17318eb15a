"""Jobs side by side, each in a worker of its own that may have a private network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, Final, Literal, NamedTuple

from .nursery import Nursery

LONG: Final = 5.0
"""Seconds from which a job is one that waits."""

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

    kind, value  ``step`` and a line it told; ``result`` and what it returned; ``lost`` and None when its
                 process ended without a result
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

    preload  the module that the workers have imported before they start
    """
    waiting = sorted(jobs, key=lambda job: (job.alone, -job.seconds))
    running: dict[Pipe, tuple[Job, float]] = {}
    at_once = brief_at_once or os.cpu_count() or 1

    def room() -> bool:
        if waiting[0].alone or any(job.alone for job, _ in running.values()):
            return not running
        brief = sum(job.seconds < LONG for job, _ in running.values())
        return waiting[0].seconds >= LONG or brief < at_once

    with Nursery(preload) as nursery:
        while waiting or running:
            while waiting and room():
                job = waiting.pop(0)
                running[nursery.start(_work, job)] = job, time.monotonic()
            for pipe in wait(list(running)):
                assert isinstance(pipe, Pipe)
                job, began = running[pipe]
                try:
                    kind, value = pipe.recv()
                except EOFError:
                    kind, value = "lost", None
                if kind != "step":
                    del running[pipe]
                    pipe.close()
                yield News(job, kind, value, time.monotonic() - began)


def _work(job: Job, pipe: Pipe) -> None:
    """In the worker."""
    pipe.send(("result", job.work(*job.arguments, lambda text: pipe.send(("step", text)))))
