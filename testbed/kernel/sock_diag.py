"""The kernel's TCP sockets by NETLINK_SOCK_DIAG: the same network's, with queues, timers and inodes.

No privilege is needed for one's own network.  The network is that of the *thread* that opens the
`SockDiag`; it stays so whichever thread asks.

A question takes microseconds (a look-up) to about a millisecond for each 1,000 sockets (a dump) and is
answered within the system call, so asking from an event loop is fine; for tens of thousands of sockets
a thread of its own serves (`asyncio.to_thread(kernel.dump)`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Any, Final, Self

from ..errors import CapabilityError, ExperimentError, UsageError
from ..net.libc import require_linux
from ..tcp.states import State
from .diag_socket import AF_INET6, FAMILIES, DiagSocket
from .rows import Rows
from .sample import SocketAddress, normal
from .sock_diag_codec import (
    EITHER,
    Answer,
    CodecError,
    KernelError,
    decode,
    encode_destroy,
    encode_dump,
    encode_lookup,
)

_NETLINK_SOCK_DIAG: Final = 4
_BUFFER: Final = 256 * 1024
"""Bytes for one datagram: Linux sends at most 64 KiB of a dump in one."""
_PATIENCE: Final = 5
"""Seconds after which a kernel that does not answer never will."""
_MOST_TRIES: Final = 5


class SockDiag:
    """A conversation with the kernel about the TCP sockets of this thread's network.

    A context manager; `close` ends it.  Threads may share it: one question is asked at a time.

    Error handling: CapabilityError on opening where the kernel has no such interface or a sandbox
    keeps it closed; KernelError when it refuses a question; CodecError for an answer that makes no
    sense, one that was cut and one that never came, after which the conversation is closed.
    """

    def __init__(self) -> None:
        require_linux("asking the kernel for its sockets by sock_diag")
        self._lock = threading.Lock()
        self._sequence = 0
        self._buffer = bytearray(_BUFFER)
        self._last = Rows()
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
            )
        except OSError as error:
            raise _incapable(error.strerror) from None
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _PATIENCE, 0))
            self._socket.bind((0, 0))
            self.lookup(("127.0.0.1", 1), ("127.0.0.1", 1))
        except KernelError as error:
            self.close()
            raise _incapable(os.strerror(error.errno)) from None
        except OSError as error:
            self.close()
            raise _incapable(error.strerror) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the conversation; again is harmless."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- questions

    def dump(
        self,
        *,
        states: Collection[State] = frozenset(State),
        ports: Collection[int] = (),
        families: Collection[int] = FAMILIES,
        bound: bool = False,
        info: bool = False,
    ) -> list[DiagSocket]:
        """Every socket in one of `states`, with one of `ports` at either end if any is given.

        The kernel does the choosing.  A dump is no snapshot: sockets come and go while it is read, and
        a socket may be told of twice, in two states, when it is handed to a small object meanwhile.

        bound  sockets too that have a port and are neither listening nor connected, as CLOSED (Linux 6.8)
        info   with TCP_INFO, which about doubles the time

        Error handling: as the class says; ExperimentError when the tables changed under five dumps in
        a row.
        """
        return list(self.rows(states=states, ports=ports, families=families, bound=bound, info=info))

    def rows(
        self,
        *,
        states: Collection[State] = frozenset(State),
        ports: Collection[int] = (),
        families: Collection[int] = FAMILIES,
        bound: bool = False,
        info: bool = False,
    ) -> Rows:
        """The same, each socket decoded when it is first looked at.

        Those that have not changed since the last dump are the very same objects as then.
        """
        found: list[bytes] = []
        with self._lock:
            # to ask for both at once takes half the time: the kernel walks through its whole table for either
            for family in (EITHER,) if set(families) == set(FAMILIES) else families:
                found += self._dump(family, states=states, ports=ports, bound=bound, info=info)
            self._last = Rows(found, self._last)
            return self._last

    def _dump(self, family: int, **options: Any) -> list[bytes]:
        for _ in range(_MOST_TRIES):
            self._sequence = self._sequence % 0xFFFF_FFFF + 1
            question = encode_dump(family, self._sequence, **options)
            try:
                answer = self._ask(question, whole=True)
            except KernelError as error:
                if family == AF_INET6 and error.errno == errno.ENOENT:  # a kernel without IPv6
                    return []
                raise
            if not answer.interrupted:
                return answer.rows
        raise ExperimentError(
            f"the kernel's tables changed while they were read, {_MOST_TRIES} times in a row"
        )

    def lookup(
        self, local: SocketAddress, remote: SocketAddress, *, interface: int = 0, info: bool = False
    ) -> DiagSocket | None:
        """The one socket with these ends, or None when there is none.

        interface  the index of the one that the socket is bound to (link-local addresses)

        Once a connection's socket is gone the kernel answers with the listener; such an answer has
        other ends than were asked for, and is None.  So is a CLOSED socket that a program still holds:
        the kernel finds it by no address.
        """
        with self._lock:
            self._sequence = self._sequence % 0xFFFF_FFFF + 1
            question = encode_lookup(local, remote, self._sequence, interface=interface, info=info)
            try:
                answer = self._ask(question, whole=False)
            except KernelError as error:
                if error.errno == errno.ENOENT:
                    return None
                raise
        ends = normal(*local), normal(*remote)
        return next((found for found in answer.sockets if (found.local, found.remote) == ends), None)

    def destroy(self, doomed: DiagSocket) -> None:
        """Have the kernel end a socket (tcp_abort); one that is gone already is no error.

        A program that holds it is told ECONNABORTED, and its peer gets an RST where its state wants one;
        TIME_WAIT and other small objects vanish without a word.

        Error handling: KernelError: EPERM without CAP_NET_ADMIN over the network, EOPNOTSUPP where the
        kernel has no CONFIG_INET_DIAG_DESTROY.
        """
        with self._lock:
            self._sequence = self._sequence % 0xFFFF_FFFF + 1
            try:
                self._ask(encode_destroy(doomed, self._sequence), whole=True)
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise

    # ---- the conversation

    def _ask(self, question: bytes, *, whole: bool) -> Answer:
        """Send `question` and read its answer: one message, or the `whole` of a dump up to its end."""
        if self._socket.fileno() < 0:
            raise UsageError("this SockDiag is closed; make another one")
        found: list[bytes] = []
        interrupted = False
        try:
            self._socket.sendto(question, (0, 0))
            while True:
                answer = decode(self._receive(), self._sequence)
                found += answer.rows
                interrupted = interrupted or answer.interrupted
                if answer.done or (found and not whole):
                    return Answer(found, answer.done, interrupted)
        except KernelError:
            raise
        except OSError as error:
            self.close()
            raise CodecError(f"the kernel's answer did not come: {error.strerror or error}") from None
        except BaseException:  # the rest of an answer that was given up would come with the next one
            self.close()
            raise

    def _receive(self) -> bytes:
        """The next datagram of the kernel's; another process's (its port id is not 0) is passed over."""
        while True:
            size, _, flags, (sender, _) = self._socket.recvmsg_into([self._buffer])
            if flags & socket.MSG_TRUNC:
                raise CodecError(f"an answer was longer than {_BUFFER} bytes")
            if sender == 0:
                return bytes(memoryview(self._buffer)[:size])


def available() -> bool:
    """Whether the kernel answers here."""
    with contextlib.suppress(CapabilityError), SockDiag():
        return True
    return False


def _incapable(why: str | None) -> CapabilityError:
    return CapabilityError(
        f"the kernel does not answer NETLINK_SOCK_DIAG ({why or 'no reason given'})",
        "run on Linux with CONFIG_INET_DIAG (modprobe tcp_diag), or look through psutil",
    )
