"""Pages of the trace ring buffer, written by hand from the kernel's description of them.

include/linux/ring_buffer.h, enum ring_buffer_type, and kernel/trace/ring_buffer.c, struct
buffer_data_page: 8 bytes of time, a long with the length in use, then records.
"""

from __future__ import annotations

import struct

PAGE = 4096
MISSED = 1 << 31
"""RB_MISSED_EVENTS: records were overwritten before this page's first."""
MISSED_STORED = 1 << 30
"""RB_MISSED_STORED: how many stands behind the last record."""

HEADER = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
"""
HEADER_32 = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:4;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:12;\tsize:4084;\tsigned:0;
"""
"""What a machine whose long has 4 bytes says."""


def word(kind: int, delta: int) -> bytes:
    """`u32 type_len:5, time_delta:27` of a little-endian machine."""
    return struct.pack("<I", kind | delta << 5)


def small(delta: int, data: bytes) -> bytes:
    """A record of up to 28 words: the type is its length in words."""
    assert len(data) % 4 == 0 and 4 <= len(data) <= 112
    return word(len(data) // 4, delta) + data


def large(delta: int, data: bytes) -> bytes:
    """A record of type 0: `array[0]` is its length, itself included."""
    return word(0, delta) + struct.pack("<I", len(data) + 4) + data


def discarded(delta: int, size: int) -> bytes:
    """A record of `size` bytes thrown away: padding with a time, its length in `array[0]`."""
    return word(29, delta) + struct.pack("<I", size + 4) + bytes(size)


def end_of_page() -> bytes:
    """Padding without a time: all that follows it is nothing."""
    return word(29, 0)


def extend(ns: int) -> bytes:
    """A time too long for 27 bits: the low 27 in the word, the rest in `array[0]`."""
    return word(30, ns & (1 << 27) - 1) + struct.pack("<I", ns >> 27)


def stamp(ns: int) -> bytes:
    """An absolute time, of which 59 bits fit."""
    ns &= (1 << 59) - 1
    return word(31, ns & (1 << 27) - 1) + struct.pack("<I", ns >> 27)


def page(time_ns: int, *records: bytes, flags: int = 0, missed: int | None = None, size: int = PAGE) -> bytes:
    """A page of a machine whose long has 8 bytes, zeros to its end as the kernel hands it out."""
    body = b"".join(records)
    tail = b"" if missed is None else struct.pack("<Q", missed)
    made = struct.pack("<QQ", time_ns, len(body) | flags) + body + tail
    assert len(made) <= size
    return made + bytes(size - len(made))
