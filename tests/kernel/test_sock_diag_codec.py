"""What the kernel would say, encoded and decoded; and what it never says, refused in our own words."""

import ipaddress
import struct
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.kernel import tcp_info
from testbed.kernel.diag_socket import AF_INET, AF_INET6, DiagSocket, Shut, Timer
from testbed.kernel.sample import SocketAddress, normal
from testbed.kernel.sock_diag_codec import (
    CLOSED,
    EITHER,
    STATES,
    CodecError,
    KernelError,
    Mark,
    decode,
    encode_destroy,
    encode_done,
    encode_dump,
    encode_lookup,
    encode_socket,
    mark_of,
)
from testbed.kernel.tcp_info import TcpInfo
from testbed.tcp.states import State

from ..fuzzing.sock_diag import SEQUENCE, attempt

u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).map(lambda address: normal(str(address), 0)[0])
infos = st.binary(max_size=300).map(tcp_info.decode)


@st.composite
def sockets(draw: st.DrawFn) -> DiagSocket:
    family = draw(st.sampled_from([AF_INET, AF_INET6]))
    hosts = v4 if family == AF_INET else v6 | v4
    remotes = st.none() | st.tuples(hosts, st.integers(1, 65535))
    return DiagSocket(
        family,
        local=draw(st.tuples(hosts, u16)),
        remote=draw(remotes),
        state=draw(st.sampled_from(State)),
        timer=draw(st.sampled_from(Timer)),
        timer_ms=draw(u32),
        retransmits=draw(u8),
        rqueue=draw(u32),
        wqueue=draw(u32),
        uid=draw(u32),
        inode=draw(u32),
        interface=draw(u32),
        cookie=draw(st.integers(0, 2**64 - 1)),
        shut=draw(st.none() | st.sampled_from([Shut(bits) for bits in range(4)])),
        info=draw(st.none() | infos),
    )


ONE = DiagSocket(
    AF_INET,
    ("127.0.0.1", 2333),
    ("127.0.0.1", 51028),
    State.CLOSE_WAIT,
    Timer.KEEPALIVE,
    timer_ms=1900,
    retransmits=0,
    rqueue=1,
    wqueue=0,
    uid=1000,
    inode=4711,
    interface=0,
    cookie=99,
    shut=Shut.RECEIVE,
)


# ---------------------------------------------------------------- answers


def test_every_state_has_its_number() -> None:
    assert set(STATES.values()) == set(State)


@given(st.lists(sockets(), max_size=4))
@settings(max_examples=500)
def test_there_and_back(told: list[DiagSocket]) -> None:
    datagram = b"".join(encode_socket(socket, SEQUENCE) for socket in told) + encode_done(SEQUENCE)
    answer = decode(datagram, SEQUENCE)
    assert (answer.sockets, answer.done, answer.interrupted) == (told, True, False)


@given(st.lists(sockets(), min_size=1, max_size=4))
@settings(max_examples=100)
def test_messages_that_are_alike_say_what_each_says_alone(told: list[DiagSocket]) -> None:
    messages = [encode_socket(socket, SEQUENCE) for socket in told]
    alike = [data for data in messages if len(data) == len(messages[0])]
    together = decode(b"".join(alike), SEQUENCE)
    assert together.rows == [
        row for data in alike for row in decode(data + encode_done(SEQUENCE), SEQUENCE).rows
    ]
    assert not together.done


@given(sockets())
@settings(max_examples=100)
def test_a_mark_is_what_a_change_is_noticed_by(told: DiagSocket) -> None:
    def mark(socket: DiagSocket) -> Mark:
        return mark_of(decode(encode_socket(socket, SEQUENCE), SEQUENCE).rows[0])

    mine = mark(told)
    assert mark(told._replace(timer_ms=told.timer_ms ^ 1, rqueue=told.rqueue ^ 1, uid=7, cookie=3)) == mine
    other = State.CLOSED if told.state is not State.CLOSED else State.LISTEN
    assert mark(told._replace(inode=told.inode ^ 1)) != mine
    assert mark(told._replace(local=(told.local[0], told.local[1] ^ 1)))[1] != mine[1]
    assert mark(told._replace(state=other))[0] != mine[0]
    assert mark(told._replace(state=State.CLOSED))[0] == CLOSED


