"""Records written as the kernel's structures have them, made into events."""

from __future__ import annotations

import contextlib
import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.kernel.events import Event, ResetReceived, ResetSent, Retransmission, Transition
from testbed.kernel.sample import SocketAddress
from testbed.kernel.trace_records import TRACEPOINTS, Decoding, Tracepoint, with_ports
from testbed.kernel.trace_ring import Record
from testbed.tcp.states import State

from .test_trace_format import FORMATS, layout

POINTS = {point.name: point for point in TRACEPOINTS}
NOW = 1_790_000_000_000_000_000
SOCKET = 0xFFFF_8880_1234_5680
SERVER, CLIENT = ("127.0.0.1", 80), ("127.0.0.1", 51028)
SERVER6, CLIENT6 = ("2001:db8::1", 80), ("fe80::2", 51028)
NOBODY = ("0.0.0.0", 0)

# include/net/tcp_states.h
ESTABLISHED, SYN_SENT, SYN_RECV, CLOSE, LISTEN, NEW_SYN_RECV = 1, 2, 3, 7, 10, 12
AF_INET, AF_INET6 = 2, 10
TCP, MPTCP = 6, 262


def decoding(*ports: int, kernel: str = "6.18") -> Decoding:
    there = {path.stem for path in (FORMATS / kernel).glob("*.txt")}
    return Decoding({point: layout(name, kernel) for name, point in POINTS.items() if name in there}, ports)


def common(number: int, pid: int = 4711) -> bytes:
    """struct trace_entry."""
    return struct.pack("<HBBi", number, 0, 0, pid)


def ends(local: SocketAddress, remote: SocketAddress) -> tuple[bytes, bytes, bytes]:
    """saddr and daddr, saddr_v6, daddr_v6; an IPv4 address is there twice, plain and mapped."""
    plain, long = b"", []
    for host, _ in (local, remote):
        address = ipaddress.ip_address(host)
        v4 = address.packed if address.version == 4 else bytes(4)
        plain += v4
        long.append(bytes(10) + b"\xff\xff" + v4 if address.version == 4 else address.packed)
    return plain, long[0], long[1]


def transition(
    local: SocketAddress, remote: SocketAddress, before: int, state: int, *, protocol: int = TCP
) -> bytes:
    """struct trace_event_raw_inet_sock_set_state of Linux 6.18."""
    plain, source, destination = ends(local, remote)
    family = AF_INET6 if ":" in local[0] else AF_INET
    numbers = struct.pack("<QiiHHHH", SOCKET, before, state, local[1], remote[1], family, protocol)
    return common(2287) + numbers + plain + source + destination


def sockaddr(address: SocketAddress) -> bytes:
    """struct sockaddr_in or sockaddr_in6 in 28 bytes; the port is in network order."""
    host = ipaddress.ip_address(address[0])
    if host.version == 4:
        made = struct.pack("<H", AF_INET) + struct.pack(">H", address[1]) + host.packed
    else:
        made = struct.pack("<H", AF_INET6) + struct.pack(">HI", address[1], 0) + host.packed + bytes(4)
    return made.ljust(28, b"\0")


def reset_sent(
    local: SocketAddress, remote: SocketAddress, *, socket: int = SOCKET, state: int = 8, reason: int = 11
) -> bytes:
    """struct trace_event_raw_tcp_send_reset of Linux 6.18."""
    numbers = struct.pack("<QQii", 0, socket, state, reason)
    return common(2280) + numbers + sockaddr(local) + sockaddr(remote)


def reset_received(local: SocketAddress, remote: SocketAddress) -> bytes:
    plain, source, destination = ends(local, remote)
    numbers = struct.pack("<QHHH", SOCKET, local[1], remote[1], AF_INET)
    return common(2279) + numbers + plain + source + destination + bytes(2) + struct.pack("<Q", 99)


def retransmitted(local: SocketAddress, remote: SocketAddress, state: int, *, error: int = 0) -> bytes:
    plain, source, destination = ends(local, remote)
    numbers = struct.pack("<QQiHHH", 1, SOCKET, state, local[1], remote[1], AF_INET)
    return common(2281) + numbers + plain + source + destination + bytes(2) + struct.pack("<i", error)


