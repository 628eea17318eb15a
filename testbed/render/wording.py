"""The words and numbers that every drawing of a ladder shares."""

from __future__ import annotations

from collections.abc import Iterable

from .ladder import Arrow, GhostArrow

SECOND_NS = 1_000_000_000

FLAG_WORDS = {
    "S": "SYN",
    "F": "FIN",
    "R": "RST",
    "P": "PSH",
    ".": "ACK",
    "U": "URG",
    "E": "ECE",
    "W": "CWR",
    "e": "AE",
}
"""The notation's letters in the order in which a legend tells them."""


def seconds(time_ns: int) -> str:
    """A time as seconds with six decimals, cut, not rounded: ``15.043127``, ``-0.000020``."""
    whole, rest = divmod(abs(time_ns) // 1000, 1_000_000)
    return f"{'-' if time_ns < 0 else ''}{whole}.{rest:06d}"


def duration(ns: int) -> str:
    """A length of time as one says it: ``15.0 s``, ``2 min 05 s``, ``3 h 07 min``, ``2 d 04 h``."""
    tenths = (ns + SECOND_NS // 20) // (SECOND_NS // 10)
    if tenths < 600:
        return f"{tenths // 10}.{tenths % 10} s"
    whole = (ns + SECOND_NS // 2) // SECOND_NS
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def span(ns: int) -> str:
    """A length of time in three figures or so: ``21 µs``, ``1.8 ms``, ``350 ms``, then as `duration`."""
    if ns < 1_000_000:
        return f"{ns // 1000} µs"
    if ns < 10_000_000:
        return f"{ns / 1e6:.1f} ms"
    return f"{ns // 1_000_000} ms" if ns < SECOND_NS else duration(ns)


def counted(count: int, thing: str) -> str:
    """``1 packet``, ``2,000 packets``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def omitted(count: int, duration_ns: int) -> str:
    """``1,234 segments not shown (3.2 s)``."""
    lasted = f" ({duration(duration_ns)})" if duration_ns >= 10**8 else ""
    return f"{counted(count, 'segment')} not shown{lasted}"


def undirected(notation: str) -> str:
    """A line of notation without its ``>`` or ``<``: the arrow that it stands on says that."""
    return notation[2:] if notation[:2] in ("> ", "< ") else notation


def remarks(row: Arrow) -> str:
    """What stands small behind an arrow's notation: Wireshark's words, and what was done to it."""
    return ", ".join(filter(None, (*row.notes, row.fault)))


def spoken(row: Arrow, origin_ns: int) -> str:
    """A segment in a sentence, for those who hear it: both ends' states after it last."""
    way = "client to server" if row.from_client else "server to client"
    states = " / ".join(state or "?" for state in (row.client_state, row.server_state))
    marks = ", ".join(mark.code for mark in row.marks)
    told = [f"frame {row.frame}, {seconds(row.time_ns - origin_ns)} s, {way}: {undirected(row.notation)}"]
    return "; ".join(filter(None, (*told, remarks(row), marks, states)))


def kind(row: Arrow) -> str:
    """What a segment is drawn as: ``rst`` (an ICMP error too), ``fin``, ``syn``, ``keepalive``, ``plain``."""
    if row.icmp:
        return "rst"
    flags = undirected(row.notation).split(" ", 1)[0]
    for letter, name in (("R", "rst"), ("F", "fin"), ("S", "syn")):
        if letter in flags:
            return name
    return "keepalive" if any(note.startswith("keep-alive") for note in row.notes) else "plain"


def flags_used(rows: Iterable[object]) -> list[tuple[str, str]]:
    """The flag letters that occur in `rows`, each with its name, for a legend."""
    used: set[str] = set()
    for row in rows:
        if isinstance(row, GhostArrow) or (isinstance(row, Arrow) and not row.icmp):
            notation = row.notation if isinstance(row, Arrow) else row.text
            used.update(undirected(notation).split(" ", 1)[0])
    return [(letter, word) for letter, word in FLAG_WORDS.items() if letter in used]
