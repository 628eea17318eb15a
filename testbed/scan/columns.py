"""The table that scan makes: a row for each connection, a column for each fact.

`COLUMNS` is the table of the columns; names, words and units are those of `explain --json` where the
same thing is told there.  Times are nanoseconds.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
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

    @cached_property
    def addresses(self) -> tuple[Told, Told]:
        """The clients' and the servers'."""
        return _addresses(self.batch, 0), _addresses(self.batch, 1)

    @cached_property
    def fins(self) -> _Fins:
        return _fins(self.batch)


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
    return lambda rows: rows.addresses[place]


def _addresses(batch: Batch, place: int) -> Told:
    high = batch.has(Of.CLIENT_IS_HIGH) != bool(place)
    second = np.where(high, batch.of["high"][:, 1], batch.of["low"][:, 1])
    v6 = batch.has(Of.V6)
    if not v6.any():
        addresses, places = np.unique(second, return_inverse=True)
        return Told(places, [_text(0, address, False) for address in addresses.tolist()])
    keys = np.empty(len(batch), [("first", "u8"), ("second", "u8"), ("v6", "?")])
    keys["first"] = np.where(high, batch.of["high"][:, 0], batch.of["low"][:, 0])
    keys["second"], keys["v6"] = second, v6
    unique, places = np.unique(keys, return_inverse=True)
    return Told(places.ravel(), [_text(*key) for key in unique.tolist()])


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


class _Fins(NamedTuple):
    """When the first FIN was sent, how long after it the other end's, and whether each of them was."""

    first_ns: Array
    later_ns: Array
    both: Array
    any: Array


def _fins(batch: Batch) -> _Fins:
    client, server = (batch.ends["bits"][:, place] & np.uint16(At.FIN) != 0 for place in (0, 1))
    of_client, of_server = (batch.rare["fin_first_time"][:, place] for place in (0, 1))
    by_server = batch.has(Of.FIRST_FIN_BY_SERVER)
    later = of_server - of_client
    return _Fins(
        np.where(by_server, of_server, of_client),
        np.where(by_server, -later, later),
        client & server,
        client | server,
    )


def _fin_to_fin(rows: Rows) -> Values:
    fins = rows.fins
    return Numbers(fins.later_ns, np.logical_not(fins.both))


def _half_closed(rows: Rows) -> Values:
    fins, batch = rows.fins, rows.batch
    reset = batch.rare["reset_time"]  # of the end that sent it; the other has 0
    until = np.where(batch.has(Of.RESET), np.maximum(reset[:, 0], reset[:, 1]), batch.until)
    watched = np.maximum(0, until - fins.first_ns)
    return Numbers(np.where(fins.both, fins.later_ns, watched), np.logical_not(fins.any))


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
