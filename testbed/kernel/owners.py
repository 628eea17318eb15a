"""Which process holds a socket: its inode looked for among the open descriptors of processes.

Going through the machine's processes takes about 10 ms for each hundred of them, and so it is done
for the one socket that is asked about, in the likely processes first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import psutil


class Owner(NamedTuple):
    """A process that has a descriptor of a socket; `command` is its name, None when it has ended."""

    pid: int
    fd: int
    command: str | None


def owners(inode: int, pids: Iterable[int] = ()) -> Iterator[Owner]:
    """Who holds the socket with `inode`: of `pids` first, and then of all that this user may look into.

    A generator: who needs one owner pays for no more.  Nobody holds inode 0.
    """
    if not inode:
        return
    likely = dict.fromkeys(pids)
    name = f"socket:[{inode}]"
    for pid in likely:
        yield from _descriptors(pid, name)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) not in likely:
            yield from _descriptors(int(entry.name), name)


def sockets_of(pid: int) -> set[int]:
    """The inodes of the sockets that the process `pid` has a descriptor of."""
    names = (name for name, _ in _open_files(pid))
    return {int(name[8:-1]) for name in names if name.startswith("socket:[")}


def owners_of(inodes: Collection[int]) -> dict[int, Owner]:
    """The first process found that holds each of several sockets, by inode: all are gone through once."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    found: dict[int, Owner] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or not wanted:
            continue
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            for descriptor in os.scandir(entry / "fd"):
                with contextlib.suppress(OSError):
                    inode = wanted.pop(os.readlink(descriptor.path), 0)  # noqa: PTH115
                    if inode:
                        pid = int(entry.name)
                        found[inode] = Owner(pid, int(descriptor.name), command_of(pid))
    return found


def _descriptors(pid: int, name: str) -> Iterator[Owner]:
    for found, descriptor in _open_files(pid):
        if found == name:
            yield Owner(pid, descriptor, command_of(pid))


def _open_files(pid: int) -> Iterator[tuple[str, int]]:
    """What a process has open, as /proc names it, and the descriptor."""
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)  # noqa: PTH208  a process may have 100,000: 1 us each, not 10
    except OSError:  # it has ended, or is another user's
        return
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            yield os.readlink(f"{folder}/{descriptor}"), int(descriptor)  # noqa: PTH115  likewise


def command_of(pid: int) -> str | None:
    """What a process is, in a word or three: ``nginx``, ``python app.py``, ``python -m servers.rpc``.

    None when it has ended or is somebody else's.
    """
    try:
        process = psutil.Process(pid)
        arguments = process.cmdline()
        if not arguments:
            return process.name()
    except psutil.Error:
        return None
    program = PurePath(arguments[0]).name
    if "-m" in arguments[1:-1]:
        return f"{program} -m {arguments[arguments.index('-m') + 1]}"
    if len(arguments) > 1 and not arguments[1].startswith("-"):
        return f"{program} {PurePath(arguments[1]).name}"
    return program
