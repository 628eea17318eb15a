"""In which network the caller of a call is: what a tracepoint does not say, and /proc does.

A change of state that a call causes runs in the caller's own thread, so its process tells whose network
the socket is in; one that a packet or a timer causes runs in anybody's.  The caller must still be there
when it is asked about, a few milliseconds later: if not, nothing is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..tcp.states import State
from .events import Event, Transition

BY_A_CALL: Final = frozenset(
    {
        (State.CLOSED, State.LISTEN),
        (State.CLOSED, State.SYN_SENT),
        (State.ESTABLISHED, State.FIN_WAIT_1),
        (State.SYN_RECEIVED, State.FIN_WAIT_1),
        (State.CLOSE_WAIT, State.LAST_ACK),
    }
)
"""What listen(), connect(), close() and shutdown() do (RFC 9293 figure 5, "CLOSE / snd FIN" and so on)."""

_FIRST_PID_NAMESPACE: Final = 0xEFFF_FFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


class Callers:
    """Finds the network of each caller, once."""

    def __init__(self) -> None:
        # events have the machine's own process numbers, which another PID namespace's /proc does not
        self._same_numbers = Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE
        self._networks: dict[int, int | None] = {}

    def named(self, event: Event) -> Event:
        """`event` with its caller's network, where that is known."""
        if not isinstance(event, Transition) or (event.before, event.state) not in BY_A_CALL:
            return event
        if event.pid not in self._networks:
            self._networks[event.pid] = self._look(event.pid)
        return event._replace(network=self._networks[event.pid])

    def _look(self, pid: int) -> int | None:
        """The inode of the network namespace of a thread.

        Not of our own: they may have opened a socket in one network and be in another by now.
        """
        if not self._same_numbers or Path(f"/proc/self/task/{pid}").exists():
            return None
        try:
            return Path(f"/proc/{pid}/ns/net").stat().st_ino
        except OSError:
            return None


def network() -> int:
    """The calling thread's network, as `Transition.network` has it."""
    return Path("/proc/thread-self/ns/net").stat().st_ino
