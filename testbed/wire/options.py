"""TCP options: the list that follows the fixed header (RFC 9293 section 3.1).

`parse` reads all of them, `build` writes them, `describe` prints them as tcpdump does.  The small
functions after these answer one question each without making a list, because some are asked once
a segment.

A segment may be cut, or its sender may lie: whatever the bytes are, nothing here raises but `build`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

MAX_SIZE: Final = 40
"""Bytes: the data offset counts at most 15 words, five of which are the fixed header."""

MAX_WINDOW_SHIFT: Final = 14
"""A larger shift is used as this one (RFC 7323 section 2.3)."""


class Kind(enum.IntEnum):
    """Option kinds by their number in IANA's registry."""

    EOL = 0  # RFC 9293 section 3.2
    NOP = 1  # RFC 9293 section 3.2
    MSS = 2  # RFC 9293 section 3.7.1
    WINDOW_SCALE = 3  # RFC 7323 section 2
    SACK_PERMITTED = 4  # RFC 2018 section 2
    SACK = 5  # RFC 2018 section 3
    TIMESTAMPS = 8  # RFC 7323 section 3
    MPTCP = 30  # RFC 8684 section 3
    FAST_OPEN = 34  # RFC 7413 section 4.1.1


class Option(NamedTuple):
    """One option.

    kind        its number; a `Kind` compares equal to it
    data        what follows the length byte; of a malformed last option, all that follows its kind
    malformed   its length runs beyond the list (it is the last one then), or is none that its kind has
    """

    kind: int
    data: bytes = b""
    malformed: bool = False


_BARE: Final = (Kind.EOL, Kind.NOP)  # these two are one byte, without a length

# The data lengths that kinds of a fixed form may have
_SIZES: Final[dict[int, tuple[int, ...]]] = {
    Kind.MSS: (2,),
    Kind.WINDOW_SCALE: (1,),
    Kind.SACK_PERMITTED: (0,),
    Kind.SACK: (8, 16, 24, 32),
    Kind.TIMESTAMPS: (8,),
    Kind.FAST_OPEN: (0, 4, 6, 8, 10, 12, 14, 16),
}


