"""Several captures side by side: in processes of this machine (`workers`), or on a Dask cluster's.

Either is an executor to which the same function is handed; what differs is where it runs.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ..errors import CapabilityError, ExperimentError
from .job import Job, scan_to_part
from .output import Table
from .summary import Summary

CONNECT_S: Final = 10
"""How long a cluster's scheduler may take to answer."""


def scan_all(jobs: Sequence[Job], executor: Executor) -> Generator[tuple[Summary, bytes | str], None, None]:
    """What `scan_to_part` answers to each job, in their order, each as soon as it and all before it are
    done.  When the caller leaves off, what has not begun is not begun any more.

    Error handling: as `job.scan`; ExperimentError where a process ended before it was done.
    """
    futures = [executor.submit(scan_to_part, job) for job in jobs]
    try:
        for job, future in zip(jobs, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:
                raise ExperimentError(
                    f"{job.path}: the process that scanned it was ended; is there enough memory?"
                ) from None
    finally:
        for future in futures:
            future.cancel()


def append(table: Table, rows: bytes | str) -> None:
    """Append what `scan_to_part` handed back to a table; a file of it is removed."""
    if isinstance(rows, bytes):
        table.append(io.BytesIO(rows))
        return
    path = Path(rows)
    with path.open("rb") as stream:
        table.append(stream)
    path.unlink()


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """A Dask cluster that is running.  What a worker that is lost was doing, another does again.

    Error handling: CapabilityError where the extra is missing, or nobody answers at `address`.
    """
    try:
        from distributed import Client
    except ImportError:
        raise CapabilityError("--dask needs distributed", "pip install 'tcp-testbed[scan,dask]'") from None
    try:
        connect: Any = Client
        client = connect(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CapabilityError(
            f"no Dask scheduler answers at {address}", f"start one: dask scheduler ({type(error).__name__})"
        ) from None
    with client:
        yield client.get_executor(pure=False)
