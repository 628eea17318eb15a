"""Ends of connections that are held open, told together where the same lines hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ...findings import Clue
from .holding import End, Holding, look
from .objects import Pair
from .watch import Watch

MOST = 20
"""How many ends are looked into; a leak of more shows itself in as many."""


class Held(NamedTuple):
    """Ends that the same lines of this process hold open.

    clues  those lines, as they are for the first of `ends`
    more   how many ends besides were open and not looked into
    """

    ends: tuple[End, ...]
    clues: tuple[Clue, ...]
    more: int = 0

    def __str__(self) -> str:
        side, _, state = self.ends[0]
        who = (
            f"the {side}'s end, in {state}, is"
            if len(self.ends) == 1
            else f"the {side}'s ends of {len(self.ends)} connections, in {state}, are"
        )
        more = f" ({self.more} more were not looked into)" if self.more else ""
        return "\n".join((f"  {who} held in this process{more}:", *(f"    {clue}" for clue in self.clues)))


def held_open(ends: Iterable[End], watch: Watch) -> tuple[Held, ...]:
    """Who of this process holds these ends; the user's code alone where it is in it.

    It is asked when a test is about to fail for a reason of its own, and that comes first: what goes wrong
    in here, where other people's objects are asked for their addresses, is told in place of the lines.
    """
    every = list(ends)
    asked = every[:MOST]
    if not asked:
        return ()
    more = len(every) - len(asked)
    try:
        return tuple(one._replace(more=more) for one in _together(asked, look(asked, watch)))
    except Exception as error:
        why = Clue("", f"the lines could not be found: {type(error).__name__}: {error}")
        return (Held(tuple(asked), (why,), more),)


def _together(ends: list[End], holdings: Mapping[Pair, Holding]) -> Iterator[Held]:
    """Those that the same lines hold, each such group once."""
    nearest = min((holding.whose for holding in holdings.values()), default=None)
    alike: dict[tuple[object, ...], list[End]] = {}
    clues: dict[tuple[object, ...], tuple[Clue, ...]] = {}
    for end in ends:
        holding = holdings.get(end.pair)
        if holding is not None and holding.whose == nearest and holding.clues:
            key = (end.side, end.state, *(clue.where for clue in holding.clues))
            alike.setdefault(key, []).append(end)
            clues.setdefault(key, holding.clues)
    return (Held(tuple(same), clues[key]) for key, same in alike.items())


def clues_by_pair(held: Iterable[Held]) -> Mapping[Pair, tuple[Clue, ...]]:
    """The clues about each end."""
    return {end.pair: one.clues for one in held for end in one.ends}
