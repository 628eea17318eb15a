"""Jobs side by side, each in a worker of its own that may have a private network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
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
    busy       of one that waits: the seconds at its beginning in which it counts as a brief one
    """

    name: str
    work: Callable[..., object]
    arguments: tuple[Any, ...]
    seconds: float
    alone: bool = False
    busy: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether most of its time goes by without a processor."""
        return self.seconds >= LONG


class News(NamedTuple):
    """What comes of a job, `seconds` after it began.

    kind, value  ``step`` and a line it told; ``result`` and what it returned; ``lost`` and None when its
                 process ended without a result
    """

    job: Job
    kind: Literal["step", "result", "lost"]
    value: Any
    seconds: float


class Crew:
    """Jobs side by side; more may be added while the news of the others come.

        crew = Crew(preload=__name__)
        crew.add(...)
        for job, kind, value, seconds in crew: ...

    Those that wait for timers run all at once, as they cost nothing; the brief ones so many at a time that
    none waits for its turn in the middle of a close and finds the delayed ACK's 40 ms gone.  The longest
    begin first.

    preload          the module that the workers have imported before they start
    brief_at_once    default: as many as there are processors
    waiting_at_once  how many of those that wait there may be (each takes some memory); default: any number
    """

    def __init__(
        self, *, preload: str, brief_at_once: int | None = None, waiting_at_once: int | None = None
    ) -> None:
        self._preload = preload
        self._brief_at_once = brief_at_once or os.cpu_count() or 1
        self._waiting_at_once = waiting_at_once
        self._ahead: list[Job] = []
        self._running: dict[Pipe, tuple[Job, float]] = {}

    def add(self, *jobs: Job) -> None:
        """Have these done too."""
        self._ahead = sorted([*self._ahead, *jobs], key=lambda job: (job.alone, -job.seconds))

    def __iter__(self) -> Iterator[News]:
        with Nursery(self._preload) as nursery:
            while self._ahead or self._running:
                while (job := self._next()) is not None:
                    self._ahead.remove(job)
                    self._running[nursery.start(_work, job)] = job, time.monotonic()
                for pipe in wait(list(self._running), self._until_room()):
                    assert isinstance(pipe, Pipe)
                    yield self._news(pipe)

    def _next(self) -> Job | None:
        """The first for which there is room."""
        if any(job.alone for job, _ in self._running.values()):
            return None
        now = time.monotonic()
        busy = sum(not job.waits or now - began < job.busy for job, began in self._running.values())
        waiting = sum(job.waits for job, _ in self._running.values())

        def fits(job: Job) -> bool:
            if job.alone:
                return not self._running
            if job.waits and self._waiting_at_once is not None and waiting >= self._waiting_at_once:
                return False
            return busy < self._brief_at_once or (job.waits and not job.busy)

        return next(filter(fits, self._ahead), None)

    def _until_room(self) -> float | None:
        """Seconds until one that runs is busy no more; None where there is nothing to make room for."""
        now = time.monotonic()
        left = [began + job.busy - now for job, began in self._running.values() if job.waits]
        return min((seconds for seconds in left if seconds > 0), default=None) if self._ahead else None

    def _news(self, pipe: Pipe) -> News:
        job, began = self._running[pipe]
        kind: Literal["step", "result", "lost"]
        try:
            kind, value = pipe.recv()
        except (EOFError, ConnectionResetError):  # the latter: it did not read what it was asked
            kind, value = "lost", None
        if kind != "step":
            del self._running[pipe]
            pipe.close()
        return News(job, kind, value, time.monotonic() - began)


def _work(job: Job, pipe: Pipe) -> None:
    """In the worker."""
    pipe.send(("result", job.work(*job.arguments, lambda text: pipe.send(("step", text)))))
