"""What a finding is, what it may rest on, and what a rule says of itself.

A rule is one row: its code, how bad it is, what it means, the likely cause, the remedy, where the
RFCs speak of it, and what would disprove it.  `rules.RULES` is the table of all of them.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..tcp.connection import Connection
from ..tcp.endpoint import Endpoint
from ..wire.decode import IcmpError
from ..wire.segment import reverse
from .phrases import duration

Side = Literal["client", "server"]


class Severity(enum.StrEnum):
    """How bad: an `error` is broken, a `warning` wants a look, an `info` explains."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Finding(NamedTuple):
    """One thing that a rule found in one connection.

    code   names the rule: `testbed explain --code CODE`
    side   whose it is, None when it belongs to both or to the capture
    frame  the packet that shows it best, by its number in the file from 1; None where none does
    text   what was seen, by which witness, and what follows, in whole sentences
    """

    code: str
    severity: Severity
    side: Side | None
    frame: int | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """As in the documents."""
        return {**self._asdict(), "severity": str(self.severity)}


class Clue(NamedTuple):
    """A line of the program that has to do with a connection held open.

    where  ``app.py:34``; empty where no line can be named
    what   what is so there, in words that begin in lower case and end without a full stop
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class Holder(NamedTuple):
    """A process that holds a socket of the connection, as the kernel's tables named it.

    pid, fd  its id and the descriptor, command its name; None where the tables did not say
    state    RFC 9293's name for the state the kernel had the socket in
    witness  who says so: psutil or sock_diag
    clues    which lines of the process hold it, where it is our own
    seen_ns  when it was last seen to, ns since the epoch; 0: it still does
    """

    side: Side
    pid: int | None
    fd: int | None
    command: str | None
    state: str
    witness: str
    clues: tuple[Clue, ...] = ()
    seen_ns: int = 0


class KernelReading(NamedTuple):
    """What one end's row in the kernel's tables meant when the capture was cut.

    code     names the rule that passes it on; one that no rule has is no finding
    text     a sentence without its capital and full stop
    state    RFC 9293's name for the state the kernel had the socket in
    witness  who says so: sock_diag, which alone shows queues and timers
    """

    side: Side
    code: str
    text: str
    state: str
    witness: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known besides the connection itself.

    end_ns         until when the capture goes on, ns as in its segments: when a live one was cut, else the
                   last packet of the file; 0 when not known
    source         a live capture, a file, or a text transcript (which prints no numbers for some)
    dropped        packets that the capture is known to have lost
    complete       True when proven to hold every packet, False when proven not to, None unknown
    truncated      packets that the snap length cut
    problems       what is wrong with the file, a line each
    disagreements  where a text and the bytes it shows differ, a line for each field of this connection's
                   packets, by frame
    icmp_errors    ICMP errors that quote a segment, in their order, by the direction that it went;
                   there may be more of them as the capture is read on
    holders        who still holds which end; only a live run knows
    readings       what the kernel's tables meant at the end; only a live run knows
    reset_reason   why the kernel that sent the RST says it did, and what that means; "" not known
    """

    end_ns: int = 0
    source: Literal["live", "file", "text"] = "file"
    dropped: int = 0
    complete: bool | None = None
    truncated: int = 0
    problems: tuple[str, ...] = ()
    disagreements: tuple[tuple[int, str], ...] = ()
    icmp_errors: Mapping[bytes, Sequence[IcmpError]] = field(default_factory=dict)
    holders: tuple[Holder, ...] = ()
    readings: tuple[KernelReading, ...] = ()
    reset_reason: str = ""

    @property
    def flawed(self) -> bool:
        """Whether the capture as a whole may lack something."""
        return bool(self.dropped or self.complete is False or self.problems)

    def icmp_about(self, connection: Connection, flow: bytes) -> Sequence[IcmpError]:
        """The ICMP errors that quote a segment of this direction of a connection."""
        errors = self.icmp_errors.get(flow)
        if not errors:
            return ()
        begin = bisect_left(errors, (connection.first_frame,)) if connection.port_reused else 0
        after = connection.successor
        return errors[begin:] if after is None else errors[begin : bisect_left(errors, (after.frame,))]

    def icmp_of(self, connection: Connection) -> list[IcmpError]:
        """The ICMP errors that quote a segment of either direction of a connection, in their order."""
        flows = connection.client_flow, reverse(connection.client_flow)
        return sorted(error for flow in flows for error in self.icmp_about(connection, flow))

    def until(self, connection: Connection) -> int:
        """The time up to which a connection was watched: to the capture's end, or until its four-tuple
        was opened anew."""
        if connection.successor is not None:
            return connection.successor.time_ns
        return max(self.end_ns, connection.last_time_ns)

    def silence_after(self, connection: Connection) -> int:
        """ns from the connection's last packet until there was no more of it to be seen."""
        return max(0, self.until(connection) - connection.last_time_ns)

    def held(self, side: str) -> list[Holder]:
        """The holders of one side's socket."""
        return [holder for holder in self.holders if holder.side == side]

    def reading(self, side: str, *codes: str) -> KernelReading | None:
        """The first reading of one side's socket with one of these codes."""
        return next((r for r in self.readings if r.side == side and r.code in codes), None)


def in_words(clues: Iterable[Clue]) -> str:
    """Clues within a sentence: ``accepted by handle (app.py:30); ...``."""
    return "; ".join(f"{clue.what} ({clue.where})" if clue.where else clue.what for clue in clues)


Judge = Callable[[Connection, Evidence], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    severity  what its findings usually have; one may be milder or worse where its text says why
    disproof  what, if seen, would show a finding of it to be wrong
    when      the signs and notes (`signs.Sign`, `Note`) of which one is there when it finds something
    witness   on whose word its findings rest
    """

    code: str
    severity: Severity
    title: str
    meaning: str
    cause: str
    remedy: str
    rfc: str
    disproof: str
    when: int
    judge: Judge
    witness: Literal["wire", "kernel"] = "wire"


def side_of(end: Endpoint) -> Side:
    """The end's name as findings spell it."""
    return "client" if end.is_client else "server"


def other(connection: Connection, end: Endpoint) -> Endpoint:
    """The end across."""
    return connection.server if end is connection.client else connection.client


def ends(connection: Connection) -> tuple[Endpoint, Endpoint]:
    """The client, then the server."""
    return connection.client, connection.server


def watched(connection: Connection, ns: int) -> str:
    """For how long a connection was watched after something: ``3.0 s that the capture goes on``."""
    if connection.successor is None:
        return f"{duration(ns)} that the capture goes on"
    return f"{duration(ns)} until frame {connection.successor.frame} opened the four-tuple anew"
