"""How many sockets were in which state, second by second, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ..lab.census import Census
from .output import console


def print_census(census: Sequence[Census]) -> None:
    """A line for each time at which the tables were counted, in seconds from the first on."""
    out = console()
    out.print(Text("  seconds  the kernel's sockets, by state", "dim"))
    before = None
    for one in census:
        told = "   ".join(
            f"{side}: " + (", ".join(f"{count:,} {state}" for state, count in sorted(of.items())) or "none")
            for side, of in (("clients", one.clients), ("server", one.servers))
        )
        if told != before:
            out.print(Text.assemble((f"{(one.time_ns - census[0].time_ns) / 1e9:9.2f}  ", "dim"), told))
        before = told
