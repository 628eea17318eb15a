"""The network of another process: a container's, or a private one that `testbed exec` made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import CapabilityError, UsageError
from . import libc


@contextlib.contextmanager
def network_of(pid: int) -> Iterator[None]:
    """The calling thread in the network of process `pid`, and back again where that is allowed.

    What is opened or started inside belongs to that network, and stays in it.  An ordinary user may go
    into a network that belongs to a user namespace of his own: this process then becomes part of that
    one, for good, and so it must have one thread only (setns(2)).

    Error handling: UsageError when there is no such process; CapabilityError when its network is
    closed to this user.
    """
    libc.require_linux("entering the network of a process")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(pid)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # from a user namespace no way leads back
                libc.setns(home, libc.CLONE_NEWNET)
    finally:
        os.close(home)


def is_own_network(pid: int) -> bool:
    """Whether process `pid` is in the calling thread's network.  OSError as of stat(2)."""
    theirs, ours = Path(f"/proc/{pid}/ns/net").stat(), Path("/proc/thread-self/ns/net").stat()
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def is_only_network() -> bool:
    """Whether every process whose network may be seen is in the calling thread's."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names, many times
        if entry.isdecimal():
            with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
                if not is_own_network(int(entry)):
                    return False
    return True


def _enter(pid: int) -> None:
    try:
        if is_own_network(pid):
            return
        with _opened(pid, "net") as network:
            try:
                libc.setns(network, libc.CLONE_NEWNET)
            except PermissionError:
                with _opened(pid, "user") as user:
                    libc.setns(user, libc.CLONE_NEWUSER)
                libc.setns(network, libc.CLONE_NEWNET)
    except (FileNotFoundError, ProcessLookupError):
        raise UsageError(f"there is no process {pid}") from None
    except OSError as error:
        raise CapabilityError(
            f"the network of process {pid} is closed to this user ({error.strerror})",
            "run as root (sudo), or name a process of a rootless container of your own",
        ) from None


@contextlib.contextmanager
def _opened(pid: int, kind: str) -> Iterator[int]:
    descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
