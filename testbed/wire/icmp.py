"""What an ICMP error says, and what becomes of a connect() whose SYN it quotes.

RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1, RFC 4443; the errnos are Linux's
(icmp_err_convert in net/ipv4/icmp.c, icmpv6_err_convert in net/ipv6/icmp.c).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .decode import IcmpError

IPV4, IPV6 = 12, 36
"""Bytes of the flow that is quoted."""


class _Meaning(NamedTuple):
    words: str
    errno: str = ""


_MEANINGS: Final = {
    (IPV4, 3, 0): _Meaning("network unreachable", "ENETUNREACH"),
    (IPV4, 3, 1): _Meaning("host unreachable", "EHOSTUNREACH"),
    (IPV4, 3, 2): _Meaning("protocol unreachable", "ENOPROTOOPT"),
    (IPV4, 3, 3): _Meaning("port unreachable", "ECONNREFUSED"),
    (IPV4, 3, 4): _Meaning("the packet is too big and must not be fragmented"),
    (IPV4, 3, 5): _Meaning("source route failed", "EOPNOTSUPP"),
    (IPV4, 3, 6): _Meaning("network unknown", "ENETUNREACH"),
    (IPV4, 3, 7): _Meaning("host unknown", "EHOSTDOWN"),
    (IPV4, 3, 9): _Meaning("the network is administratively prohibited", "ENETUNREACH"),
    (IPV4, 3, 10): _Meaning("the host is administratively prohibited", "EHOSTUNREACH"),
    (IPV4, 3, 11): _Meaning("network unreachable for this type of service", "ENETUNREACH"),
    (IPV4, 3, 12): _Meaning("host unreachable for this type of service", "EHOSTUNREACH"),
    (IPV4, 3, 13): _Meaning("administratively prohibited", "EHOSTUNREACH"),
    (IPV4, 11, 0): _Meaning("time to live exceeded on the way", "EHOSTUNREACH"),
    (IPV6, 1, 0): _Meaning("no route", "ENETUNREACH"),
    (IPV6, 1, 1): _Meaning("administratively prohibited", "EACCES"),
    (IPV6, 1, 2): _Meaning("beyond the scope of the source address", "EHOSTUNREACH"),
    (IPV6, 1, 3): _Meaning("address unreachable", "EHOSTUNREACH"),
    (IPV6, 1, 4): _Meaning("port unreachable", "ECONNREFUSED"),
    (IPV6, 1, 5): _Meaning("the source address is not allowed", "EACCES"),
    (IPV6, 1, 6): _Meaning("the route rejects it", "EACCES"),
    (IPV6, 2, 0): _Meaning("the packet is too big"),
    (IPV6, 3, 0): _Meaning("hop limit exceeded on the way", "EHOSTUNREACH"),
}
"""By the quoted flow's length, type and code."""
_KINDS: Final = {
    (IPV4, 3): "unreachable",
    (IPV4, 11): "time exceeded",
    (IPV6, 1): "unreachable",
    (IPV6, 3): "time exceeded",
}


def words_of(error: IcmpError) -> str:
    """``ICMP: host unreachable``."""
    return f"ICMP: {_words(error)}"


def in_words(error: IcmpError) -> str:
    """``host unreachable (type 3, code 1)``."""
    return f"{_words(error)} (type {error.type}, code {error.code})"


def _words(error: IcmpError) -> str:
    family = len(error.quoted_flow)
    meaning = _MEANINGS.get((family, error.type, error.code))
    return meaning.words if meaning is not None else _KINDS.get((family, error.type), "an error")


def errno_of(error: IcmpError) -> str:
    """With what Linux fails a connect() whose SYN is quoted; "" where it goes on."""
    meaning = _MEANINGS.get((len(error.quoted_flow), error.type, error.code))
    return meaning.errno if meaning is not None else ""