def parse(raw: bytes) -> tuple[Option, ...]:
    """The options in `raw` up to EOL, which is the last one where there is one (what follows is padding)."""
    options = []
    at, end = 0, len(raw)
    while at < end:
        kind = raw[at]
        if kind in _BARE:
            options.append(Option(kind))
            if kind == Kind.EOL:
                break
            at += 1
            continue
        length = raw[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            options.append(Option(kind, raw[at + 1 :], malformed=True))
            break
        data = raw[at + 2 : at + length]
        sizes = _SIZES.get(kind)
        options.append(Option(kind, data, malformed=sizes is not None and len(data) not in sizes))
        at += length
    return tuple(options)


def build(options: Iterable[Option]) -> bytes:
    """The bytes of `options`, filled up with EOL to a multiple of four.

    Error handling: ValueError for a malformed option, or for more than `MAX_SIZE` bytes.
    """
    parts = []
    for option in options:
        if option.malformed:
            raise ValueError(f"option {option.kind} is malformed: it cannot be written")
        if option.kind in _BARE:
            parts.append(bytes((option.kind,)))
        else:
            parts.append(bytes((option.kind, len(option.data) + 2)) + option.data)
    raw = b"".join(parts)
    if len(raw) > MAX_SIZE:
        raise ValueError(f"{len(raw)} bytes of options; a header has room for {MAX_SIZE}")
    return raw + bytes(-len(raw) & 3)


# ---- one question each


_EOL, _NOP = int(Kind.EOL), int(Kind.NOP)
_MSS, _WINDOW_SCALE, _TIMESTAMPS = int(Kind.MSS), int(Kind.WINDOW_SCALE), int(Kind.TIMESTAMPS)


def _find(raw: bytes, kind: int) -> bytes | None:
    """The data of the first well-formed option of `kind`."""
    sizes = _SIZES[kind]
    at, end = 0, len(raw)
    while at + 1 < end:
        here = raw[at]
        if here == _NOP:
            at += 1
            continue
        length = raw[at + 1]
        if here == _EOL or length < 2 or at + length > end:
            return None
        if here == kind and length - 2 in sizes:
            return raw[at + 2 : at + length]
        at += length
    return None


def mss(raw: bytes) -> int | None:
    """The maximum segment size that was announced, in bytes."""
    data = _find(raw, Kind.MSS)
    return None if data is None else int.from_bytes(data, "big")


def window_scale(raw: bytes) -> int | None:
    """The shift that the sender's windows are to be scaled by: 0 to 14, None when it offers none."""
    data = _find(raw, Kind.WINDOW_SCALE)
    return None if data is None else min(data[0], MAX_WINDOW_SHIFT)


def timestamps(raw: bytes) -> tuple[int, int] | None:
    """TSval and TSecr."""
    # nearly every stack sends NOP, NOP, timestamps in a segment after the handshake
    data = raw[4:12] if len(raw) == 12 and raw[:4] == b"\x01\x01\x08\x0a" else _find(raw, Kind.TIMESTAMPS)
    if data is None:
        return None
    return int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")


def offered(raw: bytes) -> tuple[int | None, int | None, bool]:
    """What a SYN says for the whole connection: `mss`, `window_scale`, and whether `timestamps`."""
    size, scale, stamps = None, None, False
    at, end = 0, len(raw)
    while at + 1 < end:
        here = raw[at]
        if here == _NOP:
            at += 1
            continue
        length = raw[at + 1]
        if here == _EOL or length < 2 or at + length > end:
            break
        if here == _MSS and length == 4 and size is None:
            size = raw[at + 2] << 8 | raw[at + 3]
        elif here == _WINDOW_SCALE and length == 3 and scale is None:
            scale = min(raw[at + 2], MAX_WINDOW_SHIFT)
        elif here == _TIMESTAMPS and length == 10:
            stamps = True
        at += length
    return size, scale, stamps


def sack_permitted(raw: bytes) -> bool:
    """Whether the sender of a SYN understands selective acknowledgments."""
    return _find(raw, Kind.SACK_PERMITTED) is not None


def sack_blocks(raw: bytes) -> tuple[tuple[int, int], ...]:
    """Left and right edges of the blocks selectively acknowledged, absolute; the right edge is the
    sequence number after the block's last byte."""
    data = _find(raw, Kind.SACK)
    return () if data is None else _blocks(data, 0)


def _blocks(data: bytes, base: int) -> tuple[tuple[int, int], ...]:
    edges = [(int.from_bytes(data[i : i + 4], "big") - base) & 0xFFFF_FFFF for i in range(0, len(data), 4)]
    return tuple(zip(edges[::2], edges[1::2], strict=True))


# ---- as tcpdump prints them


def _describe_sack(data: bytes, base: int) -> str:
    blocks = _blocks(data, base)
    return f"sack {len(blocks)} " + "".join(f"{{{left}:{right}}}" for left, right in blocks)


_DESCRIPTIONS: Final[dict[int, Callable[[bytes, int], str]]] = {
    Kind.EOL: lambda data, base: "eol",
    Kind.NOP: lambda data, base: "nop",
    Kind.MSS: lambda data, base: f"mss {int.from_bytes(data, 'big')}",
    Kind.WINDOW_SCALE: lambda data, base: f"wscale {data[0]}",
    Kind.SACK_PERMITTED: lambda data, base: "sackOK",
    Kind.SACK: _describe_sack,
    Kind.TIMESTAMPS: lambda data, base: (
        f"TS val {int.from_bytes(data[:4], 'big')} ecr {int.from_bytes(data[4:], 'big')}"
    ),
    Kind.FAST_OPEN: lambda data, base: f"tfo  cookie {data.hex()}" if data else "tfo  cookiereq",
    Kind.MPTCP: lambda data, base: f"mptcp {len(data) + 2} 0x{data.hex()}",
}


def describe(raw: bytes, base: int = 0) -> str:
    """The options in tcpdump's words, such as ``mss 1460,sackOK,TS val 1 ecr 2,nop,wscale 7``.

    base: the sequence number that SACK edges are printed relative to (the other side's first one).
    """
    words = []
    for option in parse(raw):
        known = _DESCRIPTIONS.get(option.kind)
        if option.malformed:
            words.append(f"malformed option {option.kind}")
        elif known is not None:
            words.append(known(option.data, base))
        else:
            words.append(f"unknown-{option.kind}" + (f" 0x{option.data.hex()}" if option.data else ""))
    return ",".join(words)
