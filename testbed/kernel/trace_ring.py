"""A page of the kernel's trace ring buffer, as `trace_pipe_raw` gives it, taken apart.  Pure.

The layout is that of kernel/trace/ring_buffer.c and include/linux/ring_buffer.h: a head with a time
and the length in use, then records.  A record's first word holds its kind or its length in words
(5 bits) and the time since the record before it (27 bits, nanoseconds); the first one's counts from
the head's time.  Numbers are in the machine's byte order; this is for little-endian machines, which
have the 5 bits first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from ..errors import ExperimentError
from .trace_format import PageLayout

_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_MISSED: Final = 1 << 31
_MISSED_STORED: Final = 1 << 30
_LENGTH: Final = (1 << 30) - 1
_TOP_BITS: Final = 0xF8 << 56
"""An absolute time has 59 bits; these five are those of the time before it."""
_NO_DELTA: Final = 1
"""What a record thrown away has for a time of 0, which would make it the padding of a page's end
(rb_event_discard).  Any other counts: the record after it was stamped as if it were there, and the
kernel's own check of a page adds it (rb_read_data_buffer), though its reader does not."""

_WORD: Final = struct.Struct("=I")
_TWO_WORDS: Final = struct.Struct("=II")
_STAMP: Final = struct.Struct("=Q")


class RingError(ExperimentError):
    """What was read is no page that the kernel's ring buffer makes."""


class Record(NamedTuple):
    """One record: its time on the instance's clock in ns, and its bytes from common_type on."""

    time_ns: int
    data: bytes


class Page(NamedTuple):
    """One page.

    missed  records overwritten before it was read: how many, -1 where the kernel does not say; 0 none
    """

    records: list[Record]
    missed: int


def decode_page(page: bytes, layout: PageLayout) -> Page:
    """Every record of `page`, in order.  RingError where it lies about its lengths; nothing else."""
    size = len(page)
    if size < layout.data:
        raise RingError(f"a page of {size} bytes has no room for its head")
    (start,) = _STAMP.unpack_from(page)
    commit = int.from_bytes(page[layout.commit.offset : layout.commit.offset + layout.commit.size], "little")
    used = commit & _LENGTH
    end = layout.data + used
    if end > size:
        raise RingError(f"a page of {size} bytes says that {used} are in use")
    missed = 0
    if commit & _MISSED:
        missed = -1
        word = layout.commit.size
        if commit & _MISSED_STORED and end + word <= size:
            missed = int.from_bytes(page[end : end + word], "little") or -1
    return Page(list(_records(page, layout.data, end, start)), missed)


def _records(page: bytes, at: int, end: int, time_ns: int) -> Iterator[Record]:
    while at + 4 <= end:
        (head,) = _WORD.unpack_from(page, at)
        kind, delta = head & 0x1F, head >> 5
        if kind == _PADDING and not delta:
            return  # nothing but padding up to the end
        if 1 <= kind < _PADDING:
            length = 4 * kind
            data = at + 4
            following = data + length
        else:
            if at + 8 > end:
                raise RingError(f"a record at byte {at} is cut")
            (word,) = _WORD.unpack_from(page, at + 4)
            if kind == _TIME_EXTEND:
                time_ns += delta + (word << 27)
                at += 8
                continue
            if kind == _TIME_STAMP:
                before = time_ns
                time_ns = delta + (word << 27) | before & _TOP_BITS
                if time_ns < before:  # the 59 bits have begun anew since (rb_fix_abs_ts)
                    time_ns += 1 << 59
                at += 8
                continue
            if word < 4:
                raise RingError(f"a record at byte {at} has an impossible length")
            following = at + 4 + word
            if kind == _PADDING:  # a record thrown away
                if following > end:
                    raise RingError(f"a record at byte {at} goes beyond its page")
                if delta != _NO_DELTA:
                    time_ns += delta
                at = following
                continue
            data, length = at + 8, word - 4
        if following > end:
            raise RingError(f"a record at byte {at} goes beyond its page")
        time_ns += delta
        yield Record(time_ns, page[data : data + length])
        at = following
