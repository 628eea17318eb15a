"""Opens a capture of any format and hands out its packets, or the TCP segments in them.

    with open_capture("incident.pcapng.gz") as capture:
        for segment in capture.segments():
            ...
    print(capture.packets, capture.other, capture.problems)

The format is found by the first bytes, never by the file's name.  Everything is streamed in pieces
of 64 KiB, so that neither a big file nor a gzip bomb is ever in memory, and a pipe is
read as soon as it has something.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, Self, cast

from ..errors import UnreadableInput
from . import linktype, pcap, pcapng
from .decode import Decoder, IcmpError
from .pcap import PcapParser, Row
from .pcapng import PcapngParser
from .segment import Packet, Segment

if TYPE_CHECKING:  # a capture needs no reader of texts
    from .text_trust import Disagreement

CHUNK: Final = 1 << 16
"""Bytes asked for at once: few enough that a piece and all that is made of it stay in the processor's
cache.  Measured, 1 MiB at once was a quarter slower."""

HEAD: Final = 4096
"""Bytes by which a text is recognised, when it has no line end before."""

LINK_TYPES_TOLD: Final = 10
"""Link types that are not decoded, a line each; more are counted."""

EXPECTED: Final = "a capture: pcap, pcapng (either may be gzipped) or tcpdump's text"

_TEXT_PIECE: Final = 1000  # segments

_GZIP_MAGIC: Final = b"\x1f\x8b"

_NOT_OURS: Final = (
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: unzstd it first"),
    (b"\xfd7zXZ\x00", "it is compressed with xz: unxz it first"),
    (b"BZh", "it is compressed with bzip2: bunzip2 it first"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4: unlz4 it first"),
    (b"PK\x03\x04", "it is a zip archive: unzip it first"),
    (b"\x1f\x8b", "it is gzipped twice: gunzip it first"),
    (b"snoop\x00", "it is a snoop capture: convert it with editcap"),
    (b"GMBU", "it is a Network Monitor capture: convert it with editcap"),
    (b"RTSS", "it is a Network Monitor capture: convert it with editcap"),
    (b"XCP\x00", "it is a NetXRay capture: convert it with editcap"),
)


class Parser(Protocol):
    """What `PcapParser` and `PcapngParser` have in common."""

    packets: int
    truncated: int
    problems: list[str]
    stopped: bool
    detail: str

    @property
    def drops(self) -> int | None: ...
    @property
    def link_numbers(self) -> list[int]: ...
    def feed(self, chunk: bytes) -> list[Row]: ...
    def finish(self) -> None: ...


class TextReading(Protocol):
    """What a reader of text transcripts answers with (`wire.text.TextCapture`)."""

    problems: list[str]
    packets: int
    other: dict[str, int]
    drops: int | None

    @property
    def disagreements(self) -> Sequence[Disagreement]: ...
    def segments(self) -> Iterator[Segment]: ...


def text_reader() -> tuple[Callable[[bytes], bool], Callable[[BinaryIO, str], TextReading]]:
    """The two functions of `wire.text`: does it look like a transcript, and read it."""
    from . import text

    return text.looks_like_text, text.read_text


class _Prefixed(io.RawIOBase):
    """A stream whose first bytes were already read: they come again, then the rest."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._head[: len(buffer)]
        if chunk:
            self._head = self._head[len(chunk) :]
        else:
            chunk = _read_some(self._stream, len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _read_some(stream: BinaryIO, size: int) -> bytes:
    """What a stream has, at most `size` bytes, b"" at its end.  `read1` does not wait for all of them."""
    read = getattr(stream, "read1", stream.read)
    return cast(bytes, read(size)) or b""


def _read_into(stream: BinaryIO, place: memoryview) -> int:
    """The same, written to a place; how much that was."""
    read = getattr(stream, "readinto1", None) or getattr(stream, "readinto", None)
    if read is not None:
        return cast(int, read(place)) or 0
    chunk = _read_some(stream, len(place))
    place[: len(chunk)] = chunk
    return len(chunk)


class CaptureFile:
    """One capture being read; it can be gone through once, by `segments()` or as an iterator of packets.

    path               what was opened; "-" is standard input
    format             "pcap", "pcapng", "text", with ".gz" when it was compressed
    detail             byte order and resolution, for whoever wants to know
    link_types         names of the link types met so far, such as "ETHERNET"
    problems           one line for each thing wrong with the file; complete once all was read
    disagreements      of a text: where what it prints and the bytes it shows differ
    drops              packets that the file itself says were not captured; None where it says nothing
    packets            packets read so far: a piece is read ahead of what was handed out
    truncated          those of them that the snap length cut, whether their records say so or not
    other              packets that hold no TCP segment, by protocol name; only `segments()` counts them
    icmp_errors        ICMP errors that quote a segment, at most `decode.MAX_ICMP_ERRORS`
    icmp_errors_seen   how many there were

    parser             what its bytes are fed to, None for a text
    decoder            what its packets are given to: with `read_into` all that is needed to read it otherwise

    Error handling: what is wrong inside a file is told in `problems`, and everything before it stands;
    only a file that cannot be taken for a capture at all raises (`open_capture`).
    """

    def __init__(self, source: BinaryIO, path: str, closing: list[io.IOBase | BinaryIO]) -> None:
        self.path = path
        self._closing = closing
        self._problems: list[str] = []
        self.decoder = Decoder()
        self.parser: Parser | None = None
        self._text: TextReading | None = None
        suffix = ""
        head = self._read_head(source, b"")
        if head[:2] == _GZIP_MAGIC:
            unzipped = gzip.GzipFile(fileobj=io.BufferedReader(_Prefixed(head, source), CHUNK))
            self._closing.append(unzipped)
            source, suffix = cast(BinaryIO, unzipped), ".gz"
            head = self._read_head(source, b"")
        self._head, self._source = head, source
        self.format = self._recognise(head) + suffix

    def _read_head(self, source: BinaryIO, head: bytes) -> bytes:
        """Enough of the beginning to tell the format by, and no more than that waited for."""
        try:
            while len(head) < HEAD:
                if head[:4] in pcap.MAGICS or head[:4] == pcapng.MAGIC:
                    if len(head) >= pcap.FILE_HEADER_SIZE:
                        break
                elif len(head) >= 4 and (b"\n" in head or head[:2] == _GZIP_MAGIC):
                    break
                chunk = _read_some(source, 1 << 16)
                if not chunk:
                    break
                head += chunk
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            if not head:
                raise UnreadableInput(
                    f"{self.path}: damaged gzip data ({error}); expected {EXPECTED}"
                ) from None
            self._problems.append(f"damaged gzip data: {error}")
        except OSError as error:
            raise UnreadableInput(f"{self.path}: cannot be read: {error.strerror or error}") from None
        return head

    def _recognise(self, head: bytes) -> str:
        if not head:
            raise UnreadableInput(f"{self.path}: empty; expected {EXPECTED}")
        if head[:4] in pcap.MAGICS:
            if len(head) < pcap.FILE_HEADER_SIZE:
                raise UnreadableInput(
                    f"{self.path}: cut after {len(head)} bytes, inside the file header; expected {EXPECTED}"
                )
            self.parser = PcapParser()
            return "pcap"
        if head[:4] == pcapng.MAGIC:
            self.parser = PcapngParser()
            return "pcapng"
        for magic, remark in _NOT_OURS:
            if head.startswith(magic):
                raise UnreadableInput(f"{self.path}: {remark}; expected {EXPECTED}")
        looks_like_text, read_text = text_reader()
        if not looks_like_text(head):
            raise UnreadableInput(
                f"{self.path}: not a capture (it begins with {head[:8].hex(' ')}); expected {EXPECTED}"
            )
        stream = io.BufferedReader(_Prefixed(head, self._source), CHUNK)
        self._text = read_text(cast(BinaryIO, stream), self.path)
        return "text"

    # ---- what is known of it

    @property
    def link_types(self) -> list[str]:
        return [linktype.name(n) for n in self.parser.link_numbers] if self.parser else []

    @property
    def detail(self) -> str:
        return self.parser.detail if self.parser else ""

    @property
    def problems(self) -> list[str]:
        reader = self.parser or self._text
        return [
            *(reader.problems if reader else []),
            *self._problems,
            *self._not_decoded(),
            *self._contradictions(),
        ]

    @property
    def disagreements(self) -> Sequence[Disagreement]:
        return self._text.disagreements if self._text else ()

    @property
    def drops(self) -> int | None:
        reader = self.parser or self._text
        return reader.drops if reader else None

    @property
    def packets(self) -> int:
        reader = self.parser or self._text
        return reader.packets if reader else 0

    @property
    def truncated(self) -> int:
        return self.parser.truncated + self.decoder.cut if self.parser else 0

    @property
    def other(self) -> dict[str, int]:
        return dict(self._text.other if self._text else self.decoder.other)

    @property
    def icmp_errors(self) -> list[IcmpError]:
        return list(self.decoder.icmp_errors)

    @property
    def icmp_about(self) -> Mapping[bytes, Sequence[IcmpError]]:
        """The same by the flow that they quote, as known so far: it grows with the reading."""
        return self.decoder.icmp_about

    @property
    def icmp_errors_seen(self) -> int:
        return self.decoder.icmp_errors_seen

    def _not_decoded(self) -> Iterator[str]:
        rows = map(linktype.link_type, self.parser.link_numbers if self.parser else ())
        names = [row.name for row in rows if row.locate is None]
        for name in names[:LINK_TYPES_TOLD]:
            yield f"packets of link type {name} are not decoded: nothing in them was looked at"
        if len(names) > LINK_TYPES_TOLD:
            yield f"and those of {len(names) - LINK_TYPES_TOLD} more link types are not"

    def _contradictions(self) -> Iterator[str]:
        decoder = self.decoder
        if decoder.longer:
            packets = "1 packet is" if decoder.longer == 1 else f"{decoder.longer:,} packets are"
            yield (
                f"{packets} longer by the IP header than by the file's own record of the length (first in "
                f"frame {decoder.first_longer}): the IP header is believed (tools that shorten packets "
                "leave such records)"
            )

    # ---- going through it

    def __iter__(self) -> Iterator[Packet]:
        if self._text is not None:
            raise UnreadableInput(f"{self.path}: a text has no packets to hand out, only segments")
        for rows in self._batches():
            yield from map(Packet._make, rows)

    def segments(self) -> Iterator[Segment]:
        """The TCP segments, in the file's order."""
        for _, segments in self.pieces():
            yield from segments

    def pieces(self) -> Iterator[tuple[list[Row], list[Segment]]]:
        """The packets and the TCP segments in them, in the file's order, a piece of the file at a time.

        A text has no packets, only segments.
        """
        if self._text is not None:
            rest = self._text.segments()
            while some := list(islice(rest, _TEXT_PIECE)):
                yield [], some
            return
        decode = self.decoder.segments
        for rows in self._batches():
            yield rows, decode(rows)

    def _batches(self) -> Iterator[list[Row]]:
        parser = self.parser
        assert parser is not None  # a text does not get here
        for chunk in self._chunks():
            rows = parser.feed(chunk)
            if rows:
                yield rows
        parser.finish()

    def _chunks(self) -> Iterator[bytes]:
        """The file's bytes, unzipped, in pieces of at most CHUNK, for as long as the parser wants more."""
        parser = self.parser
        assert parser is not None  # nor here
        chunk, self._head = self._head, b""
        while chunk and not parser.stopped:
            yield chunk
            chunk = b"" if self._problems else self._next_chunk()

    def _next_chunk(self) -> bytes:
        with self._reading():
            return _read_some(self._source, CHUNK)
        return b""

    def read_into(self, place: memoryview) -> int:
        """Put the next of these bytes into memory of the caller's; answers how many, 0 where no more come."""
        parser = self.parser
        assert parser is not None  # nor here
        chunk, self._head = self._head[: len(place)], self._head[len(place) :]
        if chunk or parser.stopped or self._problems:
            place[: len(chunk)] = chunk
            return len(chunk)
        with self._reading():
            return _read_into(self._source, place)
        return 0

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """A stream that fails is at its end; that it failed is a problem's line."""
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self._problems.append(f"damaged gzip data: {error}")
        except OSError as error:
            self._problems.append(f"reading failed: {error.strerror or error}")

    # ---- closing

    def close(self) -> None:
        """Close what was opened here; a stream that was handed in stays open."""
        while self._closing:
            self._closing.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_capture(source: str | os.PathLike[str] | BinaryIO) -> CaptureFile:
    """Open a capture: a path, "-" for standard input, or a binary stream.

    Error handling: `UnreadableInput`, in one line, for what is missing, empty, a directory, or no
    capture.
    """
    if not isinstance(source, str | os.PathLike):
        name = getattr(source, "name", None)
        return CaptureFile(source, name if isinstance(name, str) else "<stream>", [])
    path = os.fspath(source)
    if path == "-":
        return CaptureFile(sys.stdin.buffer, path, [])
    try:
        # unbuffered: the pieces asked for are large already
        stream = cast(BinaryIO, io.FileIO(path))
    except ValueError as error:  # a NUL in the name
        raise UnreadableInput(f"{path!r}: {error}; expected {EXPECTED}") from None
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror or error}; expected {EXPECTED}") from None
    try:
        return CaptureFile(stream, path, [stream])
    except BaseException:
        stream.close()
        raise
