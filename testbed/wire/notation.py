"""One segment on one line, as packetdrill writes it: ``< P. 1:255(254) ack 105``.

    direction flags start:end(length) [ack N] [win N] [<option,option,...>]  [# comment]

direction   ``>`` from the client to the server, ``<`` back.
flags       the letters of tcpdump and packetdrill, in their order: F S R P . U E W, where ``.`` is
            ACK.  ``e`` is AE (RFC 9768, as newer tcpdumps print it); the three reserved bits have
            no letter anywhere and are written x, y, z (0x200, 0x400, 0x800), so that whatever was
            on the wire can be written down.  ``-`` is a segment without any flag (packetdrill's).
start:end   relative to the sender's ISN, modulo 2**32; end = start + length, whatever the flags:
            the number that a SYN or a FIN takes is not in it.  ``?:?`` where no witness told the
            number (a text transcript prints none for a segment without data).
ack         relative to the *other* side's ISN; there exactly when the flags have ``.``.
win         the window; left out where nobody asked for it.
options     as packetdrill prints them, ``<mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>``;
            ``<>`` says that there are none, nothing says nothing.

`format` and `parse` undo each other.  Comments run from ``#`` or ``//`` to the end of the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from testbed.errors import UsageError
from testbed.wire.segment import ACK
from testbed.wire.seq import MASK

Direction = Literal[">", "<"]

LETTERS = "FSRP.UEWexyz"
"""The letter of each control bit, from 0x001 (FIN) to 0x800, in the order they are written."""

NAMES = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE", "0x200", "0x400", "0x800")
"""The name of each control bit, from 0x001 to 0x800 (the last three have none yet)."""

_ALL_FLAGS = (1 << len(LETTERS)) - 1

_EXPECTED = "expected '> FLAGS START:END(LENGTH) [ack N] [win N] [<options>]' such as '> P. 1:105(104) ack 1'"

_COMMENT = re.compile(r"(#|//).*", re.DOTALL)

_LINE = re.compile(
    r"""\s* (?P<direction>[<>])
        \s* (?P<flags>-|[A-Za-z.]+)
        \s+ (?P<start>\d+|\?) \s*:\s* (?P<end>\d+|\?) \s*\(\s* (?P<length>\d+) \s*\)
        (?:\s* \back\s+ (?P<ack>\d+))?
        (?:\s* \bwin\s+ (?P<win>\d+))?
        (?:\s* <(?P<options>[^<>]*)>)?
        \s*""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One segment, numbers relative to each side's ISN.  Raises `UsageError` on what cannot be.

    direction  '>' client to server, '<' server to client
    flags      the control bits as an integer, 0x000 .. 0xFFF
    seq        0 .. 2**32 - 1, or None where it is not known
    length     payload bytes
    ack        0 .. 2**32 - 1, None exactly when the ACK flag is not set
    win        window, None where it is not said
    options    each as printed, None where they are not said
    """

    direction: Direction
    flags: int
    seq: int | None
    length: int
    ack: int | None = None
    win: int | None = None
    options: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.direction not in (">", "<"):
            raise UsageError(f"direction {self.direction!r} is neither '>' nor '<'")
        if not 0 <= self.flags <= _ALL_FLAGS:
            raise UsageError(f"flags {self.flags:#x} do not fit in the 12 bits of a TCP header")
        for name, number in (
            ("seq", self.seq),
            ("ack", self.ack),
            ("length", self.length),
            ("win", self.win),
        ):
            if number is not None and not 0 <= number <= MASK:
                raise UsageError(f"{name} {number} is not in 0..{MASK}")
        if bool(self.flags & ACK) != (self.ack is not None):
            have, lack = ("the flag '.'", "'ack N'") if self.ack is None else ("'ack N'", "the flag '.'")
            raise UsageError(f"{have} is there without {lack}")

    @property
    def end(self) -> int | None:
        """The sequence number after the last payload byte (SYN and FIN not counted); None as `seq`."""
        return None if self.seq is None else (self.seq + self.length) & MASK

    def __str__(self) -> str:
        return format(self)


def format(line: Line) -> str:
    """`line` in the notation; `parse` gives it back."""
    start, end = ("?", "?") if line.seq is None else (line.seq, line.end)
    text = f"{line.direction} {flag_letters(line.flags)} {start}:{end}({line.length})"
    if line.ack is not None:
        text += f" ack {line.ack}"
    if line.win is not None:
        text += f" win {line.win}"
    if line.options is not None:
        text += f" <{','.join(line.options)}>"
    return text


def parse(text: str) -> Line:
    """The segment that one line of notation describes.

    Blanks may be spread freely; a comment at the end is ignored.  Raises `UsageError`, naming the
    line and what was expected.
    """
    bare = _COMMENT.sub("", text)
    match = _LINE.fullmatch(bare)
    if match is None:
        raise UsageError(f"{text.strip()!r} is no segment: {_EXPECTED}")
    start, end = match["start"], match["end"]
    if (start == "?") != (end == "?"):
        raise UsageError(f"{text.strip()!r}: write '?:?' when the sequence number is not known")
    try:
        line = Line(
            direction=cast(Direction, match["direction"]),
            flags=_flags(match["flags"]),
            seq=None if start == "?" else int(start),
            length=int(match["length"]),
            ack=_number(match["ack"]),
            win=_number(match["win"]),
            options=_options(match["options"]),
        )
    except (UsageError, ValueError) as error:  # ValueError: more digits than int() takes
        raise UsageError(f"{text.strip()[:200]!r}: {error}") from None
    if end != "?" and line.end != int(end):
        raise UsageError(f"{text.strip()!r}: {start} + {line.length} is {line.end}, not {end}")
    return line


def parse_transcript(text: str) -> list[Line]:
    """The segments of a transcript, one a line; empty lines and comments are skipped.

    Raises `UsageError` that names the first line that is no segment by its number.
    """
    lines: list[Line] = []
    for number, row in enumerate(text.splitlines(), 1):
        if not _COMMENT.sub("", row).strip():
            continue
        try:
            lines.append(parse(row))
        except UsageError as error:
            raise UsageError(f"line {number}: {error}") from None
    return lines


def flag_letters(flags: int) -> str:
    """`flags` as tcpdump's letters: 0x011 is ``F.``; ``-`` when there is none."""
    return "".join(letter for bit, letter in enumerate(LETTERS) if flags >> bit & 1) or "-"


def flag_names(flags: int) -> str:
    """`flags` in words: 0x011 is ``FIN, ACK``; ``none`` when there is none."""
    return ", ".join(name for bit, name in enumerate(NAMES) if flags >> bit & 1) or "none"


def _flags(letters: str) -> int:
    flags = 0
    for letter in "" if letters == "-" else letters:
        bit = 1 << LETTERS.find(letter) if letter in LETTERS else 0
        if not bit or flags & bit:
            wrong = "is twice in the flags" if bit else f"is no flag; the flags are {LETTERS!r}"
            raise UsageError(f"{letter!r} {wrong}")
        flags |= bit
    return flags


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def _options(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(" ".join(option.split()) for option in text.split(",")) if text.strip() else ()
