"""Who holds the sockets that their applications should have closed: looked for while it can be told.

A socket in CLOSE_WAIT has its peer's FIN and waits for its application's close().  One that is in it at
two looks in a row is worth the question whose it is; the processes are gone through once for all such
sockets of a look.  What passes between two looks is not seen, and need not be: it was closed.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from ..tcp.states import State
from .diag_socket import DiagSocket
from .owners import Owner, owners_of
from .sample import SocketAddress
from .sock_diag import SockDiag

MOST: Final = 10_000
"""Sockets remembered; a program that leaks more is known by then."""


class Held(NamedTuple):
    """A socket that a process held, as it was last seen.

    first_ns, last_ns   the times of the first and the last look that showed it, since the epoch
    """

    local: SocketAddress
    remote: SocketAddress
    state: State
    owner: Owner
    first_ns: int
    last_ns: int


class Leaks:
    """Looks for sockets in CLOSE_WAIT, and remembers who held them.

    held   by (local, remote, inode)
    """

    def __init__(self, kernel: SockDiag) -> None:
        self._kernel = kernel
        self._waiting: set[int] = set()  # inodes, at the last look
        self.held: dict[tuple[SocketAddress, SocketAddress, int], Held] = {}

    def look(self, *, last: bool = False) -> None:
        """Look once; the last time, at every socket that is there."""
        states = frozenset(State) - {State.LISTEN} if last else {State.CLOSE_WAIT}
        now = time.time_ns()
        found = [one for one in self._kernel.dump(states=states) if one.remote is not None and one.inode]
        asked = [one for one in found if last or one.inode in self._waiting]
        self._waiting = {one.inode for one in found}
        new = {one.inode for one in asked if _key(one) not in self.held}
        named = owners_of(new) if new else {}
        for one in asked:
            key, before = _key(one), self.held.get(_key(one))
            owner = before.owner if before else named.get(one.inode)
            if owner is not None and (before or len(self.held) < MOST):
                first = before.first_ns if before else now
                self.held[key] = Held(key[0], key[1], one.state, owner, first, now)

    def unsettled(self) -> bool:
        """Whether any connection is between its first FIN and its end."""
        return bool(self._kernel.dump(states=CLOSING))


CLOSING: Final = frozenset(
    {State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK}
)


def _key(one: DiagSocket) -> tuple[SocketAddress, SocketAddress, int]:
    assert one.remote is not None
    return one.local, one.remote, one.inode
