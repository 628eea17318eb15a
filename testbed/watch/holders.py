"""Which processes hold the sockets: many inodes looked for in one walk, the answers kept.

A walk through the processes reads each one's descriptors, about a microsecond for each; a socket is
looked for once, and three times where nobody is found, as its process may be somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

import psutil

from ..errors import CapabilityError, UsageError
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

    def find(self, inodes: Collection[int]) -> None:
        """Walk through the processes until each of `inodes` is found: those that hold others come first."""
        began = time.monotonic()
        wanted = set(inodes)
        likely = dict.fromkeys(owner.pid for owner in self._known.values())
        for pid in (*likely, *(pid for pid in _processes() if pid not in likely)):
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


class Chooser(Protocol):
    """Which processes are watched."""

    def processes(self) -> set[int]:
        """Those there are now."""


class Tree:
    """Processes by number, and all that they started.

    Error handling: UsageError for one that is not there, CapabilityError for one whose descriptors
    are closed to this user.
    """

    def __init__(self, pids: Collection[int]) -> None:
        self._seen = set(pids)
        for pid in pids:
            try:
                os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208  it is the attempt that counts
            except (FileNotFoundError, ProcessLookupError):
                raise UsageError(f"there is no process {pid}") from None
            except PermissionError:
                raise CapabilityError(
                    f"what process {pid} holds is closed to this user", "run as root (sudo)"
                ) from None

    def processes(self) -> set[int]:
        """One that was seen stays one when its parent has ended."""
        self._seen = {pid for pid in self._seen if _runs(pid)}
        waiting = list(self._seen)
        while waiting:
            for child in _children(waiting.pop()):
                if child not in self._seen:
                    self._seen.add(child)
                    waiting.append(child)
        return self._seen


class Named:
    """Processes whose name or command line holds a text; this one and those that started it do not count."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}

    def processes(self) -> set[int]:
        """Those there are now, new ones too."""
        return {pid for pid in _processes() if pid not in self._own and self._text in _command_line(pid)}


def sockets_of(pids: Iterable[int]) -> set[int]:
    """The inodes of the sockets that processes hold."""
    return {inode for pid in pids for _, inode in _sockets_of(pid)}


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


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208


def _runs(pid: int) -> bool:
    """Whether it is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _children(pid: int) -> list[int]:
    """By /proc, or where this kernel does not list them (CONFIG_PROC_CHILDREN) by everybody's parent."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            try:
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
            except FileNotFoundError:
                with contextlib.suppress(psutil.Error):
                    return [child.pid for child in psutil.Process(pid).children()]
    return found


def _command_line(pid: int) -> str:
    """A process's name and its arguments, in one text."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
    return f"{name}\n{line}"
