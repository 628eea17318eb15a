"""NETLINK_SOCK_DIAG for TCP as bytes: questions encoded, answers decoded, no socket opened.

The layouts are the kernel's own (include/uapi/linux: netlink.h, sock_diag.h, inet_diag.h): a
netlink header of 16 bytes, an inet_diag_msg of 72 and attributes behind it.  Numbers are in the
machine's byte order, ports and addresses in the network's.

Three kinds of object answer.  A full socket has an inode while a descriptor (or the accept queue's
taker) holds it; the small ones that Linux keeps for a handshake in progress (a request socket) and
for TIME_WAIT or an orphan's FIN_WAIT_2 have inode 0, uid 0, empty queues, and no shutdown bits.

Error handling: `CodecError` for an answer that is cut, lies about its lengths or names a state that
does not exist; `KernelError` for one in which the kernel refuses.  Nothing else is raised, whatever
the bytes.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import struct
from collections.abc import Callable, Collection, Iterable
from operator import itemgetter
from typing import Final, NamedTuple

from ..errors import ExperimentError, UsageError
from ..tcp.states import State
from . import tcp_info
from .diag_socket import AF_INET, AF_INET6, FAMILIES, DiagSocket, Shut, Timer
from .port_filter import either_end
from .sample import SocketAddress, normal
from .tcp_info import TcpInfo

STATES: Final[dict[int, State]] = {
    1: State.ESTABLISHED,
    2: State.SYN_SENT,
    3: State.SYN_RECEIVED,
    4: State.FIN_WAIT_1,
    5: State.FIN_WAIT_2,
    6: State.TIME_WAIT,
    7: State.CLOSED,
    8: State.CLOSE_WAIT,
    9: State.LAST_ACK,
    10: State.LISTEN,
    11: State.CLOSING,
}
"""include/net/tcp_states.h and RFC 9293.  A request socket is shown as 3 (the kernel's own 12 never
is); 13 in a question means sockets that are bound and no more, which are shown as 7."""

_NUMBERS: Final = {state: number for number, state in STATES.items()}

_OF_EITHER_FAMILY: Final = 18
"""TCPDIAG_GETSOCK, the older question: both families in one walk through the kernel's tables."""
SOCK_DIAG_BY_FAMILY: Final = 20
SOCK_DESTROY: Final = 21
_SOCKETS: Final = frozenset({_OF_EITHER_FAMILY, SOCK_DIAG_BY_FAMILY})
"""What a message about a socket is: the kernel answers with the question's type."""

EITHER: Final = 0
"""AF_UNSPEC: sockets of both families."""
_NOOP, _ERROR, _DONE, _OVERRUN = 1, 2, 3, 4
_REQUEST, _ACKNOWLEDGE, _DUMP, _MULTI, _INTERRUPTED = 0x1, 0x4, 0x300, 0x2, 0x10
_IPPROTO_TCP: Final = 6
_ATTRIBUTE_BYTECODE: Final = 1
_ATTRIBUTE_INFO: Final = 2
_ATTRIBUTE_SHUTDOWN: Final = 8
_INFO_WANTED: Final = 1 << (_ATTRIBUTE_INFO - 1)
_NO_COOKIE: Final = (1 << 64) - 1

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST_BODY: Final = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_OLDER_BODY: Final = struct.Struct(
    "=3xB"
)  # inet_diag_req: extensions; its end has the states, 4 bytes unused
_OLDER_STATES: Final = struct.Struct("=I4x")
_PORTS: Final = struct.Struct(">HH16s16s")  # source and destination: ports, then addresses
_WHICH: Final = struct.Struct("=IQ")  # interface, cookie
_BODY: Final = struct.Struct("=BBBB36x" + "IQ" + "IIIII")
_ENDS: Final = slice(4, 4 + _PORTS.size)
_ATTRIBUTE: Final = struct.Struct("=HH")  # length with this header, type
_SIZE: Final = _HEADER.size


class CodecError(ExperimentError):
    """What came is no answer that the kernel's headers allow."""


