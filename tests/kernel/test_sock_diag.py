"""What the kernel really says, in a private network; no wait here hopes, each asks until it is so."""

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from testbed.errors import CapabilityError, ExperimentError, UsageError
from testbed.kernel import sock_diag
from testbed.kernel.diag_socket import AF_INET, AF_INET6, DiagSocket, Shut, Timer
from testbed.kernel.readings import readings
from testbed.kernel.sock_diag import SockDiag
from testbed.kernel.sock_diag_codec import CodecError, KernelError, encode_done, encode_dump, encode_socket
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State

PORT = 2333
SERVER = ("127.0.0.1", PORT)


@pytest.fixture
def kernel(network: PrivateNetwork) -> Iterator[SockDiag]:
    with SockDiag() as asked:
        yield asked


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


class Connection:
    """A connection with both ends in this process, the server's as yet not accepted."""

    def __init__(self, kernel: SockDiag, stack: contextlib.ExitStack) -> None:
        self.kernel = kernel
        self.listener = stack.enter_context(socket.create_server(SERVER))
        self.client = stack.enter_context(socket.create_connection(SERVER, timeout=10))
        self.address: tuple[str, int] = self.client.getsockname()
        self._stack = stack

    def accept(self) -> socket.socket:
        return self._stack.enter_context(self.listener.accept()[0])

    def at_client(self) -> DiagSocket | None:
        return self.kernel.lookup(self.address, SERVER)

    def at_server(self) -> DiagSocket | None:
        return self.kernel.lookup(SERVER, self.address)


@pytest.fixture
def connection(kernel: SockDiag, stack: contextlib.ExitStack) -> Connection:
    return Connection(kernel, stack)


