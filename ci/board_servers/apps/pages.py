"""What every server on the board serves: a short page, one that takes two seconds, one of a megabyte."""

from __future__ import annotations

SLOW_SECONDS = 2.0

_LARGE = b"x" * (1 << 20)


def seconds(path: str) -> float:
    """How long the page takes; one that takes nothing is to be answered without waiting for anything."""
    return SLOW_SECONDS if path == "/slow" else 0.0


def body(path: str) -> bytes:
    """What it says."""
    return _LARGE if path == "/large" else b"hello\n"
