"""Zeek's one-word verdict and one-string story of a connection: `conn_state` and `history`.

Both are what Zeek's conn.log holds (base/protocols/conn/main.zeek), so that a user of Zeek can
compare.  Where Zeek counts a letter again each time it happens ten times as often (c, g, t, w),
it is written once per direction here.  `c` (bad checksum) is never written: checksums of a
capture made on the sender are wrong by design (offloading), so they are not judged.

    s  SYN            a  ACK alone      d  data         f  FIN          r  RST
    h  SYN,ACK        t  data again     w  zero window  g  data missing q  SYN with FIN or RST
    i  FIN with RST   ^  the first packet came from the server

A capital is the client's letter, a small one the server's.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from ..wire.segment import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from .connection import Connection
    from .endpoint import Endpoint

LETTERS = "shadfrtwgiq"
"""The letter of each bit of `Endpoint.letters`."""
S, H, A, D, F, R, T, W, G, I, Q = (1 << bit for bit in range(len(LETTERS)))  # noqa: E741 - Zeek's own letters

SMALL = {1 << bit: letter for bit, letter in enumerate(LETTERS)}
CAPITAL = {bit: letter.upper() for bit, letter in SMALL.items()}
"""The letters by their bits: the server's, the client's."""


class _Side(enum.Enum):
    """What Zeek's TCP analyzer knows of one end."""

    INACTIVE = "nothing seen"
    PARTIAL = "seen, but not its SYN"
    SYN_SENT = "SYN"
    SYN_ACK_SENT = "SYN,ACK to a SYN not seen"
    ESTABLISHED = "SYN and SYN,ACK seen"
    CLOSED = "FIN"
    RESET = "RST"


def control_letters(flags: int, length: int) -> int:
    """The letters of a segment with SYN, FIN or RST, as bits."""
    bits = 0
    if flags & SYN:
        bits |= H if flags & ACK else S
        if flags & (FIN | RST):
            bits |= Q
    if length:
        bits |= D
    if flags & FIN:
        bits |= F
        if flags & RST:
            bits |= I
    if flags & RST:
        bits |= R
    return bits


def history(connection: Connection) -> str:
    """Zeek's `history`."""
    return ("^" if connection.first_from_server else "") + connection.history


def conn_state(connection: Connection) -> str:
    """Zeek's `conn_state`, by the function of that name in base/protocols/conn/main.zeek."""
    client, server = connection.client, connection.server
    if client.fin_seq is not None and server.fin_seq is not None:
        return "SF"  # an RST after both FINs changes nothing
    if not any(end.letters & ~R for end in (client, server)):
        return "OTH"  # an RST alone
    os, rs = _side(client, server), _side(server, client)
    unknown = (_Side.INACTIVE, _Side.PARTIAL)
    if rs is _Side.RESET:
        if (
            not client.fin_seq
            and client.letters & S
            and not server.letters & H
            and not server.payload_packets
        ):
            return "REJ"
        return "RSTRH" if os in unknown else "RSTR"
    if os is _Side.RESET:
        return "RSTOS0" if rs in unknown else "RSTO"
    if os is _Side.CLOSED:
        return "SH" if rs in unknown else "S2"
    if rs is _Side.CLOSED:
        return "SHR" if os in unknown else "S3"
    if os is _Side.SYN_SENT and rs is _Side.INACTIVE:
        return "S0"
    return "S1" if os is rs is _Side.ESTABLISHED else "OTH"


def _side(end: Endpoint, peer: Endpoint) -> _Side:
    if end.rst_frame:
        return _Side.RESET
    if end.fin_seq is not None:
        return _Side.CLOSED
    if not end.packets:
        return _Side.INACTIVE
    if end.letters & H:
        return _Side.ESTABLISHED if peer.letters & S else _Side.SYN_ACK_SENT
    if end.letters & S:
        return _Side.ESTABLISHED if peer.letters & (H | S) else _Side.SYN_SENT
    return _Side.PARTIAL
