"""What the kernel counts of a network: the counter that tells an ending nobody looked at, and the others.

Linux counts in EstabResets (RFC 1213, tcpEstabResets) each connection that goes to CLOSED straight
from ESTABLISHED or CLOSE_WAIT: aborted, reset by the peer, or given up (net/ipv4/tcp.c,
tcp_set_state).  A connection that both sides closed never does.  So where the counter stood still,
none of those that went meanwhile was reset, seen or not.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import CapabilityError
from ..net.libc import require_linux

_SIZE = 16384
"""Bytes; the file has about 1,500."""

NETSTAT = Path("/proc/thread-self/net/netstat")
SNMP = Path("/proc/thread-self/net/snmp")


def extended() -> dict[str, int]:
    """What the network that the thread is in has counted since it came up: the TcpExt line of
    /proc/net/netstat, by the kernel's names (net/ipv4/proc.c), such as ListenDrops.

    Error handling: CapabilityError where there is no such file, or nothing of TCP in it.
    """
    try:
        text = NETSTAT.read_text("ascii", "replace")
    except OSError as error:
        raise _incapable(error.strerror, NETSTAT) from None
    found = _table(text, "TcpExt:")
    if not found:
        raise _incapable("it has no TcpExt", NETSTAT)
    return found


def _table(text: str, group: str) -> dict[str, int]:
    """A group's counters by name: a line of names, and below it the line of their values."""
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith(group)]
    return dict(zip(rows[0], map(int, rows[1]), strict=True)) if len(rows) == 2 else {}


class ResetCounter:
    """EstabResets of the network that the thread is in when it makes one, from whatever thread it is read.

    A context manager; a reading takes about 15 microseconds.

    Error handling: CapabilityError where there is no such file, or nothing of TCP in it.
    """

    def __init__(self) -> None:
        require_linux("reading the kernel's counters")
        try:
            self._file = os.open(SNMP, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _incapable(error.strerror, SNMP) from None
        try:
            self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> int:
        """How many there were since the network came up."""
        try:
            text = os.pread(self._file, _SIZE, 0).decode("ascii", "replace")
        except OSError as error:
            raise _incapable(error.strerror, SNMP) from None
        found = _table(text, "Tcp:").get("EstabResets")
        if found is None:
            raise _incapable("it has no EstabResets", SNMP)
        return found

    def close(self) -> None:
        """Again is an error of the caller's."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _incapable(why: str | None, file: Path) -> CapabilityError:
    return CapabilityError(
        f"/proc/net/{file.name} cannot be read ({why or 'no reason given'})",
        "mount /proc with its net directory",
    )