@pytest.mark.skipif(sys.byteorder != "little", reason="the example comes from a little-endian machine")
def test_a_kernels_own_words() -> None:
    # Linux 6.18: an IPv6 socket's end of an IPv4 connection with 2 bytes and the FIN unread; a TIME_WAIT
    close_wait = (
        "7c000000140000000700000030080000"  # netlink header
        "0a080000091d8235"  # AF_INET6, CLOSE_WAIT, no timer; 2333 and 33333
        "00000000000000000000ffff7f00000100000000000000000000ffff7f000001"
        "000000006c2e010000000000"  # interface, cookie
        "000000000300000000000000000000008e731100"  # timer, queues, uid, inode
        "050008000100000008000f00000000000c00150001000000000000000600160012000000"  # attributes
    )
    time_wait = (
        "60000000140000000700000030080000"
        "020603008236091e"
        "7f0000010000000000000000000000007f000001000000000000000000000000"
        "000000006d2e010000000000"
        "60ea000000000000000000000000000000000000"
        "08000f0000000000"
    )
    here, there = ("127.0.0.1", 2333), ("127.0.0.1", 33333)
    assert decode(bytes.fromhex(close_wait + time_wait), SEQUENCE).sockets == [
        DiagSocket(
            AF_INET6,
            here,
            there,
            State.CLOSE_WAIT,
            Timer.NONE,
            0,
            0,
            3,
            0,
            0,
            1143694,
            0,
            77420,
            Shut.RECEIVE,
        ),
        DiagSocket(
            AF_INET,
            ("127.0.0.1", 33334),
            ("127.0.0.1", 2334),
            State.TIME_WAIT,
            Timer.TIME_WAIT,
            timer_ms=60_000,
            retransmits=0,
            rqueue=0,
            wqueue=0,
            uid=0,
            inode=0,
            interface=0,
            cookie=77421,
            shut=None,
        ),
    ]


def test_answers_to_other_questions_are_left_out() -> None:
    datagram = encode_socket(ONE, 6) + encode_done(6, error=22) + encode_socket(ONE, SEQUENCE)
    answer = decode(datagram, SEQUENCE)
    assert (answer.sockets, answer.done, answer.interrupted) == ([ONE], False, False)


def test_an_interrupted_dump_says_so() -> None:
    assert decode(encode_socket(ONE, SEQUENCE, interrupted=True), SEQUENCE).interrupted


def test_the_kernel_refuses() -> None:
    with pytest.raises(KernelError, match=r"Operation not permitted \(errno 1\)") as refused:
        decode(encode_done(SEQUENCE, error=1), SEQUENCE)
    assert refused.value.errno == 1


def lying(offset: int, kind: str, value: int, told: DiagSocket = ONE) -> bytes:
    """A message with one number replaced."""
    data = bytearray(encode_socket(told, SEQUENCE))
    struct.pack_into("=" + kind, data, offset, value)
    return bytes(data)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, SEQUENCE, 0) + body


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0", "header is cut after 1 bytes"),
        (encode_socket(ONE, SEQUENCE)[:-1], "says that it has 96 bytes where 95 are"),
        (lying(0, "I", 15), "says that it has 15 bytes"),
        (lying(0, "I", 2**32 - 1), "says that it has 4294967295 bytes"),
        (message(20, bytes(71)), "cut after 71 bytes of 72"),
        (lying(16, "B", 1), "family 1 in state 8"),
        (lying(17, "B", 12), "state 12"),
        (lying(88, "H", 3), "attribute says that it has 3 bytes"),
        (lying(88, "H", 9), "attribute says that it has 9 bytes where 8 are"),
        (lying(88, "H", 4), "attribute"),
        (message(20, encode_socket(ONE, SEQUENCE)[16:88] + struct.pack("=HH", 4, 8)), "bits are missing"),
        (message(20, encode_socket(ONE, SEQUENCE)[16:88] + b"\0"), "attribute's header is cut"),
        (message(4, b""), "an answer was lost"),
        (message(19, b""), "type 19"),
        (message(2, b"\0\0"), "error is cut"),
        (message(2, struct.pack("=i", 1)), "errno -1 is none"),
        (message(3, struct.pack("=i", -(2**31))), "errno 2147483648 is none"),
    ],
)
def test_lies(data: bytes, why: str) -> None:
    with pytest.raises(CodecError, match=why):
        decode(data, SEQUENCE)


