"""One capture scanned from beginning to end: what each process, on whichever machine, is given to do."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, cast

from ..errors import CapabilityError, UnreadableInput
from ..explanation import CaptureSummary, Source
from ..wire.reader import CaptureFile, open_capture
from . import output, where
from .columns import Rows
from .compiled import NEEDED, require
from .output import Write
from .passing import Pass
from .summary import Scanned, Summary
from .verdicts import Verdicts

REMOTE: Final = "://"


class Job(NamedTuple):
    """What to scan, and what to make of it.

    path       of the capture; "-" is standard input, and one with "://" is opened by fsspec
    where      which connections are wanted (`where.parse`); "" all
    part       the form of the rows that are handed back (`output.PARTS`); "" none are wanted
    folder     of this machine, to put them in; "" they are handed back as bytes
    limit      of how many connections at most the summary remembers which they are
    """

    path: str
    where: str = ""
    part: str = ""
    folder: str = ""
    limit: int = 20


def scan(job: Job, write: Write, progress: Callable[[int], object] = lambda size: None) -> Summary:
    """Scan a capture; `write` takes the wanted connections, `progress` how many bytes were read.

    Error handling: UnreadableInput for what is no capture; UsageError for a bad `where`; CapabilityError
    where the extra is not installed.
    """
    require(*NEEDED)
    wanted = where.parse(job.where) if job.where else None
    summary, verdicts = Summary(job.limit), Verdicts()
    with source(job.path) as where_it_lies, open_capture(where_it_lies) as capture:
        capture.path = job.path

        def take(rows: Rows) -> None:
            if wanted is not None:
                rows = rows.chosen(wanted(rows))
            if len(rows):
                summary.add(rows)
                write(rows)

        whole = Pass(
            capture, verdicts, lambda batch, places: take(Rows(job.path, batch, verdicts.known, places))
        )
        for size in whole.pieces():
            progress(size)
        summary.scanned.append(_scanned(job.path, capture, whole))
    return summary


def scan_to_part(job: Job) -> tuple[Summary, bytes | str]:
    """Scan a capture; its rows are handed back in the form of the job's parts, as bytes or as a file's
    path, for `output.Table.append`."""
    if not job.folder:
        rows = io.BytesIO()
        with output.part(job.part, rows) as write:
            summary = scan(job, write)
        return summary, rows.getvalue()
    with tempfile.NamedTemporaryFile(dir=job.folder, delete=False) as stream:
        with output.part(job.part, cast(BinaryIO, stream)) as write:
            summary = scan(job, write)
        return summary, stream.name


@contextlib.contextmanager
def source(path: str) -> Iterator[Source]:
    """What `open_capture` opens: a path of this machine, or a stream of what lies elsewhere."""
    if REMOTE not in path:
        yield path
        return
    try:
        import fsspec
    except ImportError:
        raise CapabilityError(
            f"{path}: what is not a file of this machine needs fsspec", "pip install 'tcp-testbed[dask]'"
        ) from None
    try:
        with fsspec.open(path, "rb") as stream:
            yield stream
    except (ImportError, ValueError) as error:  # a protocol without a library; an unknown protocol
        raise CapabilityError(f"{path}: {error}", "install what fsspec needs for it") from None
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror or error}") from None


def _scanned(path: str, capture: CaptureFile, whole: Pass) -> Scanned:
    summary = CaptureSummary(
        path,
        capture.format,
        tuple(capture.link_types),
        capture.packets,
        whole.segments,
        capture.truncated,
        tuple(capture.problems),
    )
    return Scanned(summary, whole.connections, whole.secondly, whole.by_pure, capture.other)
