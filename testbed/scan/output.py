"""The table as a file: Parquet, JSON Lines or CSV, by the file's ending; written as the rows come."""

from __future__ import annotations

import codecs
import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TextIO

import numpy as np

from ..errors import UsageError
from .columns import COLUMNS, Numbers, Rows, Told, Values
from .compiled import require

ROW_GROUP: Final = 1 << 15
"""Rows that are written to Parquet at once."""

Write = Callable[[Rows], None]

PARTS: Final = {".parquet": "arrow", ".jsonl": "jsonl", ".csv": "csv"}
"""A file's ending, and in which form other processes hand over rows for it."""


def form(path: Path) -> str:
    """The form of the parts of a file.  Error handling: UsageError for an ending that is none of these."""
    if path.suffix not in PARTS:
        raise UsageError(f"--out {path}: the file's ending is to be one of {', '.join(PARTS)}")
    if path.suffix == ".parquet":
        require("pyarrow")
    return PARTS[path.suffix]


@contextmanager
def writing(path: Path) -> Iterator[Table]:
    """Makes the file anew.

    Error handling: as `form`; UsageError for what cannot be written, CapabilityError where Parquet's
    library is missing.
    """
    made = {"arrow": _parquet, "jsonl": _text, "csv": _text}[form(path)]
    try:
        with made(path) as table:
            yield table
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror or error}") from None


class Table(NamedTuple):
    """A file that is being written: by rows, or by parts that others made of theirs (`part`)."""

    write: Write
    append: Callable[[BinaryIO], object]


@contextmanager
def part(form: str, stream: BinaryIO) -> Iterator[Write]:
    """Writes rows to a stream so that they can be appended to a table later; no form: nothing."""
    if not form:
        yield lambda rows: None
    elif form == "arrow":
        import pyarrow as pa

        with pa.ipc.new_stream(stream, _schema()) as writer:
            yield lambda rows: writer.write_batch(_record_batch(rows))
    else:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        yield _liner(form, text)
        text.detach()


def documents(rows: Rows) -> Iterator[dict[str, Any]]:
    """Each row by its columns' names."""
    columns = [column.of(rows).plain() for column in COLUMNS]
    names = [column.name for column in COLUMNS]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


# ---- text


@contextmanager
def _text(path: Path) -> Iterator[Table]:
    form = PARTS[path.suffix]
    with path.open("w", encoding="utf-8", newline="") as stream:
        if form == "csv":
            csv.writer(stream, lineterminator="\n").writerow(column.name for column in COLUMNS)
        yield Table(
            _liner(form, stream), lambda rows: shutil.copyfileobj(codecs.getreader("utf-8")(rows), stream)
        )


def _liner(form: str, stream: TextIO) -> Write:
    """Writes a line for each row."""
    if form == "jsonl":
        return lambda rows: stream.writelines(json.dumps(row) + "\n" for row in documents(rows))
    writer = csv.writer(stream, lineterminator="\n")

    def write(rows: Rows) -> None:
        for row in documents(rows):
            writer.writerow(" ".join(value) if isinstance(value, tuple) else value for value in row.values())

    return write


# ---- Parquet


@contextmanager
def _parquet(path: Path) -> Iterator[Table]:
    import pyarrow as pa
    from pyarrow import parquet

    words, numbers = (
        [column.name for column in COLUMNS if column.kind == kind] for kind in ("word", "number")
    )
    writer = parquet.ParquetWriter(
        path,
        _schema(),
        compression="lz4",
        use_dictionary=words,
        column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        write_statistics=numbers,  # the least and the greatest word are of no use, and costly
    )
    with writer:
        waiting: list[Any] = []

        def flush() -> None:
            if waiting:
                writer.write_table(_together(waiting))
                waiting.clear()

        def add(batch: Any) -> None:
            waiting.append(batch)
            if sum(len(one) for one in waiting) >= ROW_GROUP:
                flush()

        def append(rows: BinaryIO) -> None:
            with pa.ipc.open_stream(rows) as batches:
                for batch in batches:
                    add(batch)

        yield Table(lambda rows: add(_record_batch(rows)), append)
        flush()


@cache
def _schema() -> Any:
    import pyarrow as pa

    types = {
        "number": pa.int64(),
        "word": pa.dictionary(pa.int32(), pa.string()),
        "words": pa.list_(pa.string()),
    }
    return pa.schema([(column.name, types[column.kind]) for column in COLUMNS])


def _together(batches: list[Any]) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches(batches, _schema()).unify_dictionaries()


def _record_batch(rows: Rows) -> Any:
    import pyarrow as pa

    arrays = [_array(column.of(rows), kind) for column, kind in zip(COLUMNS, _schema().types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_schema())


def _array(values: Values, kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, Numbers):
        return pa.array(np.ascontiguousarray(values.values), kind, mask=values.null)
    if pa.types.is_dictionary(kind):
        return _dictionary(values)
    return pa.array(values.values, kind).take(pa.array(values.places))


def _dictionary(told: Told) -> Any:
    import pyarrow as pa

    words = sorted({word for word in told.values if word is not None})
    place = {word: at for at, word in enumerate(words)}
    known = np.array([place.get(word, -1) for word in told.values], np.int32)
    places = known[told.places]
    return pa.DictionaryArray.from_arrays(pa.array(places, mask=places < 0), pa.array(words, pa.string()))