def test_a_timer_of_a_newer_kernel() -> None:
    assert decode(lying(18, "B", 9), SEQUENCE).sockets == [ONE._replace(timer=Timer.OTHER)]


@given(st.binary(max_size=400))
@settings(max_examples=1500)
@example(b"")
def test_any_bytes(data: bytes) -> None:
    attempt(data)


@given(
    st.lists(sockets(), min_size=1, max_size=2),
    st.lists(st.tuples(st.integers(0, 500), u8), max_size=6),
    st.integers(0, 500),
)
@settings(max_examples=2500)
def test_true_answers_damaged(told: list[DiagSocket], flaws: list[tuple[int, int]], length: int) -> None:
    data = bytearray(b"".join(encode_socket(socket, SEQUENCE) for socket in told) + encode_done(SEQUENCE))
    for at, value in flaws:
        data[at % len(data)] = value
    attempt(bytes(data))
    attempt(bytes(data[:length]))


# ---------------------------------------------------------------- struct tcp_info


@given(st.binary(max_size=300))
def test_tcp_info_goes_as_far_as_the_kernel_sent_it(data: bytes) -> None:
    info = tcp_info.decode(data)
    assert tcp_info.decode(tcp_info.encode(info)) == info
    assert tcp_info.decode(data + bytes(300))[: len(info)] != () and (info.retransmits is None) == (
        len(data) < 3
    )


def test_tcp_info_of_an_older_kernel() -> None:
    # Linux 2.6 sent 104 bytes, up to tcpi_total_retrans
    data = bytearray(104)
    struct.pack_into("=I", data, 68, 43_000)
    struct.pack_into("=I", data, 100, 5)
    info = tcp_info.decode(bytes(data))
    assert (info.rtt_us, info.total_retrans, info.bytes_acked, info.rcv_wnd) == (43_000, 5, None, None)
    assert tcp_info.decode(b"") == TcpInfo()


# ---------------------------------------------------------------- questions


def run_filter(program: bytes, source: int, destination: int) -> bool:
    """inet_diag_bc_run (net/ipv4/inet_diag.c)."""
    at, left = 0, len(program)
    while left > 0:
        code, yes, no = struct.unpack_from("=BBH", program, at)
        port = struct.unpack_from("=H", program, at + 6)[0] if code != 1 else None
        step = yes if {1: False, 11: source == port, 12: destination == port}[code] else no
        at, left = at + step, left - step
    return left == 0


def audit(program: bytes) -> bool:
    """inet_diag_bc_audit: whether the kernel takes it."""
    reached, at = {0}, 0
    operations = []
    while at < len(program):
        operations.append((at, *struct.unpack_from("=BBH", program, at)))
        at += operations[-1][2]
        reached.add(at)
    return at == len(program) and all(
        yes >= (4 if code == 1 else 8)
        and no >= (4 if code == 1 else 8)
        and no % 4 == 0
        and (at + no == len(program) + 4 or at + no in reached)
        for at, code, yes, no in operations
    )


