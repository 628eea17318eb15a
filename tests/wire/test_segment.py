import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire.segment import Address, Flag, Segment, endpoints, reverse, text_flow

ports = st.integers(0, 65535)
names = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters=".-:"), min_size=1)


def test_flags_are_where_the_rfc_puts_them() -> None:
    # RFC 9293 section 3.1: |reserved|AE|CWR|ECE|URG|ACK|PSH|RST|SYN|FIN|
    order = [Flag.FIN, Flag.SYN, Flag.RST, Flag.PSH, Flag.ACK, Flag.URG, Flag.ECE, Flag.CWR, Flag.AE]
    assert [int(flag) for flag in order] == [1 << bit for bit in range(9)]


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), ports, ports)
def test_ipv4_flow(a: ipaddress.IPv4Address, b: ipaddress.IPv4Address, p: int, q: int) -> None:
    flow = a.packed + b.packed + struct.pack(">HH", p, q)
    assert endpoints(flow) == (Address(str(a), str(p)), Address(str(b), str(q)))
    assert endpoints(reverse(flow)) == endpoints(flow)[::-1]
    assert reverse(reverse(flow)) == flow


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), ports, ports)
def test_ipv6_flow(a: ipaddress.IPv6Address, b: ipaddress.IPv6Address, p: int, q: int) -> None:
    flow = a.packed + b.packed + struct.pack(">HH", p, q)
    assert endpoints(flow) == (Address(str(a), str(p)), Address(str(b), str(q)))
    assert endpoints(reverse(flow)) == endpoints(flow)[::-1]
    assert reverse(reverse(flow)) == flow


@given(names, names, names, names)
def test_text_flow(host: str, port: str, other_host: str, other_port: str) -> None:
    a, b = Address(host, port), Address(other_host, other_port)
    flow = text_flow(a, b)
    assert len(flow) not in (12, 36)
    assert endpoints(flow) == (a, b)
    assert reverse(flow) == text_flow(b, a)


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        (Address("10.0.0.1", "80"), "10.0.0.1:80"),
        (Address("::1", "80"), "[::1]:80"),
        (Address("a.b", "http"), "a.b:http"),
    ],
)
def test_address_as_printed(address: Address, printed: str) -> None:
    assert str(address) == printed


def test_payload_is_what_was_captured_of_it() -> None:
    header = bytes(12) + b"\x60" + bytes(11)  # data offset 6: four bytes of options
    for data, length, payload in [
        (b"ip" + header + b"hello", 5, b"hello"),
        (b"ip" + header + b"hel", 5, b"hel"),
        (b"ip" + header + b"hello" + b"padding", 5, b"hello"),
        (b"ip" + header[:-2], 5, b""),
        (b"", 5, b""),
    ]:
        segment = Segment(1, 0, bytes(12), 0x10, 0, 0, 0, length, b"", data, 2 if data else 0)
        assert segment.payload == payload