def until(look: Callable[[], DiagSocket | None], holds: Callable[[DiagSocket], bool]) -> DiagSocket:
    """The first look at which it holds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        seen = look()
        if seen is not None and holds(seen):
            return seen
        time.sleep(0.001)
    raise AssertionError(f"not in time; the last look showed {look()!r}")


def codes(seen: DiagSocket | None) -> list[str]:
    assert seen is not None
    return [reading.code for reading in readings(seen)]


def inode(held: socket.socket) -> int:
    return os.fstat(held.fileno()).st_ino


# ---------------------------------------------------------------- dumps and look-ups


def test_both_families_and_one_spelling(kernel: SockDiag, stack: contextlib.ExitStack) -> None:
    both = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    stack.enter_context(both)
    old = stack.enter_context(socket.create_connection(SERVER, timeout=10))
    new = stack.enter_context(socket.create_connection(("::1", PORT), timeout=10))
    here, there = old.getsockname(), new.getsockname()[:2]
    expected = {
        (AF_INET6, ("::", PORT), None, State.LISTEN),
        (AF_INET, here, SERVER, State.ESTABLISHED),
        (AF_INET6, SERVER, here, State.ESTABLISHED),
        (AF_INET6, there, ("::1", PORT), State.ESTABLISHED),
        (AF_INET6, ("::1", PORT), there, State.ESTABLISHED),
    }
    assert {(s.family, s.local, s.remote, s.state) for s in kernel.dump()} == expected
    assert {(s.family, s.local, s.remote, s.state) for s in kernel.dump(families=[AF_INET])} == {
        row for row in expected if row[0] == AF_INET
    }
    for family, local, remote, _ in expected:
        if remote is not None:
            found = kernel.lookup(local, remote)
            assert found is not None
            assert (found.family, found.local, found.remote) == (family, local, remote)
    mapped = kernel.lookup(("::ffff:127.0.0.1", PORT), here)
    assert mapped is not None
    assert mapped.family == AF_INET6


def test_filters(kernel: SockDiag, connection: Connection) -> None:
    port = connection.address[1]
    assert len(kernel.dump()) == 3
    assert len(kernel.dump(ports=[PORT])) == 3
    assert len(kernel.dump(ports=[port])) == 2
    assert len(kernel.dump(ports=[1, 2, port, 4])) == 2
    assert kernel.dump(ports=[1]) == []
    assert [s.state for s in kernel.dump(states={State.LISTEN, State.CLOSING})] == [State.LISTEN]
    assert kernel.dump(states=()) == []
    assert kernel.dump(families=()) == []


def test_whose_it_is(kernel: SockDiag, connection: Connection) -> None:
    client = connection.at_client()
    assert client is not None
    assert (client.inode, client.uid) == (inode(connection.client), os.getuid())
    assert (client.shut, client.info, client.small) == (Shut.NOTHING, None, False)
    again = connection.at_client()
    assert again is not None
    assert again.cookie == client.cookie
    assert str(client) == f"127.0.0.1:{connection.address[1]} -> 127.0.0.1:{PORT} ESTABLISHED"


def test_a_socket_that_is_gone_is_not_its_listener(kernel: SockDiag, connection: Connection) -> None:
    server = connection.accept()
    connection.client.close()
    server.close()
    until(connection.at_client, lambda s: s.state is State.TIME_WAIT)
    assert connection.at_server() is None  # the kernel answers with the listener
    assert kernel.dump(states={State.LISTEN})
    assert kernel.lookup(SERVER, ("127.0.0.1", 1)) is None
    connection.listener.close()
    assert connection.at_server() is None  # the kernel answers ENOENT


def test_sockets_that_are_bound_and_no_more(kernel: SockDiag, stack: contextlib.ExitStack) -> None:
    bound = stack.enter_context(socket.socket())
    bound.bind(SERVER)
    assert kernel.dump() == []
    seen = kernel.dump(bound=True)
    if not seen:
        pytest.skip("this kernel does not tell of them")
    assert [(s.local, s.state, s.inode) for s in seen] == [(SERVER, State.CLOSED, inode(bound))]
    assert codes(seen[0]) == ["descriptor-open"]


async def test_in_a_thread(kernel: SockDiag, connection: Connection) -> None:
    assert await asyncio.to_thread(kernel.dump, ports=[PORT]) == kernel.dump(ports=[PORT])


def test_many(kernel: SockDiag, stack: contextlib.ExitStack) -> None:
    # more than one datagram of the kernel's
    held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(700)]
    seen = kernel.dump()
    assert {s.inode for s in seen} == {inode(one) for one in held}
    assert {s.inode for s in kernel.dump(info=True)} == {inode(one) for one in held}


def test_tcp_info(kernel: SockDiag, stack: contextlib.ExitStack) -> None:
    listener = stack.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)  # a window scale unlike the client's
    listener.bind(SERVER)
    listener.listen()
    client = stack.enter_context(socket.create_connection(SERVER, timeout=10))
    server = stack.enter_context(listener.accept()[0])
    client.sendall(b"x" * 7)
    assert server.recv(7)
    here = client.getsockname()

    def look() -> DiagSocket | None:
        return kernel.lookup(here, SERVER, info=True)

    acknowledged = until(look, lambda s: s.info is not None and s.info.unacked == 0)
    mine, other = acknowledged.info, kernel.dump(ports=[PORT], states=[State.ESTABLISHED], info=True)
    theirs = next(s.info for s in other if s.local == SERVER)
    assert mine is not None
    assert theirs is not None
    assert mine.snd_mss == client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert (mine.snd_wscale, mine.rcv_wscale) == (theirs.rcv_wscale, theirs.snd_wscale)
    assert mine.snd_wscale != mine.rcv_wscale
    assert theirs.bytes_received == 7
    assert mine.bytes_acked == 8  # and the SYN
    assert mine.bytes_sent in (7, None)
    assert mine.data_segs_out == 1
    assert mine.total_retrans == 0
    assert mine.rto_us is not None
    assert 100_000 < mine.rto_us < 3_000_000


# ---------------------------------------------------------------- how connections end


def test_close_wait_tells_who_is_late(connection: Connection) -> None:
    assert codes(connection.at_server()) == ["not-accepted"]
    server = connection.accept()
    assert codes(connection.at_server()) == []
    connection.client.sendall(b"1234567890")
    until(connection.at_server, lambda s: s.rqueue == 10)
    assert server.recv(6) == b"123456"
    connection.client.shutdown(socket.SHUT_WR)
    late = until(connection.at_server, lambda s: s.state is State.CLOSE_WAIT)
    assert (late.rqueue, late.shut) == (5, Shut.RECEIVE)
    assert codes(late)[0] == "data-unread"
    assert server.recv(4) == b"7890"
    # Linux may take a FIN that lies in the same buffer out with the last byte, and then this is 0
    assert codes(connection.at_server())[0] in ("eof-unread", "not-closed")
    assert server.recv(1) == b""
    assert codes(connection.at_server()) == ["not-closed", "keepalive-off"]


def test_an_unread_end(connection: Connection) -> None:
    server = connection.accept()
    connection.client.shutdown(socket.SHUT_WR)
    seen = until(connection.at_server, lambda s: s.state is State.CLOSE_WAIT)
    assert seen.rqueue == 1
    assert codes(seen) == ["eof-unread", "keepalive-off"]
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert server.recv(1) == b""
    assert codes(connection.at_server()) == ["not-closed", "keepalive-armed"]


def test_a_half_close_is_alive_and_an_orphan_counts_down(connection: Connection) -> None:
    connection.accept()
    connection.client.shutdown(socket.SHUT_WR)
    half = until(connection.at_client, lambda s: s.state is State.FIN_WAIT_2)
    assert (half.inode, half.shut, half.timer) == (inode(connection.client), Shut.SEND, Timer.NONE)
    assert codes(half) == ["half-closed", "keepalive-off"]
    connection.client.close()
    orphan = until(connection.at_client, lambda s: s.inode == 0)
    assert (orphan.state, orphan.timer, orphan.small) == (State.FIN_WAIT_2, Timer.TIME_WAIT, True)
    assert 50_000 < orphan.timer_ms <= 60_000
    assert codes(orphan) == ["orphan-countdown"]


def test_a_long_countdown_begins_with_another_timer(network: PrivateNetwork, connection: Connection) -> None:
    network.sysctl("tcp_fin_timeout", 90)
    connection.accept()
    connection.client.shutdown(socket.SHUT_WR)
    until(connection.at_client, lambda s: s.state is State.FIN_WAIT_2)
    connection.client.close()
    orphan = until(connection.at_client, lambda s: s.inode == 0)
    assert (orphan.state, orphan.timer, orphan.small) == (State.FIN_WAIT_2, Timer.KEEPALIVE, False)
    assert codes(orphan) == ["orphan-countdown"]


def test_time_wait(connection: Connection) -> None:
    server = connection.accept()
    connection.client.shutdown(socket.SHUT_WR)
    server.close()
    seen = until(connection.at_client, lambda s: s.state is State.TIME_WAIT)
    assert (seen.small, seen.inode, seen.timer) == (True, 0, Timer.TIME_WAIT)
    assert 50_000 < seen.timer_ms <= 60_000
    assert codes(seen) == ["time-wait"]


def test_a_handshake_in_progress(kernel: SockDiag, stack: contextlib.ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(SERVER))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 10)  # completes with the first data
    client = stack.enter_context(socket.create_connection(SERVER, timeout=10))
    seen = kernel.lookup(SERVER, client.getsockname())
    assert seen is not None
    assert (seen.state, seen.inode, seen.timer) == (State.SYN_RECEIVED, 0, Timer.RETRANSMISSION)
    assert seen.small
    assert codes(seen) == ["handshake"]
    assert kernel.dump(states=[State.SYN_RECEIVED], ports=[PORT])[0].remote == client.getsockname()


# ---------------------------------------------------------------- timers


def test_keepalive_and_when_it_fires(connection: Connection) -> None:
    connection.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    connection.client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seen = connection.at_client()
    assert seen is not None
    assert (seen.timer, seen.retransmits) == (Timer.KEEPALIVE, 0)
    assert 20_000 < seen.timer_ms <= 30_100
    assert codes(seen) == ["keepalive-armed"]


def test_a_full_backlog_and_a_syn_sent_again(kernel: SockDiag, stack: contextlib.ExitStack) -> None:
    stack.enter_context(socket.create_server(SERVER, backlog=0))
    stack.enter_context(socket.create_connection(SERVER, timeout=10))  # N + 1 fit
    late = stack.enter_context(socket.socket())
    late.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        late.connect(SERVER)
    listening = kernel.dump(states=[State.LISTEN])[0]
    assert (listening.rqueue, listening.wqueue, listening.remote) == (1, 0, None)
    assert codes(listening) == ["backlog-full"]
    seen = kernel.lookup(late.getsockname(), SERVER)
    assert seen is not None
    assert (seen.state, seen.timer) == (State.SYN_SENT, Timer.RETRANSMISSION)
    assert codes(seen) == ["retransmission-timer"]


def test_a_closed_window(connection: Connection) -> None:
    connection.accept()
    connection.client.setblocking(False)

    def fill_and_look() -> DiagSocket | None:  # both buffers grow for a while
        with contextlib.suppress(BlockingIOError):
            while True:
                connection.client.send(bytes(65536))
        return connection.at_client()

    seen = until(fill_and_look, lambda s: s.timer is Timer.WINDOW_PROBE)
    assert seen.wqueue > 0
    assert codes(seen) == ["window-closed"]


# ---------------------------------------------------------------- what goes wrong


def answering(kernel: SockDiag, monkeypatch: pytest.MonkeyPatch, *datagrams: bytes) -> None:
    """Let a kernel answer that is simulated: it says these, to questions 1, 2, 3..."""
    said = iter(datagrams)
    kernel._sequence = 0
    monkeypatch.setattr(kernel, "_receive", lambda: next(said))


ROW = DiagSocket(AF_INET, SERVER, None, State.LISTEN, Timer.NONE, 0, 0, 0, 128, 0, 1, 0, 1, shut=Shut.NOTHING)


def test_an_interrupted_dump_is_asked_for_again(kernel: SockDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        kernel,
        monkeypatch,
        encode_socket(ROW, 1, interrupted=True),
        encode_done(1),
        encode_done(1) + encode_socket(ROW._replace(wqueue=2), 2) + encode_done(2),
    )
    assert [seen.wqueue for seen in kernel.dump(families=[AF_INET])] == [2]


def test_not_for_ever(kernel: SockDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    changing = [encode_socket(ROW, number, interrupted=True) + encode_done(number) for number in range(1, 7)]
    answering(kernel, monkeypatch, *changing)
    with pytest.raises(ExperimentError, match="5 times in a row"):
        kernel.dump(families=[AF_INET])


def test_a_kernel_without_ipv6(kernel: SockDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(kernel, monkeypatch, *[encode_done(number, error=errno.ENOENT) for number in (1, 2)])
    assert kernel.dump(families=[AF_INET6]) == []
    with pytest.raises(KernelError, match="No such file"):
        kernel.dump(families=[AF_INET])


def test_a_refusal_ends_nothing(kernel: SockDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    def nonsense(family: int, sequence: int, **_: object) -> bytes:
        question = bytearray(encode_dump(family, sequence, ports=[1]))
        question[-20] = 99  # an operation that no filter has
        return bytes(question)

    with monkeypatch.context() as patched:
        patched.setattr(sock_diag, "encode_dump", nonsense)
        with pytest.raises(KernelError) as refused:
            kernel.dump()
    assert refused.value.errno == errno.EINVAL
    assert kernel.dump() == []


@pytest.mark.parametrize("whole", [True, False])
def test_nonsense_ends_the_conversation(
    kernel: SockDiag, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    answering(kernel, monkeypatch, b"nonsense" * 3)
    with pytest.raises(CodecError):
        kernel.dump() if whole else kernel.lookup(SERVER, SERVER)
    with pytest.raises(UsageError, match="closed"):
        kernel.dump()
    kernel.close()


def test_an_answer_that_is_cut(kernel: SockDiag, connection: Connection) -> None:
    kernel._buffer = bytearray(64)
    with pytest.raises(CodecError, match="longer than"):
        kernel.dump()


def test_an_answer_that_does_not_come(kernel: SockDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel._socket.setblocking(False)
    monkeypatch.setattr(sock_diag, "encode_dump", lambda *_, **__: b"")
    with pytest.raises(CodecError, match="did not come"):
        kernel.dump()


def test_a_kernel_that_has_no_sock_diag(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sock_diag.available()
    monkeypatch.setattr(sock_diag, "_NETLINK_SOCK_DIAG", 31)
    with pytest.raises(CapabilityError, match="does not answer NETLINK_SOCK_DIAG"):
        SockDiag()
    assert not sock_diag.available()


def test_a_sandbox_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: SockDiag, *__: object, **___: object) -> None:
        raise KernelError(errno.EPERM)

    monkeypatch.setattr(SockDiag, "_ask", refuse)
    with pytest.raises(CapabilityError, match="not permitted"):
        SockDiag()


# ---------------------------------------------------------------- both families at once, and destroying


def test_one_walk_tells_the_same_as_two(kernel: SockDiag, stack: contextlib.ExitStack) -> None:
    both = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    stack.enter_context(both)
    for address in (SERVER, ("::1", PORT)):
        stack.enter_context(socket.create_connection(address, timeout=10))
    stack.enter_context(socket.socket()).bind(("127.0.0.1", 9))
    for options in ({}, {"ports": [PORT]}, {"states": {State.ESTABLISHED}}, {"bound": True}, {"info": True}):
        apart = [s for family in (AF_INET, AF_INET6) for s in kernel.dump(families=[family], **options)]
        at_once = kernel.dump(**options)
        # what changes from one look to the next is left out
        told = [sorted(s._replace(timer_ms=0, info=None) for s in some) for some in (apart, at_once)]
        assert told[0] == told[1]
        assert {s.info is None for s in at_once if s.remote} == {"info" not in options}


def test_a_small_object_is_destroyed_without_a_word(kernel: SockDiag, connection: Connection) -> None:
    server = connection.accept()
    connection.client.close()
    server.close()
    doomed = until(connection.at_client, lambda s: s.state is State.TIME_WAIT)
    kernel.destroy(doomed)
    assert connection.at_client() is None
    kernel.destroy(doomed)  # it is gone already


def test_a_program_is_told_of_its_sockets_end(kernel: SockDiag, connection: Connection) -> None:
    server = connection.accept()
    doomed = connection.at_server()
    assert doomed is not None
    kernel.destroy(doomed)
    with pytest.raises(ConnectionAbortedError):
        server.recv(1)
    connection.client.settimeout(10)
    with pytest.raises(ConnectionResetError):
        connection.client.recv(1)


def test_the_next_socket_of_the_same_addresses_is_another(
    kernel: SockDiag, stack: contextlib.ExitStack
) -> None:
    listener = stack.enter_context(socket.create_server(SERVER))

    def connected() -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("127.0.0.1", 5000))
        client.connect(SERVER)
        return client

    first = connected()
    before = kernel.lookup(("127.0.0.1", 5000), SERVER)
    assert before is not None
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.close()
    second = stack.enter_context(connected())
    kernel.destroy(before)
    after = kernel.lookup(("127.0.0.1", 5000), SERVER)
    assert after is not None and after.inode == inode(second)
    assert listener.fileno() > 0
