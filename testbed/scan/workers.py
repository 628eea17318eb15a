"""Processes of this machine for several captures.

They are forked from a server, which imports and loads all that is compiled, once.  This module imports
nothing of that, so that the server can begin while this process still imports the same.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, forkserver
from typing import Final

FORKS: Final = "forkserver" in multiprocessing.get_all_start_methods()
_CONTEXT: Final = multiprocessing.get_context("forkserver" if FORKS else "spawn")


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def begin() -> None:
    """Start the server, which ends with this process; nothing waits for it."""
    if FORKS:
        _CONTEXT.set_forkserver_preload(["testbed.scan.job", "testbed.scan.warm"])
        forkserver.ensure_running()


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Processes, which end with this one, whatever ends it."""
    begin()
    with ProcessPoolExecutor(count, _CONTEXT, initializer=_end_with_parent) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def wait() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
