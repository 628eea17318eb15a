"""A conversation as lines of the notation, and the question whether two conversations mean the same.

Two transcripts have the same *meaning* when the same things were said in the same order, however
the kernels happened to put them into segments:

* pure ACKs are left out, as whether one comes alone or rides on data is timing;
* data that follows on data of the same side is one piece; PSH is ignored;
* what was sent twice counts once;
* a FIN or RST that carries data is the data and then the FIN or RST;
* keepalive probes and their answers *are* meaning; a run of them is compared side by side (the two
  ends' timers are not synchronized) and repetitions in it count once;
* probes of a closed window are none: as with pure ACKs, buffers decide when and where they come;
* of an `elastic` side, buffers decide how much it sends: any data of it is the same as any other.

`exact` compares segment by segment instead.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from ..wire.notation import Direction, Line
from ..wire.segment import ACK, FIN, PSH, RST, SYN
from .connection import Connection, Exchange
from .notes import SENT_AGAIN, Note

NO_MEANING = SENT_AGAIN | Note.ZERO_WINDOW_PROBE
MASK = 0xFFFFFFFF


def line_of(exchange: Exchange) -> Line:
    """One segment in the notation, numbers relative to each side's ISN."""
    segment = exchange.segment
    return Line(
        ">" if exchange.from_client else "<",
        segment.flags,
        exchange.seq,
        segment.length,
        exchange.ack if segment.flags & ACK else None,
    )


def lines_of(connection: Connection) -> list[Line]:
    """Every segment of a connection that was tracked with `keep`."""
    return [line_of(exchange) for exchange in connection.exchanges or ()]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of holding a conversation against what was expected.

    same   whether they agree
    diff   where they do not, both as lines: two blanks before what agrees, ``-`` expected and not seen,
           ``+`` seen and not expected
    """

    same: bool
    diff: tuple[str, ...]

    @property
    def parting(self) -> str:
        """Where they first differ, in one line: a list of failed tests shows no more."""
        differs = itertools.dropwhile(lambda line: line[0] == " ", self.diff)
        here = list(itertools.takewhile(lambda line: line[0] != " ", differs))
        missing, other = (
            [line[2:].partition("#")[0].strip() for line in here if line[0] == mark] for mark in "-+"
        )
        if missing:
            return f"expected and not seen: {missing[0]}" + (f"; but {other[0]}" if other else "")
        return f"seen and not expected: {other[0]}" if other else ""


def compare(
    expected: Sequence[Line],
    connection: Connection,
    *,
    exact: bool = False,
    elastic: Collection[Direction] = (),
) -> Comparison:
    """Hold a tracked connection against a transcript.

    elastic  the directions of whose data it is only held that there is some
    """
    exchanges = connection.exchanges or []
    if exact:
        want = [_bare(line) for line in expected]
        seen = [line_of(exchange) for exchange in exchanges]
    else:
        want = meaning(expected)
        seen = meaning(line_of(e) for e in exchanges if not _is_repeated(e, exchanges))
    left, right = ([str(line) if exact else _gist(line, elastic) for line in side] for side in (want, seen))
    if left == right:
        return Comparison(True, ())
    stamps = _stamps(connection)

    def stamped(mark: str, line: Line) -> str:
        return f"{mark} {line!s:<34}{stamps.get(_place(line), '')}".rstrip()

    diff: list[str] = []
    for op, a0, a1, b0, b1 in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if op == "equal":
            diff.extend(stamped(" ", line) for line in seen[b0:b1])
        else:
            diff.extend(f"- {line}" for line in want[a0:a1])
            diff.extend(stamped("+", line) for line in seen[b0:b1])
    return Comparison(False, tuple(diff))


def _is_repeated(exchange: Exchange, exchanges: Sequence[Exchange]) -> bool:
    """Whether it says again what was said.

    A loss probe that comes soon has the note of a segment that was overtaken, as in Wireshark: what it
    carries tells the two apart.
    """
    if not exchange.notes & Note.OUT_OF_ORDER:
        return bool(exchange.notes & NO_MEANING)
    line = line_of(exchange)
    before = (line_of(e) for e in takewhile(lambda e: e is not exchange, exchanges) if e.segment.length)
    return any(
        first.direction == line.direction
        and first.seq is not None
        and line.seq is not None
        and (line.seq - first.seq) & MASK <= first.length - line.length
        for first in before
    )


def _gist(line: Line, elastic: Collection[Direction] = ()) -> str:
    """What of a line must agree: of data only who sent which bytes, as its ACK and PSH are timing."""
    if line.length and not line.flags & (SYN | FIN | RST):
        return f"{line.direction} {'some' if line.direction in elastic else f'{line.seq}:{line.end}'}"
    if elastic:
        line = _without_amounts(line, elastic)
    return str(replace(line, flags=line.flags & ~PSH))


def _without_amounts(line: Line, elastic: Collection[Direction]) -> Line:
    """The line with each number beyond an elastic side's first byte left out."""
    other: Direction = "<" if line.direction == ">" else ">"
    if line.direction in elastic and line.seq is not None and line.seq > 1:
        line = replace(line, seq=None)
    if other in elastic and line.ack is not None and line.ack > 1:
        line = replace(line, ack=MASK)
    return line