class KernelError(ExperimentError):
    """The kernel answered with an error; `errno` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the kernel refuses to tell of its sockets: {os.strerror(number)} (errno {number})")
        self.errno = number


_TIMERS: Final = {int(timer): timer for timer in Timer}
_SHUT: Final = tuple(Shut(bits) for bits in range(4))


class Answer(NamedTuple):
    """What one datagram of the kernel's holds.

    rows         the sockets' descriptions, in bytes; each was checked: `socket_of` takes it
    done         a dump is over with it
    interrupted  the tables changed so that the dump may be incomplete: ask again (NLM_F_DUMP_INTR)
    """

    rows: list[bytes]
    done: bool
    interrupted: bool

    @property
    def sockets(self) -> list[DiagSocket]:
        """The rows decoded."""
        return [socket_of(row) for row in self.rows]


# ---------------------------------------------------------------- questions


def encode_dump(
    family: int,
    sequence: int,
    *,
    states: Collection[State] = frozenset(State),
    ports: Collection[int] = (),
    bound: bool = False,
    info: bool = False,
) -> bytes:
    """Ask for every socket of `family` in one of `states`, with one of `ports` at either end if any is given.

    family  EITHER: both families' sockets; the kernel has walked through all of them in any case
    bound  those too that have a port and are neither listening nor connected; shown as CLOSED (Linux 6.8)

    Error handling: UsageError for a port that is none, and for more than 1000 of them.
    """
    filters = either_end(ports)
    wanted, more = _mask(states) | bound << 13, _INFO_WANTED if info else 0
    any_socket = _PORTS.pack(0, 0, b"", b"") + _WHICH.pack(0, 0)
    if family == EITHER:
        kind, body = _OF_EITHER_FAMILY, _OLDER_BODY.pack(more) + any_socket + _OLDER_STATES.pack(wanted)
    else:
        kind = SOCK_DIAG_BY_FAMILY
        body = _REQUEST_BODY.pack(family, _IPPROTO_TCP, more, wanted) + any_socket
    if filters:
        body += _attribute(_ATTRIBUTE_BYTECODE, filters)
    return _message(kind, _REQUEST | _DUMP, sequence, body)


def encode_lookup(
    local: SocketAddress, remote: SocketAddress, sequence: int, *, interface: int = 0, info: bool = False
) -> bytes:
    """Ask for the one socket with these two ends.

    Error handling: UsageError when they are no two numeric addresses of one family.
    """
    here, there = (_address_of(*end) for end in (local, remote))
    if here.version != there.version:
        raise UsageError(f"no connection goes from {here} to {there}")
    family = AF_INET if here.version == 4 else AF_INET6
    body = _REQUEST_BODY.pack(family, _IPPROTO_TCP, _INFO_WANTED if info else 0, _ALL)
    body += _PORTS.pack(local[1], remote[1], here.packed, there.packed) + _WHICH.pack(interface, _NO_COOKIE)
    return _message(SOCK_DIAG_BY_FAMILY, _REQUEST, sequence, body)


def encode_destroy(socket: DiagSocket, sequence: int) -> bytes:
    """Have the kernel end this very socket and nothing else with its addresses (its cookie tells)."""
    here, there = (_packed(socket.family, end) for end in (socket.local, socket.remote))
    body = _REQUEST_BODY.pack(socket.family, _IPPROTO_TCP, 0, _ALL)
    body += _PORTS.pack(socket.local[1], socket.remote[1] if socket.remote else 0, here, there)
    body += _WHICH.pack(socket.interface, socket.cookie)
    return _message(SOCK_DESTROY, _REQUEST | _ACKNOWLEDGE, sequence, body)


def _mask(states: Iterable[State]) -> int:
    return sum(1 << _NUMBERS[state] for state in set(states))


_ALL: Final = _mask(State)


@functools.lru_cache(maxsize=4096)
def _address_of(host: str, port: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(normal(host, port)[0])
    except ValueError:
        raise UsageError(f"{host!r} is no numeric address") from None
    if not 0 <= port <= 0xFFFF:
        raise UsageError(f"{port} is no port")
    return address


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_SIZE + len(body), kind, flags, sequence, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


# ---------------------------------------------------------------- answers


def decode(data: bytes, sequence: int) -> Answer:
    """The sockets in one datagram, those of other questions than number `sequence` left out."""
    alike = _alike(data, sequence)
    if alike is not None:
        return Answer(alike, done=False, interrupted=False)
    rows: list[bytes] = []
    done = interrupted = False
    header = _HEADER.unpack_from
    at, end = 0, len(data)
    while at < end:
        if at + _SIZE > end:
            raise CodecError(f"a netlink header is cut after {end - at} bytes")
        length, kind, flags, number, _ = header(data, at)
        if length < _SIZE or at + length > end:
            raise CodecError(f"a netlink message says that it has {length} bytes where {end - at} are")
        if number == sequence:
            interrupted = interrupted or flags & _INTERRUPTED != 0
            if kind in _SOCKETS:
                rows.append(data[at + _SIZE : at + length])
            elif kind == _DONE:
                _raise_error(data, at, length)
                done = True
            elif kind == _ERROR:
                _raise_error(data, at, length, whole=True)
                done = True
            elif kind == _OVERRUN:
                raise CodecError("the kernel says that an answer was lost")
            elif kind != _NOOP:
                raise CodecError(f"a netlink message of type {kind} answers no question about sockets")
        at += length + -length % 4
    _check(rows)
    return Answer(rows, done, interrupted)


def _alike(data: bytes, sequence: int) -> list[bytes] | None:
    """The rows of a datagram in which every message has the same header, byte for byte; None of others.

    Nearly all of a large dump is such datagrams, and this is several times as fast as going from one
    message to the next: each byte of the first is held against its like in all others at once.
    """
    if len(data) < _SIZE:
        return None
    length, kind, flags, number, _ = _HEADER.unpack_from(data)
    if kind not in _SOCKETS or number != sequence or flags & _INTERRUPTED:
        return None
    if length < _SIZE + _BODY.size or length % 4 or len(data) % length:
        return None
    count = len(data) // length

    def same(first: int, end: int) -> bool:
        return all(data[at::length] == data[at : at + 1] * count for at in range(first, end))

    families, states = data[_SIZE::length], data[_SIZE + 1 :: length]
    if not same(0, _SIZE) or families.translate(None, _FAMILIES) or states.translate(None, _STATES):
        return None
    rows = [row for (row,) in struct.iter_unpack(f"={_SIZE}x{length - _SIZE}s", data)]
    _check_attributes(rows[:1] if same(_SIZE + _BODY.size, length) else rows)
    return rows


_FAMILIES: Final = bytes(FAMILIES)
_STATES: Final = bytes(STATES)


def _check(rows: list[bytes]) -> None:
    """CodecError unless all of `rows` can be decoded."""
    for row in rows:
        if len(row) < _BODY.size:
            raise CodecError(f"a socket's description is cut after {len(row)} bytes of {_BODY.size}")
        family, status = row[0], row[1]
        if family not in FAMILIES or status not in STATES:
            raise CodecError(f"there is no TCP socket of family {family} in state {status}")
    _check_attributes(rows)


def _check_attributes(rows: list[bytes]) -> None:
    """The same of what is behind their descriptions; thousands often have the same, looked at once."""
    for attributes in {row[_BODY.size :] for row in rows}:
        _attributes(attributes)


def _raise_error(data: bytes, at: int, length: int, *, whole: bool = False) -> None:
    """DONE and ERROR begin with an errno, negative; 0 is none.  DONE of old kernels has nothing."""
    if length < _SIZE + 4:
        if whole:
            raise CodecError("the kernel's error is cut before it says which")
        return
    number = -struct.unpack_from("=i", data, at + _SIZE)[0]
    if number < 0 or number > 4095:  # MAX_ERRNO
        raise CodecError(f"errno {number} is none")
    if number:
        raise KernelError(number)


def socket_of(row: bytes) -> DiagSocket:
    """A row of an `Answer` decoded."""
    family, status, kind, retransmits, interface, cookie, left, rqueue, wqueue, uid, inode = (
        _BODY.unpack_from(row)
    )
    local, remote = _ends(family, row[_ENDS])
    return DiagSocket(
        family,
        local,
        remote,
        STATES[status],
        _TIMERS.get(kind, Timer.OTHER),
        left,
        retransmits,
        rqueue,
        wqueue,
        uid,
        inode,
        interface,
        cookie,
        *_attributes(row[_BODY.size :]),
    )


Mark = tuple[int, bytes, int]
"""What a change of a socket is noticed by: its state's number, its two ends in bytes, its inode."""

