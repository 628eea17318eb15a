"""A private network and its capture, kept by this process for one experiment after the other.

    async with shared_network() as shared:
        ...                                      # the calling thread is in it
        recording = await shared.capture.cut()   # this experiment's packets, and no others

To make both takes 40 ms, to go into them again 1.  What an experiment finds must be its own all the same.
So a network is lent to one lab at a time, and lent again only when it is empty: no program holds a
socket in it, no process and no other thread is in it, and every packet that it carried has been captured
and thrown away.  What the kernel alone still keeps (TIME_WAIT, orphans and what they would send again)
is destroyed by sock_diag.  A network that cannot be emptied so, that lost a packet or whose settings
were changed is left to whoever is in it, and the next experiment gets a new one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Final, Self

from ..capture import Tcpdump
from ..errors import CapabilityError, Error, UsageError
from ..kernel import SockDiag
from ..net import sysctl
from ..net.network import Network, newest, processes_in, threads_in

MTU: Final = 1500
SNAPLEN: Final = 2048

_MOST_KEPT: Final = 2
"""A test may have two labs at once; more than that are made and ended."""
_SWEEPS: Final = 3
"""What was destroyed may leave something behind in its turn: TIME_WAIT, an RST on its way."""


class SharedNetwork:
    """One that may be kept.

    network  held by its descriptor
    capture  of its `lo`; always on, read while a lab has it
    changed  set by a lab that changed its settings: it is not kept then
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.changed = False
        self._newest = newest()
        self.network = Network("shared", mtu=MTU)
        self.capture = Tcpdump(snaplen=SNAPLEN)

    async def start(self) -> Self:
        """Begin, in the network.  CapabilityError where this user may not capture."""
        with contextlib.suppress(UsageError, CapabilityError):
            # else a connection would begin with what an earlier one learnt of the path
            sysctl.set("tcp_no_metrics_save", 1)
        await self.capture.__aenter__()
        return self

    async def is_empty(self) -> bool:
        """Make it so, from within, and say whether it is: nothing that comes is an earlier experiment's."""
        if self.changed:
            return False
        try:
            self.capture.resume()
            return _swept() and self._is_left() and (await self.capture.cut()).complete is True
        except Error:
            return False

    def _is_left(self) -> bool:
        """Whether nobody is in it but the calling thread and tcpdump."""
        before, self._newest = self._newest, newest()
        if threads_in(self.network.number):
            return False
        if self._newest == before:
            return True
        after = before if self._newest > before else 0  # the numbers have begun again
        return not processes_in(self.network.number, {self.pid, self.capture.pid}, after=after)

    def close(self) -> None:
        """End the capture and let go of the network."""
        self.capture.close()
        self.network.close()


def _swept() -> bool:
    """Destroy the sockets that nobody holds; whether that leaves none at all."""
    with SockDiag() as kernel:
        for _ in range(_SWEEPS):
            left = kernel.dump(bound=True)
            if not left:
                return True
            if any(one.inode for one in left):
                return False
            for one in left:
                kernel.destroy(one)
    return False


_kept: list[SharedNetwork] = []


@contextlib.asynccontextmanager
async def shared_network() -> AsyncIterator[SharedNetwork]:
    """Be in an empty network, with the calling thread, whose capture begins now.

    Error handling: CapabilityError where this user may have none, or may not capture.
    """
    with contextlib.ExitStack() as stack:
        shared = await _borrowed(stack)
        try:
            yield shared
        finally:
            stack.close()
            _give_back(shared)


async def _borrowed(stack: contextlib.ExitStack) -> SharedNetwork:
    """A kept one that is empty, else a new one, and the thread in it until `stack` is closed."""
    while True:
        kept = _kept.pop() if _kept else None
        if kept is not None and kept.pid != os.getpid():
            continue  # a forked child's parent uses it
        shared = kept or SharedNetwork()
        try:
            with contextlib.ExitStack() as inside:
                inside.enter_context(shared.network.enter())
                if kept is None:
                    await shared.start()
                elif not await shared.is_empty():
                    shared.close()
                    continue
                stack.push(inside.pop_all())
                return shared
        except BaseException:
            shared.close()
            raise


def _give_back(shared: SharedNetwork) -> None:
    """Keep it for the next experiment."""
    shared.capture.rest()
    if len(_kept) < _MOST_KEPT and not shared.changed:
        _kept.append(shared)
    else:
        shared.close()


@atexit.register
def release() -> None:
    """End what was kept; at the end of a process, and where one ends without its exit handlers."""
    while _kept:
        shared = _kept.pop()
        if shared.pid == os.getpid():
            shared.close()
