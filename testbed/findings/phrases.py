"""Numbers, durations and lists as words; shared by the rules and by `describe`."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 byte``, ``2 bytes``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(ns: int) -> str:
    """A duration in the unit that suits it: ``15.0 s``, ``43 ms``, ``12 microseconds``."""
    if ns < 0:
        return "-" + duration(-ns)
    if ns < 1_000_000:
        return f"{ns / 1_000:.0f} microseconds"
    if ns < 1_000_000_000:
        return f"{ns / 1_000_000:.3g} ms" if ns < 999_500_000 else "1 s"
    seconds = ns / 1_000_000_000
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def listed(items: Sequence[object], most: int = 6) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``; after `most` the rest is only said to be there."""
    words = [str(item) for item in items[:most]]
    if len(items) > most:
        return ", ".join(words) + " and others"
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def frames(numbers: Sequence[int], total: int | None = None) -> str:
    """``frame 4``, ``frames 11 and 12``, ``frames 1, 2, 3 and 40 others``."""
    total = len(numbers) if total is None else total
    shown = list(numbers[:6])
    word = "frame" if total == 1 else "frames"
    if total > len(shown):
        return f"{word} {', '.join(map(str, shown))} and {total - len(shown)} others"
    return f"{word} {listed(shown)}"