def synack_retransmitted(local: SocketAddress, remote: SocketAddress) -> bytes:
    plain, source, destination = ends(local, remote)
    numbers = struct.pack("<QQHHH", SOCKET, 1, local[1], remote[1], AF_INET)
    return common(2275) + numbers + plain + source + destination


def event(data: bytes, *ports: int) -> Event | None:
    return decoding(*ports).event(Record(NOW, data))


# ---------------------------------------------------------------- each tracepoint


@pytest.mark.parametrize(("local", "remote"), [(SERVER, CLIENT), (SERVER6, CLIENT6)])
def test_a_change_of_state(local: SocketAddress, remote: SocketAddress) -> None:
    assert event(transition(local, remote, LISTEN, SYN_RECV)) == Transition(
        NOW, local, remote, State.LISTEN, State.SYN_RECEIVED, SOCKET, 4711
    )


def test_an_ipv4_connection_of_an_ipv6_socket_has_its_ipv4_addresses() -> None:
    data = transition(SERVER, CLIENT, SYN_RECV, ESTABLISHED)
    data = data[:28] + struct.pack("<H", AF_INET6) + data[30:]
    told = event(data)
    assert isinstance(told, Transition)
    assert (told.local, told.remote) == (SERVER, CLIENT)
    told = event(reset_sent(("::ffff:127.0.0.1", 80), ("::ffff:127.0.0.1", 51028)))
    assert isinstance(told, ResetSent)
    assert (told.local, told.remote) == (SERVER, CLIENT)


@pytest.mark.parametrize(("local", "nobody"), [(SERVER, NOBODY), (("::", 80), ("::", 0))])
def test_a_listener_has_no_other_end(local: SocketAddress, nobody: SocketAddress) -> None:
    assert event(transition(local, nobody, CLOSE, LISTEN)) == Transition(
        NOW, local, None, State.CLOSED, State.LISTEN, SOCKET, 4711
    )


@pytest.mark.parametrize(
    ("number", "state"),
    list(
        enumerate(
            [
                State.ESTABLISHED,
                State.SYN_SENT,
                State.SYN_RECEIVED,
                State.FIN_WAIT_1,
                State.FIN_WAIT_2,
                State.TIME_WAIT,
                State.CLOSED,
                State.CLOSE_WAIT,
                State.LAST_ACK,
                State.LISTEN,
                State.CLOSING,
                State.SYN_RECEIVED,  # TCP_NEW_SYN_RECV, a request socket's
            ],
            1,
        )
    ),
)
def test_every_state_of_tcp_states_h(number: int, state: State) -> None:
    told = event(transition(SERVER, CLIENT, number, number))
    assert isinstance(told, Transition)
    assert (told.before, told.state) == (state, state)


@pytest.mark.parametrize("number", [0, 13, -1])
def test_a_state_that_does_not_exist_is_a_key_error(number: int) -> None:
    with pytest.raises(KeyError):
        event(transition(SERVER, CLIENT, ESTABLISHED, number))


def test_other_protocols_states_are_not_tcps() -> None:
    assert event(transition(SERVER, CLIENT, CLOSE, ESTABLISHED, protocol=MPTCP)) is None


@pytest.mark.parametrize(("local", "remote"), [(SERVER, CLIENT), (SERVER6, CLIENT6)])
def test_a_reset_and_its_reason(local: SocketAddress, remote: SocketAddress) -> None:
    assert event(reset_sent(local, remote)) == ResetSent(
        NOW, local, remote, State.CLOSE_WAIT, "TCP_ABORT_ON_CLOSE", SOCKET, 4711
    )


def test_a_reset_without_a_socket() -> None:
    assert event(reset_sent(SERVER, CLIENT, socket=0, state=0, reason=1)) == ResetSent(
        NOW, SERVER, CLIENT, None, "NO_SOCKET", 0, 4711
    )


