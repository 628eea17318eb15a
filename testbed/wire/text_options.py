"""From TCP options as tcpdump prints them back to the bytes of the header.

``mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7`` becomes 02 04 05 b4 04 02 08 0a ..., so that all that
reads options reads a transcript's like a capture's.  What tcpdump leaves out cannot come back: the
padding after ``eol`` is written as zeros, and an option whose content is not printed (``mptcp 12
capable ...``) gets its kind, its length and zeros.  `Rebuilt.exact` says when that was so.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from .options import MAX_SIZE, Kind, Option, build

Edge = Callable[[int], int]
"""Makes the printed edge of a SACK block, which may be relative, absolute."""


class Rebuilt(NamedTuple):
    """raw    the options' bytes, padded to a multiple of four
    exact  whether they must be the very bytes of the packet (but for padding)
    """

    raw: bytes
    exact: bool


NOTHING: Final = Rebuilt(b"", True)

# Options are separated by commas; the words of md5 have one of their own, followed by a blank
_COMMA: Final = re.compile(r",(?! )")

_PLAIN: Final = re.compile(r"(mss|wscale|echo|echoreply|cc|ccnew|ccecho) (\d{1,10})", re.ASCII)
_TIMESTAMPS: Final = re.compile(r"TS val (\d{1,10}) ecr (\d{1,10})|timestamp (\d{1,10}) (\d{1,10})", re.ASCII)
_SACK: Final = re.compile(r"sack (?:sack )?\d{1,2} ((?:\{\d{1,10}:\d{1,10}\} ?){1,4})", re.ASCII)
_BLOCK: Final = re.compile(r"\{(\d{1,10}):(\d{1,10})\}", re.ASCII)
_HEX: Final = r"(?:[0-9a-f]{2}){0,38}"
_TFO: Final = re.compile(rf"(exp-)?tfo +(?:cookie ?(?P<cookie>{_HEX})|cookiereq)", re.ASCII)
_UNKNOWN: Final = re.compile(rf"(?:unknown-|opt-)(\d{{1,3}})(?: 0x|:)?({_HEX})", re.ASCII)
_UTO: Final = re.compile(r"uto 0x([0-9a-f]{1,4})\b.*", re.ASCII)
_MD5: Final = re.compile(r"md5\b.*?([0-9a-f]{32})?", re.ASCII)
_MPTCP: Final = re.compile(r"mptcp (\d{1,2})\b(?: 0x(?P<data>[0-9a-f]*))?.*", re.ASCII)

_FIELDS: Final = {
    "mss": (Kind.MSS, 2),
    "wscale": (Kind.WINDOW_SCALE, 1),
    "echo": (6, 4),  # RFC 1072
    "echoreply": (7, 4),
    "cc": (11, 4),  # RFC 1644
    "ccnew": (12, 4),
    "ccecho": (13, 4),
}
"""Options that are one number: their kind and the number's size in bytes."""

_WORDS: Final = {"nop": Option(Kind.NOP), "eol": Option(Kind.EOL), "sackOK": Option(Kind.SACK_PERMITTED)}

_MD5_KIND, _UTO_KIND, _EXPERIMENT = 19, 28, 254  # RFC 2385, RFC 5482, RFC 6994
_TFO_MAGIC: Final = b"\xf9\x89"  # RFC 7413 section 4.1.1's experimental form


def rebuild(printed: str, edge: Edge) -> Rebuilt:
    """The bytes of the options in `printed`, the text between tcpdump's brackets."""
    if not printed:
        return NOTHING
    options: list[Option] = []
    exact = True
    for words in _COMMA.split(printed):
        option, whole = _option(words.strip(), edge)
        exact &= whole
        if option is not None:
            options.append(option)
    try:
        return Rebuilt(build(options), exact)
    except ValueError:  # more than a header has room for: the text is damaged
        kept, size = 0, 0
        for option in options[:-1]:
            size += len(option.data) + 2
            if size > MAX_SIZE:
                break
            kept += 1
    return Rebuilt(build(options[:kept]), False)


def _option(words: str, edge: Edge) -> tuple[Option | None, bool]:
    """One option, and whether it is whole."""
    known = _WORDS.get(words)
    if known is not None:
        return known, True
    match = _TIMESTAMPS.fullmatch(words)
    if match:
        value, echo = (int(number) & 0xFFFF_FFFF for number in match.groups() if number is not None)
        return Option(Kind.TIMESTAMPS, struct.pack(">II", value, echo)), True
    match = _PLAIN.fullmatch(words)
    if match:
        kind, size = _FIELDS[match[1]]
        number = int(match[2])
        if number >> 8 * size:
            return None, False
        return Option(kind, number.to_bytes(size, "big")), True
    match = _SACK.fullmatch(words)
    if match:
        edges = [edge(int(number)) for pair in _BLOCK.findall(match[1]) for number in pair]
        return Option(Kind.SACK, struct.pack(f">{len(edges)}I", *edges)), True
    return _rarer(words)


def _rarer(words: str) -> tuple[Option | None, bool]:
    match = _TFO.fullmatch(words)
    if match:
        cookie = bytes.fromhex(match["cookie"] or "")
        return (
            Option(_EXPERIMENT, _TFO_MAGIC + cookie) if match[1] else Option(Kind.FAST_OPEN, cookie)
        ), True
    match = _UNKNOWN.fullmatch(words)
    if match:
        kind = int(match[1])
        return (None, False) if kind > 255 else (Option(kind, bytes.fromhex(match[2])), True)
    match = _UTO.fullmatch(words)
    if match:
        return Option(_UTO_KIND, int(match[1], 16).to_bytes(2, "big")), True
    match = _MD5.fullmatch(words)
    if match:
        return Option(_MD5_KIND, bytes.fromhex(match[1] or "00" * 16)), match[1] is not None
    match = _MPTCP.fullmatch(words)
    if match:
        size = int(match[1]) - 2
        if not 0 <= size <= MAX_SIZE - 2:
            return None, False
        data = match["data"] or ""
        whole = len(data) == 2 * size > 0
        return Option(Kind.MPTCP, bytes.fromhex(data) if whole else bytes(size)), whole
    return None, False
