"""What a link is to do with segments, one rule a line: ``drop > F. #1``.

    action pattern [which]
    inject segment [after pattern [which]]

action     ``pass``, ``drop``, ``hold`` (until it is released), ``duplicate`` (two arrive), ``reorder``
           (the next one in its direction overtakes it)
pattern    the notation, as much of it as matters: ``direction [flags] [start:end(length)] [ack N]``
flags      exactly these; PSH counts only where it is written.  ``.`` alone, without numbers, is a bare
           ACK: no payload.  None at all, or ``*``, is any segment
length     ``(0)`` none, ``(+)`` some, ``(7)`` seven bytes; it may stand without the numbers before it,
           and each of these may be ``?``
which      ``#2`` the second that matches, ``#2-`` that and all later ones, ``#2-4`` three of them;
           nothing, or ``every``, is each.  What is sent again counts again
segment    a whole line of the notation, to be forged: ``> R 1:1(0)``; right after one that matches, or
           at once

    drop > F. #1               the client's first FIN is lost, the second one arrives
    hold < S.                  the server's SYN-ACK, and all its repetitions
    duplicate > (+) #1         the client's first data arrives twice
    reorder > P. 1:8(7)
    inject < R. 1:1(0) ack 1 after > . #1

The first rule that applies decides; every rule counts for itself, whichever decided.  Numbers are
relative to each side's ISN, as everywhere in the notation (`Numbers`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from ..errors import UsageError
from .notation import LETTERS, Direction, Line, parse
from .segment import ACK, PSH, SYN, Segment, reverse
from .seq import MASK


class Action(enum.StrEnum):
    """What is done with a segment that a rule applies to."""

    PASS = "pass"  # noqa: S105 - a verb, no password
    DROP = "drop"
    HOLD = "hold"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    INJECT = "inject"


_WORD = re.compile(r"\s*([a-z]+)")
_DIRECTION = re.compile(r"\s*([<>])")
_FLAGS = re.compile(r"\s*(\*|-|[A-Za-z.]+)(?![A-Za-z.])")
_SIZE = re.compile(r"\s*(?:(\d{1,10}|\?)\s*:\s*(\d{1,10}|\?)\s*)?\(\s*(\d{1,10}|\?|\+)\s*\)")
_ACK = re.compile(r"\s*ack\s+(\d{1,10})\b")
_WHICH = re.compile(r"\s*(?:#(\d{1,9})(?:(-)(\d{1,9})?)?(?!\w)|(every)\b)")
_AFTER = re.compile(r"\s\s*after\b")
_KEYWORDS = ("ack", "after", "every")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which segments are meant; None is any.

    flags     the control bits, PSH among them only where it is asked for
    push      whether PSH is asked for
    payload   ``some``: at least one byte; a number: so many
    """

    direction: Direction
    flags: int | None = None
    push: bool = False
    seq: int | None = None
    payload: int | Literal["some"] | None = None
    ack: int | None = None

    def matches(self, line: Line) -> bool:
        """Whether `line` is one of them."""
        if line.direction != self.direction:
            return False
        if self.flags is not None:
            asked = line.flags if self.push else line.flags & ~PSH
            if asked != self.flags:
                return False
        if self.seq is not None and line.seq != self.seq:
            return False
        if self.payload == "some":
            if not line.length:
                return False
        elif self.payload is not None and line.length != self.payload:
            return False
        return self.ack is None or line.ack == self.ack


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.  `first` to `last` (None: no end) of those that match `pattern`, counted from 1.

    pattern  None: a segment to be forged at once
    forged   the segment to be forged, of INJECT alone
    text     the rule as it was written
    """

    action: Action
    pattern: Pattern | None
    text: str
    first: int = 1
    last: int | None = None
    forged: Line | None = None

    def __str__(self) -> str:
        return self.text


class _Reader:
    """A rule's text on its way to a `Rule`; `at` is how far it is read."""

    def __init__(self, text: str) -> None:
        self.text = text.rstrip()
        self.at = 0

    def take(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def wrong(self, what: str, at: int | None = None) -> UsageError:
        """A complaint about what stands at `at`, with its column."""
        at = self.at if at is None else at
        at += len(self.text[at:]) - len(self.text[at:].lstrip())
        return UsageError(f"rule {self.text.strip()!r}, column {at + 1}: {what}")

    def rest(self) -> str:
        """What stands where we are, for a complaint."""
        return self.text[self.at :].split(maxsplit=1)[0] if self.text[self.at :].split() else ""


def parse_rule(text: str) -> Rule:
    """The rule that a line says.  UsageError, with the column, when it says none."""
    reader = _Reader(text)
    if "\n" in text.strip():
        raise UsageError(f"rule {text.strip()[:60]!r}: a rule is one line")
    word = reader.take(_WORD)
    try:
        action = Action(word[1] if word else "")
    except ValueError:
        said = repr(word[1]) if word else "nothing"
        raise reader.wrong(f"{said} is no action; there are: {', '.join(Action)}", 0) from None
    if action is Action.INJECT:
        return _injection(reader)
    pattern = _pattern(reader)
    first, last = _which(reader)
    _end(reader)
    return Rule(action, pattern, reader.text.strip(), first, last)


def parse_pattern(text: str) -> Pattern:
    """A pattern alone, such as ``> F.``.  UsageError, with the column, when it is none."""
    reader = _Reader(text)
    pattern = _pattern(reader)
    _end(reader)
    return pattern


def _injection(reader: _Reader) -> Rule:
    start = reader.at
    after = _AFTER.search(reader.text, start)
    segment = reader.text[start : after.start() if after else None]
    try:
        forged = parse(segment)
    except UsageError as error:
        raise reader.wrong(str(error)) from None
    if forged.seq is None:
        raise reader.wrong("a segment to be forged needs its sequence number")
    if after is None:
        return Rule(Action.INJECT, None, reader.text.strip(), forged=forged)
    reader.at = after.end()
    pattern = _pattern(reader)
    first, last = _which(reader)
    _end(reader)
    return Rule(Action.INJECT, pattern, reader.text.strip(), first, last, forged)


def _pattern(reader: _Reader) -> Pattern:
    direction = reader.take(_DIRECTION)
    if direction is None:
        raise reader.wrong(f"expected a direction, '>' or '<', not {reader.rest()!r}")
    before = reader.at
    letters = reader.take(_FLAGS)
    if letters is not None and letters[1] in _KEYWORDS:
        reader.at, letters = before, None
    flags = _flags(reader, letters[1], before) if letters and letters[1] != "*" else None
    size = reader.take(_SIZE)
    seq, payload = _size(reader, size)
    ack = reader.take(_ACK)
    if flags == ACK and size is None and not (letters and "P" in letters[1]):
        payload = 0
    return Pattern(
        cast(Direction, direction[1]),
        flags,
        bool(letters and "P" in letters[1]),
        seq,
        payload,
        int(ack[1]) & MASK if ack else None,
    )


def _flags(reader: _Reader, letters: str, at: int) -> int:
    flags = 0
    for letter in "" if letters == "-" else letters:
        bit = 1 << LETTERS.find(letter) if letter in LETTERS else 0
        if not bit or flags & bit:
            wrong = "is twice in the flags" if bit else f"is no flag; the flags are {LETTERS!r}"
            raise reader.wrong(f"{letter!r} {wrong}", at)
        flags |= bit
    return flags


def _size(reader: _Reader, size: re.Match[str] | None) -> tuple[int | None, int | Literal["some"] | None]:
    if size is None:
        return None, None
    start, end, length = size.groups()
    payload: int | Literal["some"] | None = int(length) if length.isdigit() else None
    if length == "+":
        payload = "some"
    seq = int(start) if start and start != "?" else None
    if seq is not None and end != "?" and isinstance(payload, int) and (seq + payload) & MASK != int(end):
        raise reader.wrong(f"{start} + {length} is {(seq + payload) & MASK}, not {end}", size.start())
    return seq, payload


def _which(reader: _Reader) -> tuple[int, int | None]:
    start = reader.at
    found = reader.take(_WHICH)
    if found is None or found[4]:
        return 1, None
    first = int(found[1])
    last = int(found[3]) if found[3] else None if found[2] else first
    if first < 1 or (last is not None and last < first):
        raise reader.wrong(f"{found[0].strip()!r} is none: they are counted from 1 upwards", start)
    return first, last


def _end(reader: _Reader) -> None:
    if reader.rest():
        raise reader.wrong(f"did not expect {reader.rest()!r}; a rule is: action direction flags ... #N")


# ---------------------------------------------------------------- segments as lines


class Numbers:
    """Each connection's initial sequence numbers, so that segments become lines and back.

    A four-tuple that was never seen to open is numbered from the first segment on, as a capture that
    begins in the middle is.
    """

    def __init__(self) -> None:
        self._bases: dict[bytes, dict[bool, int]] = {}

    def line(self, segment: Segment, from_client: bool) -> Line:
        """The segment in the notation; remembers the numbers it brings."""
        flow = segment.flow if from_client else reverse(segment.flow)
        bases = self._bases.setdefault(flow, {})
        seq = segment.seq or 0
        if segment.flags & SYN and bases.get(from_client) != seq:
            if from_client in bases:  # the four-tuple is used again: the other side's number is an old one
                bases.clear()
            bases[from_client] = seq
        bases.setdefault(from_client, (seq - 1) & MASK)
        ack = None
        if segment.flags & ACK:
            ack = (segment.ack - bases.setdefault(not from_client, (segment.ack - 1) & MASK)) & MASK
        return Line(
            ">" if from_client else "<", segment.flags, (seq - bases[from_client]) & MASK, segment.length, ack
        )

    def absolute(self, line: Line, flow: bytes) -> tuple[int, int]:
        """The sequence and acknowledgment numbers that `line` means in the connection whose client's
        direction is `flow`; an end that never sent counts from 0."""
        bases = self._bases.get(flow, {})
        from_client = line.direction == ">"
        seq = ((line.seq or 0) + bases.get(from_client, 0)) & MASK
        ack = 0 if line.ack is None else (line.ack + bases.get(not from_client, 0)) & MASK
        return seq, ack


class Decision(NamedTuple):
    """What the rules say of one segment; `rule` is None where none applied."""

    action: Action
    rule: Rule | None
    forged: tuple[Line, ...]


class Rulebook:
    """Rules, and how often each has matched."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules: list[Rule] = []
        self._counts: list[int] = []
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        """Put a rule after the others; it counts from now on."""
        self.rules.append(rule)
        self._counts.append(0)

    def remove(self, text: str) -> int:
        """Take out the rules that were written so; returns how many there were."""
        kept = [(r, c) for r, c in zip(self.rules, self._counts, strict=True) if r.text != text]
        gone = len(self.rules) - len(kept)
        self.rules, self._counts = [r for r, _ in kept], [c for _, c in kept]
        return gone

    def decide(self, line: Line) -> Decision:
        """Count `line` for every rule; what the first that applies says, and what is forged after it."""
        action, decided, forged = Action.PASS, None, []
        for index, rule in enumerate(self.rules):
            if rule.pattern is None or not rule.pattern.matches(line):
                continue
            self._counts[index] += 1
            count = self._counts[index]
            if count < rule.first or (rule.last is not None and count > rule.last):
                continue
            if rule.forged is not None:
                forged.append(rule.forged)
            elif decided is None:
                action, decided = rule.action, rule
        return Decision(action, decided, tuple(forged))
