"""A page of the kernel's trace ring buffer: any bytes are records that lie within it, or a RingError."""

from __future__ import annotations

import struct

from testbed.kernel.trace_format import Field, PageLayout
from testbed.kernel.trace_ring import RingError, decode_page

LAYOUT = PageLayout(Field(8, 8, False), 16)
"""events/header_page of a 64-bit Linux: a time of 8 bytes, a length in use of 8."""

START = 1_700_000_000_000_000_000
PADDING, EXTEND, STAMP = 29, 30, 31  # kernel/trace/ring_buffer.c, enum ring_buffer_type
MISSED, STORED = 1 << 31, 1 << 30


def head(kind: int, delta: int) -> bytes:
    """The first word of a record."""
    return struct.pack("=I", delta << 5 | kind)


def page(records: bytes, *, flags: int = 0, behind: bytes = b"", size: int = 512) -> bytes:
    """A page with these records in it."""
    made = struct.pack("=QQ", START, len(records) | flags) + records + behind
    return made + bytes(max(0, size - len(made)))


def seeds() -> list[bytes]:
    """Pages with every kind of record, full and empty, whole and with records lost before them."""
    short = head(7, 900) + bytes(range(28))
    long = head(0, 1200) + struct.pack("=I", 4 + 120) + bytes(120)
    extended = head(EXTEND, 5) + struct.pack("=I", 9)
    stamped = head(STAMP, 77) + struct.pack("=I", START >> 27 & 0xFFFFFFFF)
    thrown_away = head(PADDING, 3) + struct.pack("=I", 12) + bytes(8)
    rest = head(PADDING, 0) + bytes(40)
    mixed = short + extended + short + stamped + long + thrown_away + short
    return [
        page(b""),
        page(short),
        page(short * 10),
        page(long + short),
        page(mixed),
        page(mixed + rest),
        page(mixed, flags=MISSED),
        page(mixed, flags=MISSED | STORED, behind=struct.pack("=Q", 41)),
        page(short * 15, size=0),
    ]


def attempt(raw: bytes) -> str:
    """What came of it: ``read``, ``empty`` (no record in it), or ``refused``."""
    try:
        found = decode_page(raw, LAYOUT)
    except RingError as error:
        assert str(error) and "\n" not in str(error), "the message is one line"
        return "refused"
    assert sum(4 + len(record.data) for record in found.records) <= len(raw), "no record is made up"
    assert found.missed >= -1
    return "read" if found.records else "empty"
