"""Which processes hold the sockets: many inodes looked for in one walk, the answers kept.

A walk through the processes reads each one's descriptors, about a microsecond for each; a socket is
looked for once, and three times where nobody is found, as its process may be somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from ..kernel.owners import Owner, command_of

_KEPT: Final = 50_000
_TRIES: Final = 3
_SHARE: Final = 10
"""A walk that took t is not followed by another one for this many times t."""


class Holders:
    """Who holds which socket, as far as it was looked for."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Owner] = OrderedDict()
        self._tried: OrderedDict[int, int] = OrderedDict()
        self._not_before = 0.0

    def of(self, inode: int) -> Owner | None:
        """The holder of the socket with `inode`; None: nobody, somebody else's process, not looked for."""
        return self._known.get(inode)

    def unknown(self, inodes: Iterable[int]) -> set[int]:
        """Those of `inodes` that a walk may find the holder of."""
        return {i for i in inodes if i and i not in self._known and self._tried.get(i, 0) < _TRIES}

    @property
    def rested(self) -> bool:
        """Whether the last walk is long enough ago, for its length, that another one costs little."""
        return time.monotonic() >= self._not_before

    def learn(self, owners: Mapping[int, Owner]) -> None:
        """Take in who holds which inode, found on another walk."""
        self._known.update(owners)

    def find(self, inodes: Collection[int]) -> None:
        """Walk through the processes until each of `inodes` is found: those that hold others come first."""
        began = time.monotonic()
        wanted = set(inodes)
        likely = dict.fromkeys(owner.pid for owner in self._known.values())
        for pid in (*likely, *(pid for pid in processes() if pid not in likely)):
            if not wanted:
                break
            command: str | None = None
            for descriptor, inode in _sockets_of(pid):
                if inode in wanted:
                    command = command or command_of(pid)
                    self._known[inode] = Owner(pid, descriptor, command)
                    wanted.discard(inode)
        for inode in wanted:
            self._tried[inode] = self._tried.get(inode, 0) + 1
        for kept in (self._known, self._tried):
            while len(kept) > _KEPT:
                kept.popitem(last=False)
        ended = time.monotonic()
        self._not_before = ended + _SHARE * (ended - began)


def still_holds(owner: Owner, inode: int) -> bool:
    """Whether the descriptor is still that of the socket with `inode`."""
    try:
        return os.readlink(f"/proc/{owner.pid}/fd/{owner.fd}") == f"socket:[{inode}]"  # noqa: PTH115
    except OSError:
        return False


def sockets_of(pids: Iterable[int]) -> dict[int, Owner]:
    """The sockets that processes hold, by inode."""
    held: dict[int, Owner] = {}
    for pid in pids:
        if sockets := list(_sockets_of(pid)):
            command = command_of(pid)
            held.update((inode, Owner(pid, descriptor, command)) for descriptor, inode in sockets)
    return held


def _sockets_of(pid: int) -> Iterator[tuple[int, int]]:
    """(descriptor, inode) of each socket of a process; of none where it is closed to us, or has ended."""
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)  # noqa: PTH208  a process may have 100,000: 1 us each, not 10
    except OSError:
        return
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            target = os.readlink(f"{folder}/{descriptor}")  # noqa: PTH115  likewise
            if target.startswith("socket:["):
                yield int(descriptor), int(target[8:-1])


def processes() -> list[int]:
    """Every process there is."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
