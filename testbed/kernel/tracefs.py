"""A private instance of the kernel's tracing: made, set up, and removed whatever happens.

An instance has buffers and switches of its own, so nobody else's tracing is touched and none of it
is seen (Documentation/trace/ftrace.rst, "Instances").  Its owner holds a lock on one of its files
for as long as it lives: an instance that is called ours and has no lock is what a killed run left,
and the next one sweeps it away.

Where tracefs is not mounted it is mounted for this process alone, attached to no folder, and gone
with its descriptor (fsopen(2), fsmount(2)).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from ..errors import CapabilityError
from ..net import libc

PREFIX: Final = "testbed-"
MOUNTS: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
LOCKED: Final = "tracing_on"
"""The file of an instance that its owner holds locked."""

GONE: Final = frozenset({errno.ENOENT, errno.ENODEV})
"""What the kernel says of an instance that is being removed, or was."""

_TRIES: Final = 20
REMEDY: Final = "run as root on the machine itself (in a container: docker run --privileged)"


_RESERVED: Final = "tracefs is reserved to root"


@cache
def root() -> Path:
    """Where tracefs is.  CapabilityError where it is not and cannot be mounted, or is not for this user."""
    libc.require_linux("listening to the kernel's tracepoints")
    try:
        mounted = next((at for at in MOUNTS if (at / "instances").is_dir()), None) or _mounted_for_us()
    except PermissionError:  # the mounted one is closed to this user
        raise CapabilityError(_RESERVED, REMEDY) from None
    if not os.access(mounted / "instances", os.W_OK):
        raise CapabilityError(_RESERVED, REMEDY)
    return mounted


def _mounted_for_us() -> Path:
    try:
        descriptor = libc.detached_mount("tracefs")
    except PermissionError:
        raise CapabilityError(_RESERVED, REMEDY) from None
    except OSError as error:
        raise CapabilityError(
            f"tracefs is not mounted and cannot be ({error.strerror})",
            f"{REMEDY}; or as root: mount -t tracefs nodev {MOUNTS[0]}",
        ) from None
    return Path(f"/proc/self/fd/{descriptor}")


class Instance:
    """An instance of our own.

    Error handling: CapabilityError from the constructor where this user or this kernel cannot.
    """

    def __init__(self) -> None:
        self.path = Path()
        self._lock = -1
        folder = root() / "instances"
        for number in range(_TRIES):
            self.path = folder / f"{PREFIX}{os.getpid()}-{time.monotonic_ns()}-{number}"
            try:
                self.path.mkdir()
                lock = _lock(self.path)
            except BlockingIOError:  # another run looks whether it is a leftover, and removes it
                continue
            except OSError as error:
                if error.errno in GONE:  # swept away by another run before it was locked
                    continue
                raise CapabilityError(
                    f"a tracing instance cannot be made ({error.strerror})", REMEDY
                ) from None
            self._lock = lock
            return
        raise CapabilityError("a tracing instance cannot be made: others keep removing it", "try again")

    def read(self, name: str) -> str:
        """A file of the instance, whole."""
        return (self.path / name).read_text()

    def write(self, name: str, value: str) -> None:
        """Write `value` into a file of the instance; OSError where the kernel refuses."""
        (self.path / name).write_text(value)

    def buffers(self) -> Iterator[int]:
        """A descriptor for each processor's buffer, as binary pages, that never blocks."""
        for cpu in sorted((self.path / "per_cpu").glob("cpu*")):
            yield os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def remove(self) -> None:
        """Remove it; again is harmless.  Everything opened from it must be closed."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError):
            self.write("events/enable", "0")
        os.close(self._lock)
        self._lock = -1
        _remove(self.path)


def _lock(path: Path) -> int:
    """Lock the instance at `path`; BlockingIOError where another holds it."""
    lock = os.open(path / LOCKED, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove(path: Path) -> None:
    """Remove the instance at `path`; one of which others have a file open is left to the next sweep."""
    for _ in range(_TRIES):
        try:
            path.rmdir()
        except OSError as error:
            if error.errno in GONE:
                return
            if error.errno != errno.EBUSY:  # somebody reads it: a sweep that looks at its lock
                raise
            time.sleep(0.005)
        else:
            return


def sweep() -> int:
    """Remove the instances that killed runs left; returns how many."""
    swept = 0
    try:
        found = list((root() / "instances").glob(f"{PREFIX}*"))
    except PermissionError:  # this process was root when it looked where tracefs is
        raise CapabilityError(_RESERVED, REMEDY) from None
    for path in found:
        with contextlib.suppress(OSError):  # its owner lives, has just removed it, or another run sweeps
            lock = _lock(path)
            try:
                (path / "events/enable").write_text("0")
            finally:
                os.close(lock)
            _remove(path)
            swept += not path.exists()
    return swept
