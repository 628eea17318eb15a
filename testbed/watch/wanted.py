"""Which connections are wanted: by port, by process and its children, by command."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from ..errors import CapabilityError, UsageError
from ..kernel.diag_socket import DiagSocket
from ..kernel.owners import Owner
from ..kernel.sample import SocketAddress
from ..tcp.states import State
from .holders import processes, sockets_of


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
        return {pid for pid in processes() if pid not in self._own and self._text in _command_line(pid)}


@dataclass(slots=True)
class Wanted:
    """Whose connections are wanted: those with one of `ports` at either end (none: any), of a process
    that one of the choosers chooses (none: of any)."""

    ports: Sequence[int]
    choosers: tuple[Chooser, ...]
    pids: set[int] = field(default_factory=set)
    inodes: dict[int, Owner] = field(default_factory=dict)
    listening: set[SocketAddress] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)

    def __call__(self, row: DiagSocket) -> bool:
        ports = self.ports
        if ports and row.local[1] not in ports and (row.remote is None or row.remote[1] not in ports):
            return False
        if not self.choosers or row.inode in self.inodes:
            return True
        if self._listens(row.local):
            return True
        return row.remote is not None and _is_here(row) and self._listens(row.remote)

    def _listens(self, address: SocketAddress) -> bool:
        port = address[1]
        return any(place in self.listening for place in (address, ("0.0.0.0", port), ("::", port)))

    async def renew(self, rows: Sequence[DiagSocket]) -> bool:
        """Look through the watched processes again, where sockets have come that nobody knows yet."""
        if not self.choosers:
            return False
        there = {row.inode for row in rows}
        if there <= self.seen:
            return False
        self.seen = there
        self.pids, self.inodes = await asyncio.to_thread(self._look)
        self.listening = {r.local for r in rows if r.state is State.LISTEN and r.inode in self.inodes}
        return True

    def _look(self) -> tuple[set[int], dict[int, Owner]]:
        pids = set().union(*(chooser.processes() for chooser in self.choosers))
        return pids, sockets_of(pids)

    @property
    def all_ended(self) -> bool:
        """Whether processes were given by number alone, and none of them is left."""
        return all(isinstance(chooser, Tree) and not chooser.processes() for chooser in self.choosers)


def _is_here(row: DiagSocket) -> bool:
    """Whether a connection goes to this very host."""
    assert row.remote is not None
    return row.remote[0] == row.local[0] or row.remote[0].startswith("127.") or row.remote[0] == "::1"


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
