"""Frames: a body behind its length, four bytes, big-endian.  Pure; split the stream where you like."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["HEADER_SIZE", "FrameDecoder", "FrameTooLarge", "encode_frame"]

_LENGTH = struct.Struct("!I")

#: Bytes of a frame's length prefix.
HEADER_SIZE = _LENGTH.size


class FrameTooLarge(Exception):
    """A frame announced more bytes than are accepted.  Raised at its header: none of it is kept."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"frame of {length} bytes, at most {limit} are taken")
        self.length = length
        self.limit = limit


def encode_frame(body: bytes) -> bytes:
    """`body` with its length before it; OverflowError when it does not fit 32 bits."""
    if len(body) >= 1 << 32:
        raise OverflowError(f"a frame holds less than 4 GiB, not {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Bodies out of a byte stream, however it was cut.

    After `FrameTooLarge` the stream cannot be followed any further (where the next frame begins is
    known, but reading up to there is what the limit is to prevent): each later `feed` raises it again.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add `data`; the bodies complete by now, one by one, so that an error costs none before it."""
        self._buffer += data
        while len(self._buffer) >= HEADER_SIZE:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self._limit:
                del self._buffer[HEADER_SIZE:]
                raise FrameTooLarge(length, self._limit)
            end = HEADER_SIZE + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEADER_SIZE:end])
            del self._buffer[:end]
            yield body
