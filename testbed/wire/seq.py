"""Sequence numbers modulo 2**32 (RFC 9293 section 3.4, RFC 1982).

"Before" and "after" hold between numbers less than 2**31 apart, as in the kernel's
`before()` and `after()` (include/net/tcp.h).
"""

from __future__ import annotations

MODULUS = 1 << 32
MASK = MODULUS - 1
HALF = 1 << 31


def add(seq: int, count: int) -> int:
    """`seq` moved by `count`, which may be negative."""
    return (seq + count) & MASK


def distance(start: int, end: int) -> int:
    """How far `end` lies ahead of `start`: -2**31 .. 2**31 - 1, negative when it is behind."""
    return ((end - start + HALF) & MASK) - HALF


def before(a: int, b: int) -> bool:
    """True when `a` comes strictly before `b`."""
    return ((a - b) & MASK) >= HALF and a != b


def after(a: int, b: int) -> bool:
    """True when `a` comes strictly after `b`."""
    return before(b, a)