mark_of: Final[Callable[[bytes], Mark]] = struct.Struct("=xB2x36s28xI").unpack_from
"""The mark of a row."""

CLOSED: Final = _NUMBERS[State.CLOSED]

_HEAD: Final = itemgetter(slice(0, 40))  # family, state, kind of timer, retransmits, both ends
_INODE: Final = itemgetter(slice(68, 72))


def outline(rows: list[bytes]) -> tuple[bytes, bytes]:
    """Of all rows together what changes seldom: where two dumps have the same, so are all their marks."""
    return b"".join(map(_HEAD, rows)), b"".join(map(_INODE, rows))


def _read_attributes(data: bytes) -> tuple[Shut | None, TcpInfo | None]:
    """What is behind a socket's description."""
    shut, info = None, None
    at, end = 0, len(data)
    while at < end:
        if at + _ATTRIBUTE.size > end:
            raise CodecError("an attribute's header is cut")
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > end:
            raise CodecError(f"an attribute says that it has {length} bytes where {end - at} are")
        value = data[at + _ATTRIBUTE.size : at + length]
        if kind == _ATTRIBUTE_SHUTDOWN:
            if not value:
                raise CodecError("the shutdown bits are missing from their attribute")
            shut = _SHUT[value[0] & 3]
        elif kind == _ATTRIBUTE_INFO:
            info = tcp_info.decode(value)
        at += length + -length % 4
    return shut, info


