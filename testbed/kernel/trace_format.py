"""What a tracepoint's record looks like, as the kernel describes it in `events/*/*/format`.  Pure.

The offsets are the running kernel's own, so that a field which moved between versions is still found.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ..errors import ExperimentError

_ID: Final = re.compile(r"^ID:\s*(\d+)", re.MULTILINE)
_FIELD: Final = re.compile(
    r"field:\s*(?P<type>[^;]*?)(?P<name>\w+)(?:\[\d*\])?;\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);"
    r"\s*signed:(?P<signed>[01]);"
)
_SYMBOLS: Final = re.compile(r"__print_symbolic\(REC->(\w+),((?:\s*\{[^}]*\},?)+)\)")
_SYMBOL: Final = re.compile(r"\{\s*(\d+)\s*,\s*\"([^\"]*)\"\s*\}")
_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


class FormatError(ExperimentError):
    """The kernel describes its records in a way that is not understood."""


class Field(NamedTuple):
    """Where a field lies in the record: bytes from its beginning, bytes, and whether it has a sign."""

    offset: int
    size: int
    signed: bool


class Layout(NamedTuple):
    """One tracepoint's record.

    symbols  for a field that has names for its numbers: the names
    """

    id: int
    fields: dict[str, Field]
    symbols: dict[str, dict[int, str]]

    def reader(self, *names: str) -> Callable[[bytes], tuple[Any, ...]]:
        """A function that takes a record and gives these fields: a number, or bytes of any other size.

        Error handling: FormatError here where a field is not there; struct.error from the function where
        the record is too short.
        """
        order = [self.field(name) for name in names]
        code, end = "=", 0
        for field in sorted(order, key=lambda one: one.offset):
            if field.offset < end:
                raise FormatError(f"two fields of tracepoint {self.id} overlap")
            number = _CODES.get(field.size)
            if number is None:
                number = f"{field.size}s"
            elif field.signed:
                number = number.lower()
            code += f"{field.offset - end}x{number}"
            end = field.offset + field.size
        unpack = struct.Struct(code).unpack_from
        by_offset = sorted(range(len(order)), key=lambda index: order[index].offset)
        if by_offset == list(range(len(order))):
            return unpack
        place = [by_offset.index(index) for index in range(len(order))]
        return lambda record: tuple(values[at] for values in (unpack(record),) for at in place)

    def field(self, name: str) -> Field:
        """Where `name` lies.  FormatError where it is not there."""
        if name not in self.fields:
            raise FormatError(f"the kernel's tracepoint {self.id} has no field {name}")
        return self.fields[name]


def parse_format(text: str) -> Layout:
    """Read a `format` file.  FormatError when it is none."""
    number = _ID.search(text)
    fields = {
        found["name"]: Field(int(found["offset"]), int(found["size"]), found["signed"] == "1")
        for found in _FIELD.finditer(text)
    }
    if number is None or "common_type" not in fields:
        raise FormatError("this is not the description of a tracepoint")
    symbols = {
        name: {int(value): word for value, word in _SYMBOL.findall(rows)}
        for name, rows in _SYMBOLS.findall(text)
    }
    return Layout(int(number[1]), fields, symbols)


class PageLayout(NamedTuple):
    """The head of a page of the ring buffer: bytes of the commit field, and where the records begin."""

    commit: Field
    data: int


def parse_page_header(text: str) -> PageLayout:
    """Read `events/header_page`.  FormatError when it is none."""
    fields = {
        found["name"]: Field(int(found["offset"]), int(found["size"]), found["signed"] == "1")
        for found in _FIELD.finditer(text)
    }
    stamp, commit, data = fields.get("timestamp"), fields.get("commit"), fields.get("data")
    if stamp is None or commit is None or data is None or stamp != Field(0, 8, False):
        raise FormatError("the kernel's ring buffer has a head that is not understood")
    if commit.size not in (4, 8) or commit.offset != 8 or data.offset != 8 + commit.size:
        raise FormatError("the kernel's ring buffer has a head that is not understood")
    return PageLayout(commit, data.offset)
