"""One TCP socket as sock_diag shows it: what the other ways of looking do not tell."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from ..tcp.states import State
from .sample import SocketAddress, name_of
from .tcp_info import TcpInfo

AF_INET: Final = 2
AF_INET6: Final = 10
FAMILIES: Final = (AF_INET, AF_INET6)
"""Linux's numbers, which a decoded answer has on other systems too."""


class Timer(enum.IntEnum):
    """Which of a socket's timers is the next to go off (idiag_timer)."""

    NONE = 0
    RETRANSMISSION = 1
    """Or a tail-loss probe, or a request socket's SYN-ACK."""
    KEEPALIVE = 2
    """Or the first part of an orphan's FIN_WAIT_2, where tcp_fin_timeout is over 60 s."""
    TIME_WAIT = 3
    """A small object's end: TIME_WAIT's, or FIN_WAIT_2's of an orphan."""
    WINDOW_PROBE = 4
    OTHER = 255
    """One that this table has no name for."""


class Shut(enum.IntFlag):
    """Which directions are over (sk_shutdown)."""

    NOTHING = 0
    RECEIVE = 1
    SEND = 2


class DiagSocket(NamedTuple):
    """One TCP socket as inet_diag shows it.

    family       AF_INET or AF_INET6: the socket's; an IPv6 socket may carry an IPv4 connection
    local        its own end, by numeric address; IPv4 in IPv6 is IPv4, as on the wire
    remote       the other end; None while there is none
    timer        the timer that is running, with `timer_ms` milliseconds to go
    retransmits  unanswered retransmissions, or unanswered probes of KEEPALIVE and WINDOW_PROBE
    rqueue       bytes received and not read, the peer's FIN counted as one; of a LISTEN socket the
                 connections waiting for accept()
    wqueue       bytes (and the FIN) sent or to be sent, not acknowledged; of a LISTEN socket its
                 backlog
    uid          the owner's
    inode        of the descriptor; 0: nobody holds one (an orphan, a small object, not yet accepted)
    interface    the one it is bound to; 0: none
    cookie       the kernel's name for this very socket, as long as it lives
    shut         None for a small object
    info         only when asked for, and never of a small object
    """

    family: int
    local: SocketAddress
    remote: SocketAddress | None
    state: State
    timer: Timer
    timer_ms: int
    retransmits: int
    rqueue: int
    wqueue: int
    uid: int
    inode: int
    interface: int
    cookie: int
    shut: Shut | None
    info: TcpInfo | None = None

    @property
    def small(self) -> bool:
        """Whether it is one of the kernel's small objects (TIME_WAIT and the like), not a socket."""
        return self.shut is None

    def __str__(self) -> str:
        return f"{name_of(self.local)} -> {name_of(self.remote)} {self.state}"
