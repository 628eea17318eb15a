"""The checks: one table, a file for each theme."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...errors import UsageError
from . import arriving, closing, idling, misbehaving, racing, resources, stopping, vanishing
from .table import Check, Need, missing

_FILES = (closing, stopping, arriving, misbehaving, vanishing, idling, racing, resources)

CHECKS: Mapping[str, Check] = MappingProxyType({row.id: row for file in _FILES for row in file.CHECKS})
"""Every check by its id, in the order in which a report shows them."""


def find_check(name: str) -> Check:
    """The check of that id.  UsageError names the ones there are."""
    try:
        return CHECKS[name]
    except KeyError:
        raise UsageError(f"no check called {name!r}; there are: {', '.join(CHECKS)}") from None


__all__ = ["CHECKS", "Check", "Need", "find_check", "missing"]