def test_a_reset_of_a_listener_names_no_other_end() -> None:
    assert event(reset_sent(SERVER, NOBODY, state=LISTEN, reason=6)) == ResetSent(
        NOW, SERVER, None, State.LISTEN, "TCP_FLAGS", SOCKET, 4711
    )


def test_a_reason_without_a_name_keeps_its_number() -> None:
    told = event(reset_sent(SERVER, CLIENT, reason=77))
    assert isinstance(told, ResetSent)
    assert told.reason == "77"


def test_a_reset_received() -> None:
    assert event(reset_received(CLIENT, SERVER)) == ResetReceived(NOW, CLIENT, SERVER, SOCKET)


def test_a_retransmission() -> None:
    assert event(retransmitted(CLIENT, SERVER, SYN_SENT)) == Retransmission(
        NOW, CLIENT, SERVER, State.SYN_SENT, SOCKET
    )
    assert event(synack_retransmitted(SERVER, CLIENT)) == Retransmission(
        NOW, SERVER, CLIENT, State.SYN_RECEIVED, SOCKET
    )


@pytest.mark.parametrize("error", [-1, -11, -16, 1])  # EPERM, EAGAIN, EBUSY, NET_XMIT_DROP
def test_a_retransmission_that_failed_is_none(error: int) -> None:
    """Since Linux 6.17 the tracepoint tells of these too, with the error."""
    assert event(retransmitted(CLIENT, SERVER, ESTABLISHED, error=error)) is None


# ---------------------------------------------------------------- an older kernel


def old_class(number: int, state: int) -> bytes:
    """struct trace_event_raw_tcp_event_sk_skb of Linux 5.10: no family, and the arrays lie aligned."""
    plain, source, destination = ends(SERVER, CLIENT)
    numbers = struct.pack("<QQiHH", 1, SOCKET, state, SERVER[1], CLIENT[1])
    return common(number) + numbers + plain + source + destination


def test_linux_5_10_sends_a_reset_without_a_reason() -> None:
    old = decoding(kernel="5.10")
    assert old.event(Record(NOW, old_class(1234, 8))) == ResetSent(
        NOW, SERVER, CLIENT, State.CLOSE_WAIT, None, SOCKET, 4711
    )


def test_linux_5_10_retransmits_without_an_error() -> None:
    old = decoding(kernel="5.10")
    assert old.event(Record(NOW, old_class(1235, 1))) == Retransmission(
        NOW, SERVER, CLIENT, State.ESTABLISHED, SOCKET
    )


def test_linux_5_10_receives_a_reset() -> None:
    plain, source, destination = ends(CLIENT, SERVER)
    data = common(1233) + struct.pack("<QHH", SOCKET, CLIENT[1], SERVER[1]) + plain + source + destination
    assert decoding(kernel="5.10").event(Record(NOW, data.ljust(72, b"\0"))) == ResetReceived(
        NOW, CLIENT, SERVER, SOCKET
    )


# ---------------------------------------------------------------- which ports


ALL_OF_THEM = [
    transition(SERVER, CLIENT, SYN_RECV, ESTABLISHED),
    reset_sent(SERVER, CLIENT),
    reset_received(SERVER, CLIENT),
    retransmitted(SERVER, CLIENT, ESTABLISHED),
    synack_retransmitted(SERVER, CLIENT),
]


@pytest.mark.parametrize("data", ALL_OF_THEM)
def test_a_port_at_either_end_is_ours(data: bytes) -> None:
    assert event(data) is not None
    assert event(data, SERVER[1]) is not None
    assert event(data, 9, CLIENT[1]) is not None
    assert event(data, 9, 51029) is None


def test_which_ports_can_be_changed() -> None:
    record = Record(NOW, ALL_OF_THEM[0])
    reading = decoding(9)
    assert reading.event(record) is None
    reading.only([80])
    assert reading.event(record) is not None
    reading.only([])
    assert reading.event(record) is not None


def test_a_tracepoint_of_somebody_else_is_none_of_ours() -> None:
    for data in (b"", b"\x01", common(2276) + bytes(64)):
        assert event(data) is None