@given(st.sets(u16, min_size=1, max_size=40), u16, u16, st.booleans())
def test_the_filter_lets_either_end_through(
    ports: set[int], source: int, destination: int, hit: bool
) -> None:
    question = encode_dump(AF_INET, SEQUENCE, ports=ports)
    program = question[76:]
    if hit:
        destination = min(ports)
    assert struct.unpack_from("=HH", question, 72) == (4 + len(program), 1)
    assert audit(program)
    assert run_filter(program, source, destination) == bool({source, destination} & ports)


def test_a_dumps_question() -> None:
    question = encode_dump(AF_INET6, SEQUENCE, states={State.CLOSE_WAIT, State.LISTEN}, info=True)
    assert struct.unpack_from("=IHHII", question) == (72, 20, 0x301, SEQUENCE, 0)
    assert struct.unpack_from("=BBBBI", question, 16) == (AF_INET6, 6, 2, 0, 1 << 8 | 1 << 10)
    assert encode_dump(AF_INET, 1, bound=True, states=())[20:24] == struct.pack("=I", 1 << 13)


def test_the_older_question_is_of_either_family() -> None:
    """struct inet_diag_req: 4 bytes of which the last are extensions, 48 of addresses, states, 4 unused."""
    question = encode_dump(EITHER, SEQUENCE, states={State.LISTEN}, info=True, ports=[80])
    length = len(question)
    assert struct.unpack_from("=IHHII", question) == (length, 18, 0x301, SEQUENCE, 0)
    assert question[16:20] == bytes([0, 0, 0, 2])
    assert struct.unpack_from("=II", question, 68) == (1 << 10, 0)
    assert struct.unpack_from("=HH", question, 76) == (length - 76, 1)


def test_a_socket_to_be_destroyed_is_named_by_its_cookie() -> None:
    doomed = ONE
    question = encode_destroy(doomed, SEQUENCE)
    assert struct.unpack_from("=IHHII", question) == (72, 21, 0x5, SEQUENCE, 0)
    assert struct.unpack_from("=BB", question, 16) == (doomed.family, 6)
    assert struct.unpack_from(">H", question, 24) == (doomed.local[1],)
    assert struct.unpack_from("=Q", question, 64) == (doomed.cookie,)


@pytest.mark.parametrize(
    ("local", "remote", "family"),
    [
        (("127.0.0.1", 80), ("10.0.0.1", 4000), AF_INET),
        (("::ffff:127.0.0.1", 80), ("10.0.0.1", 4000), AF_INET),
        (("::1", 80), ("fe80::1%lo", 4000), AF_INET6),
    ],
)
def test_a_look_up(local: SocketAddress, remote: SocketAddress, family: int) -> None:
    question = encode_lookup(local, remote, SEQUENCE, interface=3)
    assert struct.unpack_from("=IHHII", question) == (72, 20, 1, SEQUENCE, 0)
    assert question[16] == family
    assert struct.unpack_from(">HH", question, 24) == (80, 4000)
    size = 4 if family == AF_INET else 16
    assert question[28 : 28 + size] == ipaddress.ip_address(normal(*local)[0]).packed
    assert struct.unpack_from("=IQ", question, 60) == (3, 2**64 - 1)


@pytest.mark.parametrize(
    ("local", "remote", "why"),
    [
        (("127.0.0.1", 80), ("::1", 80), "no connection goes from"),
        (("localhost", 80), ("::1", 80), "no numeric address"),
        (("127.0.0.1", 80), ("127.0.0.1", 65536), "no port"),
        (("12:7", 80), ("::1", 80), "no numeric address"),
    ],
)
def test_ends_that_are_none(local: SocketAddress, remote: SocketAddress, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        encode_lookup(local, remote, SEQUENCE)


@pytest.mark.parametrize("ports", [[-1], [65536], range(1001)])
def test_ports_that_are_none(ports: list[int]) -> None:
    with pytest.raises(UsageError, match="ports"):
        encode_dump(AF_INET, SEQUENCE, ports=ports)
