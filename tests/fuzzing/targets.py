"""What is fuzzed: a row for each decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from .. import mutation
from . import sock_diag, trace_ring


class Target(NamedTuple):
    """One decoder.

    seeds    good inputs, to be damaged
    attempt  decodes one input, good or not, and says in a word what came of it: raises only where the
             decoder does what it never should
    words    every word that `attempt` may say; a long run says each of them
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    attempt: Callable[[bytes], str]
    words: tuple[str, ...]


TARGETS: Final = (
    Target("captures", mutation.seeds, mutation.attempt, ("read", "empty", "refused")),
    Target(
        "sock_diag",
        sock_diag.seeds,
        sock_diag.attempt,
        ("read", "empty", "refused", "told no"),
    ),
    Target("trace_ring", trace_ring.seeds, trace_ring.attempt, ("read", "empty", "refused")),
)
"""Every decoder of bytes that come from outside; the first is what `ci/fuzz` does unasked."""


def target(name: str) -> Target:
    """The row of that name."""
    return next(row for row in TARGETS if row.name == name)
