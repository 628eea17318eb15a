"""The codec of NETLINK_SOCK_DIAG: any bytes are an answer or a CodecError, and nothing that is decoded
makes trouble later."""

from __future__ import annotations

import errno

from testbed.kernel import tcp_info
from testbed.kernel.diag_socket import AF_INET, AF_INET6, DiagSocket, Shut, Timer
from testbed.kernel.readings import readings
from testbed.kernel.rows import Rows
from testbed.kernel.sock_diag_codec import (
    CodecError,
    KernelError,
    decode,
    encode_done,
    encode_socket,
    mark_of,
)
from testbed.tcp.states import State

SEQUENCE = 7

FULL = DiagSocket(
    AF_INET,
    ("127.0.0.1", 2333),
    ("127.0.0.1", 51028),
    State.CLOSE_WAIT,
    Timer.KEEPALIVE,
    timer_ms=1900,
    retransmits=0,
    rqueue=3,
    wqueue=0,
    uid=1000,
    inode=4711,
    interface=0,
    cookie=2**40,
    shut=Shut.RECEIVE,
)
SMALL = FULL._replace(state=State.TIME_WAIT, timer=Timer.TIME_WAIT, rqueue=0, uid=0, inode=0, shut=None)
LISTENER = FULL._replace(
    family=AF_INET6, local=("::", 80), remote=None, state=State.LISTEN, timer=Timer.NONE, wqueue=128
)
ORPHAN = FULL._replace(state=State.FIN_WAIT_1, timer=Timer.RETRANSMISSION, inode=0, wqueue=2)
FAR = FULL._replace(family=AF_INET6, local=("2001:db8::1", 443), remote=("2001:db8::2", 40000))
MAPPED = FULL._replace(family=AF_INET6, state=State.ESTABLISHED, timer=Timer.OTHER)
KNOWN = FULL._replace(info=tcp_info.decode(bytes(range(236))))


def seeds() -> list[bytes]:
    """Answers as a kernel gives them: dumps of one kind of row and of many, ends, refusals."""
    kinds = (FULL, SMALL, LISTENER, ORPHAN, FAR, MAPPED, KNOWN)
    single = [encode_socket(row, SEQUENCE) for row in kinds]
    alike = [encode_socket(FULL._replace(cookie=number, inode=number), SEQUENCE) for number in range(9)]
    done = encode_done(SEQUENCE)
    return [
        *single,
        *(data + done for data in single),
        b"".join(alike),
        b"".join(alike) + done,
        b"".join(single) + done,
        encode_socket(FULL, SEQUENCE, interrupted=True) + done,
        encode_socket(FULL, SEQUENCE - 1) + encode_socket(SMALL, SEQUENCE),
        done,
        encode_done(SEQUENCE, error=errno.ENOENT),
        encode_done(SEQUENCE, error=errno.EPERM),
    ]


def attempt(raw: bytes) -> str:
    """What came of it: ``read``, ``empty`` (no socket in it), ``refused``, or ``told no`` by the kernel."""
    try:
        answer = decode(raw, SEQUENCE)
    except (CodecError, KernelError) as error:
        assert str(error) and "\n" not in str(error), "the message is one line"
        return "told no" if isinstance(error, KernelError) else "refused"
    assert len(answer.rows) * 88 <= len(raw), "no row is made up"
    for row, socket in zip(answer.rows, Rows(answer.rows), strict=True):
        state, _, inode = mark_of(row)
        assert inode == socket.inode and state
        assert all(reading.text for reading in readings(socket, peer_gone=True))
        assert str(socket)
        again = decode(encode_socket(socket, SEQUENCE), SEQUENCE)
        assert again.sockets == [socket], "what was understood can be said again"
    return "read" if answer.rows else "empty"
