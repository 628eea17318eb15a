"""The table that scan makes: a row for each connection, a column for each fact.

`COLUMNS` is the table of the columns; names, words and units are those of `explain --json` where the
same thing is told there.  Times are nanoseconds.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from .batch import Batch
from .layout import STATES, Array, At, Of
from .verdicts import Verdict

Kind = Literal["number", "word", "words"]


class Numbers(NamedTuple):
    """A column of numbers; `null` is True where there is none."""

    values: Array
    null: Array | None = None

    def plain(self) -> list[Any]:
        """As Python's values."""
        values: list[Any] = self.values.tolist()
        if self.null is not None:
            for place in np.flatnonzero(self.null).tolist():
                values[place] = None
        return values


class Told(NamedTuple):
    """A column with few different values: for each row the place of its value among `values`."""

    places: Array
    values: Sequence[Any]

    def plain(self) -> list[Any]:
        """As Python's values."""
        return [self.values[place] for place in self.places.tolist()]


Values = Numbers | Told


@dataclass(frozen=True, slots=True)
class Rows:
    """Connections of one capture on their way to the table.

    verdicts, places   what is known of kinds of connections, and where in it each one's is
    """

    file: str
    batch: Batch
    verdicts: Sequence[Verdict]
    places: Array

    def chosen(self, which: Array) -> Rows:
        """Those where a mask is True."""
        return Rows(self.file, self.batch.chosen(which), self.verdicts, self.places[which])

    def __len__(self) -> int:
        return len(self.batch)


class Column(NamedTuple):
    """One column.

    kind      word: one of few, or none; words: several of few
    meaning   for who reads the table: what None (an empty cell) means, too
    """

    name: str
    kind: Kind
    meaning: str
    of: Callable[[Rows], Values]


# ---- what columns are made of


def _plain(name: str) -> Callable[[Rows], Values]:
    return lambda rows: Numbers(rows.batch.of[name].astype(np.int64))


def _by_end(place: int, name: str, rare: bool = False) -> Callable[[Rows], Values]:
    def of(rows: Rows) -> Values:
        records = rows.batch.rare if rare else rows.batch.ends
        return Numbers(records[name][:, place].astype(np.int64))

    return of


def _told(of: Callable[[Verdict], Any]) -> Callable[[Rows], Values]:
    return lambda rows: Told(rows.places, [of(verdict) for verdict in rows.verdicts])


def _state(place: int) -> Callable[[Rows], Values]:
    names = [str(state) for state in STATES]
    return lambda rows: Told(rows.batch.ends["state"][:, place], names)


def _bytes(place: int) -> Callable[[Rows], Values]:
    def of(rows: Rows) -> Values:
        end = rows.batch.ends[:, place]
        return Numbers((end["data_end"] - end["data_start"]).astype(np.int64))  # modulo 2**32

    return of


def _address(place: int) -> Callable[[Rows], Values]:
    def of(rows: Rows) -> Values:
        batch = rows.batch
        high = batch.has(Of.CLIENT_IS_HIGH) != bool(place)
        halves = np.where(high[:, None], batch.of["high"], batch.of["low"])
        keys = np.empty(len(batch), [("first", "u8"), ("second", "u8"), ("v6", "?")])
        keys["first"], keys["second"], keys["v6"] = halves[:, 0], halves[:, 1], batch.has(Of.V6)
        if keys["v6"].any():
            unique, places = np.unique(keys, return_inverse=True)
            return Told(places.ravel(), [_text(int(a), int(b), bool(v6)) for a, b, v6 in unique.tolist()])
        addresses, places = np.unique(halves[:, 1], return_inverse=True)
        return Told(places.ravel(), [_text(0, address, False) for address in addresses.tolist()])

    return of


def _text(first: int, second: int, v6: bool) -> str:
    if v6:
        return socket.inet_ntop(socket.AF_INET6, (first << 64 | second).to_bytes(16, "big"))
    return f"{second >> 24}.{second >> 16 & 255}.{second >> 8 & 255}.{second & 255}"


def _port(place: int) -> Callable[[Rows], Values]:
    def of(rows: Rows) -> Values:
        ports = rows.batch.of["ports"].astype(np.int64)
        high = rows.batch.has(Of.CLIENT_IS_HIGH) != bool(place)
        return Numbers(np.where(high, ports & 0xFFFF, ports >> 16))

    return of


def _roles(rows: Rows) -> Values:
    return Told(rows.batch.has(Of.INFERRED).astype(np.uint8), ["syn", "inferred"])


def _duration(rows: Rows) -> Values:
    return Numbers(rows.batch.of["last_ns"] - rows.batch.of["start_ns"])


def _handshake(rows: Rows) -> Values:
    rtt = rows.batch.of["rtt_ns"].copy()
    return Numbers(rtt, np.equal(rtt, 0))


def _fins(rows: Rows) -> tuple[Array, Array, Array]:
    """Whether each end sent a FIN, and when the first FIN was sent, and how long after it the second."""
    batch = rows.batch
    fins = batch.ends["bits"] & np.uint16(At.FIN) != 0
    times = batch.rare["fin_first_time"]
    by_server = batch.has(Of.FIRST_FIN_BY_SERVER)
    first = np.where(by_server, times[:, 1], times[:, 0])
    return fins, first, np.where(by_server, times[:, 0], times[:, 1]) - first


def _fin_to_fin(rows: Rows) -> Values:
    fins, _, later = _fins(rows)
    return Numbers(later, np.logical_not(fins.all(axis=1)))


def _half_closed(rows: Rows) -> Values:
    fins, first, later = _fins(rows)
    batch = rows.batch
    reset = batch.rare["reset_time"].max(axis=1)  # of the end that sent it; the other has 0
    until = np.where(batch.has(Of.RESET), reset, batch.until)
    both = fins.all(axis=1)
    return Numbers(np.where(both, later, np.maximum(0, until - first)), np.logical_not(fins.any(axis=1)))


COLUMNS: Final = (
    Column("file", "word", "the capture", lambda rows: Told(np.zeros(len(rows), np.uint8), [rows.file])),
    Column("id", "number", "the connection's number in its capture, as `explain` counts", _plain("number")),
    Column("client", "word", "address", _address(0)),
    Column("client_port", "number", "", _port(0)),
    Column("server", "word", "address", _address(1)),
    Column("server_port", "number", "", _port(1)),
    Column("roles", "word", "how it is known who is the client: `syn`, or `inferred` from the ports", _roles),
    Column(
        "incarnation",
        "number",
        "which connection of its four-tuple it is, from 1; 2 and more: the port was reused",
        lambda rows: Numbers(rows.batch.lives.astype(np.int64)),
    ),
    Column("first_frame", "number", "its first packet's number in the capture", _plain("first_frame")),
    Column("start_ns", "number", "when that was, since the epoch", _plain("start_ns")),
    Column("duration_ns", "number", "from its first to its last packet", _duration),
    Column(
        "opening",
        "word",
        "`handshake`, `simultaneous`, `syn-only`, `half-open`, `refused`, `mid-stream`",
        _told(lambda verdict: verdict.opening),
    ),
    Column(
        "ending",
        "word",
        "`orderly` (both FINs), `reset` (an RST before), `half-closed` (one FIN), `open`",
        _told(lambda verdict: verdict.ending),
    ),
    Column(
        "first_fin", "word", "whose FIN came first; empty: nobody's", _told(lambda verdict: verdict.first_fin)
    ),
    Column(
        "reset_by", "word", "whose RST ended it; empty: nobody's", _told(lambda verdict: verdict.reset_by)
    ),
    Column(
        "closed_by",
        "word",
        "who closed first: by FIN, or else by RST; empty: nobody",
        _told(lambda verdict: verdict.first_fin or verdict.reset_by),
    ),
    Column(
        "close_segments",
        "number",
        "3 where the second FIN carried the ACK of the first, else 4; empty: not orderly",
        _told(lambda verdict: verdict.close_segments),
    ),
    Column(
        "client_state", "word", "RFC 9293's name of the state that the wire leaves the client in", _state(0)
    ),
    Column("server_state", "word", "the server's", _state(1)),
    Column(
        "handshake_ns",
        "number",
        "from the last SYN to the ACK of its answer; empty: not captured",
        _handshake,
    ),
    Column("fin_to_fin_ns", "number", "from the first FIN to the other end's; empty: not both", _fin_to_fin),
    Column(
        "half_closed_ns",
        "number",
        "how long one direction was closed and the other open, as far as it was watched; empty: no FIN",
        _half_closed,
    ),
    Column("client_packets", "number", "", _by_end(0, "packets")),
    Column("server_packets", "number", "", _by_end(1, "packets")),
    Column(
        "client_bytes", "number", "payload, by sequence numbers: what was sent twice counts once", _bytes(0)
    ),
    Column("server_bytes", "number", "", _bytes(1)),
    Column("client_retransmissions", "number", "of every kind", _by_end(0, "resent")),
    Column("server_retransmissions", "number", "", _by_end(1, "resent")),
    Column(
        "client_keepalives", "number", "keepalive probes that the client sent", _by_end(0, "keepalives", True)
    ),
    Column("server_keepalives", "number", "", _by_end(1, "keepalives", True)),
    Column(
        "client_zero_windows",
        "number",
        "segments in which the client advertised a window of 0",
        _by_end(0, "zero_windows", True),
    ),
    Column("server_zero_windows", "number", "", _by_end(1, "zero_windows", True)),
    Column("severity", "word", "of the worst finding; empty: none", _told(lambda verdict: verdict.severity)),
    Column(
        "findings",
        "words",
        "the codes of what was found, the worst first; `testbed explain --code CODE` explains one",
        _told(lambda verdict: verdict.codes),
    ),
)

BY_NAME: Final = {column.name: column for column in COLUMNS}
