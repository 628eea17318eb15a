"""A network namespace held by a descriptor, which the calling thread goes into and out of again.

Nothing else keeps it: when this process ends, however it does, and with it all that was started
inside, it is gone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from ..errors import CapabilityError, UsageError
from . import libc, sysctl
from .libc import dying_with_parent
from .private import PrivateNetwork


class Network:
    """A private network (`net.private`) that lasts for as long as its descriptor is held.

    name  what it is called in an error
    mtu   of its `lo`, in bytes
    ipv6  without it no router is solicited, and no neighbour, among the packets

    Error handling: CapabilityError where this user may have none.
    """

    def __init__(self, name: str, *, mtu: int = 1500, ipv6: bool = True) -> None:
        self.name = name
        with PrivateNetwork(mtu=mtu):
            for which in () if ipv6 else ("all", "default"):
                with contextlib.suppress(UsageError, CapabilityError):
                    sysctl.set(f"ipv6.conf.{which}.disable_ipv6", 1)
            self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def number(self) -> int:
        """The inode of the namespace, as /proc/PID/ns/net shows it."""
        return os.fstat(self.descriptor).st_ino

    def close(self) -> None:
        """Let go of it; it lives on while a process or a socket is in it."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Be in this network, with the calling thread, for the length of a block without `await`.

        Sockets made inside belong to it, whoever uses them later; so do programs started inside.
        """
        if self.descriptor < 0:
            raise UsageError(f"the {self.name}'s network is closed: it was left")
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc.setns(self.descriptor, libc.CLONE_NEWNET)
            try:
                yield
            finally:
                libc.setns(home, libc.CLONE_NEWNET)
        finally:
            os.close(home)

    def starting(self) -> Callable[[], None]:
        """A `preexec_fn` for a program that is to run in this network, and to end with its parent."""
        wish = dying_with_parent()
        descriptor = self.descriptor

        def in_child() -> None:
            libc.setns(descriptor, libc.CLONE_NEWNET)
            wish()

        return in_child

    def sysctl(self, name: str, value: int | str) -> None:
        """Set net.ipv4.`name` in this network, such as tcp_fin_timeout (seconds)."""
        with self.enter():
            sysctl.set(name, value)


def processes_in(network: int, spare: Container[int] = (), *, after: int = 0) -> list[int]:
    """The processes in a network, by the number of its namespace, but for those to `spare`.

    after  only those with a higher process number: see `newest`
    """
    return _inside(network, "/proc", spare, after)


def threads_in(network: int) -> list[int]:
    """The threads of this process in it, but for the calling one."""
    return _inside(network, "/proc/self/task", {threading.get_native_id()}, 0)


def newest() -> int:
    """The number of the process or thread started last.  Numbers are given upwards until they begin again."""
    return int(Path("/proc/loadavg").read_text().split()[-1])


def _inside(network: int, folder: str, spare: Container[int], after: int) -> list[int]:
    name = f"net:[{network}]"
    found = []
    for entry in os.listdir(folder):  # noqa: PTH208  3 us for each process, not 10
        if entry.isdecimal() and int(entry) > after and int(entry) not in spare:
            with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
                if os.readlink(f"{folder}/{entry}/ns/net") == name:  # noqa: PTH115  likewise
                    found.append(int(entry))
    return found
