"""The segment that should have come and did not."""

from __future__ import annotations

from ...tcp.connection import Connection, Ending
from ...tcp.notes import Note
from ...wire.notation import Line
from ...wire.segment import ACK, FIN
from ...wire.seq import MASK
from .told import Ghost


def missing_fin(connection: Connection) -> Ghost | None:
    """The FIN that one end owes, having acknowledged the other's (RFC 9293 section 3.6); else None.

    It is placed after the last segment that is no keep-alive: there the conversation ended.
    """
    if connection.ending is not Ending.HALF_CLOSED:
        return None
    first = connection.first_fin
    debtor = connection.server if first is connection.client else connection.client
    if first is None or not first.fin_acked_frame or first.fin_seq is None:
        return None
    if debtor.next_seq is None or debtor.base is None or first.base is None:
        return None
    probing = int(Note.KEEP_ALIVE | Note.KEEP_ALIVE_ACK)
    last = first.fin_acked_frame
    for exchange in connection.exchanges or ():
        if not exchange.notes & probing:
            last = max(last, exchange.segment.frame)
    line = Line(
        ">" if debtor.is_client else "<",
        FIN | ACK,
        (debtor.next_seq - debtor.base) & MASK,
        0,
        (first.fin_seq + 1 - first.base) & MASK,
    )
    why = f"the {debtor.side} took the FIN and sent none"
    return Ghost(last, debtor.is_client, str(line), why)