def test_the_filters_are_the_kernels_language() -> None:
    point = POINTS["inet_sock_set_state"]
    assert point.filter_for([]) == "protocol == 6"
    assert (
        point.filter_for({443, 80})
        == "protocol == 6 && (sport == 80 || dport == 80 || sport == 443 || dport == 443)"
    )
    assert POINTS["tcp_receive_reset"].filter_for([80]) == "sport == 80 || dport == 80"
    assert POINTS["tcp_receive_reset"].filter_for([]) == "0"
    for ports in ([], [80], [80, 443]):  # it has no field with the port in it
        assert POINTS["tcp_send_reset"].filter_for(ports) == "0"
    assert [point.folder for point in TRACEPOINTS if point.needed] == ["events/sock/inet_sock_set_state"]


# ---------------------------------------------------------------- ports written down later


def told(socket: int, local_port: int, before: State, state: State, at: int) -> Transition:
    return Transition(at, ("127.0.0.1", local_port), SERVER, before, state, socket, 1)


def test_syn_sent_has_the_port_of_the_same_sockets_next_event() -> None:
    events: list[Event] = [
        told(1, 0, State.CLOSED, State.SYN_SENT, 1),
        told(2, 0, State.CLOSED, State.SYN_SENT, 2),
        told(2, 4002, State.SYN_SENT, State.ESTABLISHED, 3),
        told(1, 4001, State.SYN_SENT, State.CLOSED, 4),
    ]
    named = with_ports(events)
    assert [event.local[1] for event in named] == [4001, 4002, 4002, 4001]
    assert named[2:] == events[2:]


def test_a_sockets_address_used_again_brings_no_port_from_the_later_one() -> None:
    events: list[Event] = [
        told(1, 0, State.CLOSED, State.SYN_SENT, 1),  # the kernel never wrote its port down
        told(1, 0, State.CLOSED, State.SYN_SENT, 2),
        told(1, 4002, State.SYN_SENT, State.CLOSED, 3),
        told(1, 80, State.CLOSED, State.LISTEN, 4),
        told(1, 80, State.LISTEN, State.CLOSED, 5),
        told(1, 0, State.CLOSED, State.SYN_SENT, 6),
        told(1, 4006, State.SYN_SENT, State.ESTABLISHED, 7),
        told(1, 80, State.LISTEN, State.SYN_RECEIVED, 8),
    ]
    assert [event.local[1] for event in with_ports(events)] == [0, 4002, 4002, 80, 80, 4006, 4006, 80]


def test_what_is_no_change_of_state_stays_as_it_is_and_where_it_is() -> None:
    reset = ResetReceived(2, CLIENT, SERVER, 1)
    events: list[Event] = [told(1, 0, State.CLOSED, State.SYN_SENT, 1), reset]
    assert with_ports(events) == events
    assert with_ports([]) == []


# ---------------------------------------------------------------- records that no kernel makes


@given(st.sampled_from([2287, 2280, 2279, 2281, 2275]), st.binary(max_size=100), st.sampled_from([0, 80]))
def test_any_bytes_are_an_event_or_one_of_two_errors(number: int, rest: bytes, port: int) -> None:
    with contextlib.suppress(KeyError, struct.error):
        event(struct.pack("<H", number) + rest, *([port] if port else []))


@given(st.sampled_from(ALL_OF_THEM), st.data())
def test_a_damaged_record_is_an_event_or_one_of_two_errors(good: bytes, data: Any) -> None:
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    with contextlib.suppress(KeyError, struct.error):
        event(bytes(raw[:cut]))


def test_every_tracepoint_can_do_without_the_optional_ones() -> None:
    needed = {point: layout(point.name) for point in TRACEPOINTS if point.needed}
    assert [type(point) for point in needed] == [Tracepoint]
    alone = Decoding(needed)
    assert alone.event(Record(NOW, ALL_OF_THEM[0])) is not None
    assert alone.event(Record(NOW, ALL_OF_THEM[1])) is None
