"""Which segments a short ladder shows."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from ...tcp.connection import Exchange
from ...wire.segment import FIN, RST, SYN


def chosen(exchanges: Sequence[Exchange], pointed_at: Container[int | None], limit: int | None) -> set[int]:
    """Which exchanges are shown, as indices: at most `limit` of them.

    SYN, FIN, RST and those whose frame is in `pointed_at` come first, then the beginning and the end.
    """
    count = len(exchanges)
    if limit is None or count <= limit:
        return set(range(count))
    if limit <= 0:
        return set()
    telling = [
        index
        for index, exchange in enumerate(exchanges)
        if exchange.segment.flags & (SYN | FIN | RST) or exchange.segment.frame in pointed_at
    ]
    taken = set(_ends(telling, limit))
    for index in _from_both_ends(count):
        if len(taken) >= limit:
            break
        taken.add(index)
    return taken


def _ends(indices: list[int], limit: int) -> list[int]:
    if len(indices) <= limit:
        return indices
    head = (limit + 1) // 2
    return indices[:head] + indices[len(indices) - (limit - head) :]


def _from_both_ends(count: int) -> Iterator[int]:
    for index in range((count + 1) // 2):
        yield index
        yield count - 1 - index
