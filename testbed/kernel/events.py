"""What the kernel's tracepoints tell of TCP: changes of state, resets and why, retransmissions."""

from __future__ import annotations

from typing import NamedTuple

from ..tcp.states import State
from .sample import SocketAddress, name_of


class Transition(NamedTuple):
    """One socket's change of state (sock/inet_sock_set_state; include/trace/events/sock.h).

    time_ns  nanoseconds since the epoch: the capture's clock
    local    the socket's own end; the port is 0 where the kernel had not written it down yet (a socket
             that never got beyond SYN_SENT)
    remote   the other end; None where there is none (LISTEN)
    before   the state that it left.  LISTEN before SYN_RECEIVED is the new socket's, not the listener's
    state    the state that it came to.  CLOSED after FIN_WAIT_2 or CLOSING is the end of this object and
             not of the connection: it goes on in one of the kernel's small objects, as FIN_WAIT_2 or
             TIME_WAIT, which tells nothing (net/ipv4/tcp_minisocks.c, tcp_time_wait)
    socket   the kernel's address of it; used again once the socket is gone
    pid      who ran: the caller where a call changed the state, anybody where a packet or a timer did
    network  the caller's network namespace, by inode; None where it is not known, or nobody called
    """

    time_ns: int
    local: SocketAddress
    remote: SocketAddress | None
    before: State
    state: State
    socket: int
    pid: int
    network: int | None = None

    def __str__(self) -> str:
        return f"{name_of(self.local)} -> {name_of(self.remote)} {self.before} -> {self.state}"


class ResetSent(NamedTuple):
    """An RST that this kernel sent (tcp/tcp_send_reset).

    time_ns  for one that no segment asked for, when it had been sent: on a loopback its receiver is told
             of first, by microseconds (net/ipv4/tcp_output.c, tcp_send_active_reset)
    local    who sent it
    remote   whom it was sent to; None where the kernel does not say: it names the socket's own ends, and
             a listener, which got an ACK that no connection fits, has no other end
    state    the state of the socket that it was sent for; None where there was none
    reason   the kernel's own word (include/net/rstreason.h), such as ``NO_SOCKET``; None before Linux 6.10
    socket   the kernel's address of that socket, 0 where there was none
    """

    time_ns: int
    local: SocketAddress
    remote: SocketAddress | None
    state: State | None
    reason: str | None
    socket: int
    pid: int

    @property
    def ends_socket(self) -> bool:
        """In SYN_SENT it only answers a wrong ACK, and the socket goes on (RFC 9293 section 3.10.7.3)."""
        return self.state is not State.SYN_SENT


class ResetReceived(NamedTuple):
    """An RST that ended a socket of this kernel (tcp/tcp_receive_reset); `local` is the receiver."""

    time_ns: int
    local: SocketAddress
    remote: SocketAddress
    socket: int


class Retransmission(NamedTuple):
    """A segment sent again (tcp/tcp_retransmit_skb; a SYN,ACK of a handshake: tcp/tcp_retransmit_synack)."""

    time_ns: int
    local: SocketAddress
    remote: SocketAddress
    state: State
    socket: int


Event = Transition | ResetSent | ResetReceived | Retransmission

REASONS: dict[str, str] = {
    "NO_SOCKET": "no socket was there: nobody listens, or the connection is forgotten",
    "TCP_INVALID_ACK_SEQUENCE": "the ACK acknowledges something that was never sent",
    "TCP_RFC7323_PAWS": "the segment's timestamp is older than one already seen",
    "TCP_TOO_OLD_ACK": "the ACK is older than the window allows",
    "TCP_ACK_UNSENT_DATA": "the ACK acknowledges data that was never sent",
    "TCP_FLAGS": "the segment has no business in this state, such as an ACK to a listener",
    "TCP_OLD_ACK": "the ACK is an old one",
    "TCP_ABORT_ON_DATA": "data came after the program had closed the socket",
    "TCP_TIMEWAIT_SOCKET": "data came for a closed socket of which the kernel keeps only a small object",
    "INVALID_SYN": "a SYN came inside the connection",
    "TCP_ABORT_ON_CLOSE": "the program closed the socket with data unread",
    "TCP_ABORT_ON_LINGER": "an orphan's linger time was over, or TCP_LINGER2 is negative",
    "TCP_ABORT_ON_MEMORY": "the kernel is short of memory for orphans",
    "TCP_STATE": "the socket was ended in the middle: SO_LINGER with a time of 0, the listener of a "
    "connection that nobody had accepted closed, or the socket destroyed from outside",
    "TCP_KEEPALIVE_TIMEOUT": "the keepalive probes were not answered",
    "TCP_DISCONNECT_WITH_DATA": "the program disconnected the socket with data unsent or unread",
}
"""Why Linux sends an RST, in words (include/net/rstreason.h and the places that name each)."""