def meaning(lines: Iterable[Line]) -> list[Line]:
    """The lines that carry meaning, coalesced as the module's docstring says."""
    said: list[Line] = []
    probes: list[Line] = []
    next_seq: dict[str, int] = {}
    for line in lines:
        if _is_bare_ack(line):
            expected = next_seq.get(line.direction)
            probing = expected is not None and line.seq is not None and line.seq == (expected - 1) & MASK
            answers = (
                bool(probes) and line.seq == expected and any(p.direction != line.direction for p in probes)
            )
            if probing or answers:
                probes.append(line)
            continue
        said.extend(_sorted_probes(probes))
        probes = []
        for part in _parts(line):
            last = said[-1] if said else None
            if last is not None and _continues(last, part):
                said[-1] = replace(part, seq=last.seq, length=last.length + part.length)
            else:
                said.append(part)
        if line.seq is not None:
            taken = line.length + (1 if line.flags & (SYN | FIN) else 0)
            next_seq[line.direction] = (line.seq + taken) & MASK
    said.extend(_sorted_probes(probes))
    return said


def _continues(last: Line, part: Line) -> bool:
    """Is this data that follows directly on data of the same side?"""
    return bool(part.length and last.length and last.direction == part.direction and last.end == part.seq)


def _is_bare_ack(line: Line) -> bool:
    return line.length == 0 and not line.flags & (SYN | FIN | RST)


def _bare(line: Line) -> Line:
    return replace(line, win=None, options=None)


def _parts(line: Line) -> Iterable[Line]:
    """Data, then the control bit it carried.  The ACK of data is timing; that of a SYN, FIN, RST is not."""
    control = line.flags & (SYN | FIN | RST)
    if line.length and not line.flags & SYN:
        yield replace(line, flags=line.flags & ~control, win=None, options=None)
    if control or not line.length:
        seq = line.end if line.length and not line.flags & SYN else line.seq
        yield Line(line.direction, line.flags & ~PSH, seq, 0, line.ack)


def _sorted_probes(run: list[Line]) -> list[Line]:
    """A run of probes, each with its answer behind it: the client's first, each pair once."""
    pairs: list[list[Line]] = []
    for line in run:
        asked = next((p for p in pairs if len(p) == 1 and _answers(line, p[0])), None)
        if asked is not None:
            asked.append(line)
        else:
            pairs.append([line])
    unique = dict.fromkeys(tuple(pair) for pair in pairs)
    return [
        line for pair in sorted(unique, key=lambda pair: pair[0].direction, reverse=True) for line in pair
    ]


def _answers(line: Line, probe: Line) -> bool:
    """An answer acknowledges one more than the probe's number: what had been sent all along."""
    return (
        line.direction != probe.direction
        and line.ack is not None
        and probe.seq is not None
        and line.ack == (probe.seq + 1) & MASK
        and line.seq == probe.ack
    )


def _stamps(connection: Connection) -> dict[tuple[str, int, int | None], str]:
    """For each direction and number, when it was first sent and what states that left."""
    stamps: dict[tuple[str, int, int | None], str] = {}
    for exchange in connection.exchanges or ():
        frame, time_ns = exchange.segment.frame, exchange.segment.time_ns
        states = [connection.state_after(frame, end) or "-" for end in (connection.client, connection.server)]
        stamp = f"  # {(time_ns - connection.start_ns) / 1e9:9.6f} s  {states[0]} / {states[1]}"
        for part in _parts(line_of(exchange)):
            stamps.setdefault(_place(part), stamp)
    return stamps


def _place(line: Line) -> tuple[str, int, int | None]:
    """Direction, control bits and number: enough to find a line's segment again."""
    return (line.direction, line.flags & (SYN | FIN | RST), line.seq)