# Without TCP_INFO thousands of sockets have the same few attributes, byte for byte.
_SHORT: Final = 64
_recently_read = functools.lru_cache(maxsize=1024)(_read_attributes)


def _attributes(data: bytes) -> tuple[Shut | None, TcpInfo | None]:
    return _recently_read(data) if len(data) <= _SHORT else _read_attributes(data)


@functools.lru_cache(maxsize=4096)
def _host(family: int, packed: bytes) -> str:
    if family == AF_INET:
        return str(ipaddress.IPv4Address(packed[:4]))
    return normal(str(ipaddress.IPv6Address(packed)), 0)[0]


def _ends(family: int, data: bytes) -> tuple[SocketAddress, SocketAddress | None]:
    """A socket's own address and the other end's, if there is one."""
    source, destination, here, there = _PORTS.unpack(data)
    return (_host(family, here), source), (_host(family, there), destination) if destination else None


# ---------------------------------------------------------------- and back


def encode_socket(socket: DiagSocket, sequence: int, *, interrupted: bool = False) -> bytes:
    """The message in which a kernel would tell of `socket`: what a simulated one is made of."""
    here, there = (_packed(socket.family, end) for end in (socket.local, socket.remote))
    body = struct.pack("=BBBB", socket.family, _NUMBERS[socket.state], int(socket.timer), socket.retransmits)
    body += _PORTS.pack(socket.local[1], socket.remote[1] if socket.remote else 0, here, there)
    body += _WHICH.pack(socket.interface, socket.cookie)
    body += struct.pack("=IIIII", socket.timer_ms, socket.rqueue, socket.wqueue, socket.uid, socket.inode)
    if socket.shut is not None:
        body += _attribute(_ATTRIBUTE_SHUTDOWN, bytes([socket.shut]))
    if socket.info is not None:
        body += _attribute(_ATTRIBUTE_INFO, tcp_info.encode(socket.info))
    flags = _MULTI | (_INTERRUPTED if interrupted else 0)
    return _message(SOCK_DIAG_BY_FAMILY, flags, sequence, body)


def encode_done(sequence: int, *, error: int = 0) -> bytes:
    """The end of a dump, or with errno `error` what a kernel says in its place."""
    return _message(_ERROR if error else _DONE, _MULTI, sequence, struct.pack("=i", -error))


def _packed(family: int, end: SocketAddress | None) -> bytes:
    if end is None:
        return b""
    address = ipaddress.ip_address(end[0])
    if family == AF_INET6 and address.version == 4:
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed
