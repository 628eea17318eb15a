"""dpkt builds the packets and says what is in them; the unusual ones are put together by hand."""

import socket
import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire import decode as module
from testbed.wire.decode import Decoder, IcmpError, Other, decode
from testbed.wire.segment import Packet, Segment

A, B = b"\x0a\0\0\1", b"\x0a\0\0\2"
A6, B6 = bytes(15) + b"\1", bytes(15) + b"\2"
ETHERNET, RAW = 1, 101


def tcp(
    flags: int = 0x10, options: bytes = b"", payload: bytes = b"hello", header: int | None = None
) -> bytes:
    size = 20 + len(options) if header is None else header
    fixed = struct.pack(">HHIIHHHH", 1234, 80, 100, 200, size // 4 << 12 | flags, 512, 0, 0)
    return fixed + options + payload


def ip4(
    inner: bytes, protocol: int = 6, total: int | None = None, fragment: int = 0, options: bytes = b""
) -> bytes:
    size = 20 + len(options)
    total = size + len(inner) if total is None else total
    fixed = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, total, 1, fragment, 64, protocol, 0)
    return fixed + A + B + options + inner


def ip6(inner: bytes, protocol: int = 6, length: int | None = None) -> bytes:
    length = len(inner) if length is None else length
    return struct.pack(">IHBB", 0x6 << 28, length, protocol, 64) + A6 + B6 + inner


def ether(inner: bytes, kind: int = 0x0800) -> bytes:
    return bytes(12) + struct.pack(">H", kind) + inner


def of(data: bytes, link: int = RAW, original: int | None = None) -> Segment | Other:
    """By both ways at once: they must agree."""
    packet = Packet(7, 99, link, data, len(data) if original is None else original)
    one = decode(packet)
    many = Decoder()
    segments = many.segments([packet])
    assert segments == ([one] if isinstance(one, Segment) else [])
    assert isinstance(one, Segment) or many.other == {one.protocol: 1}
    return one


def segment(data: bytes, link: int = RAW, original: int | None = None) -> Segment:
    found = of(data, link, original)
    assert isinstance(found, Segment), found
    return found


def reason(data: bytes, link: int = RAW) -> str:
    found = of(data, link)
    assert isinstance(found, Other), found
    return found.protocol


FLOW = A + B + struct.pack(">HH", 1234, 80)
FLOW6 = A6 + B6 + struct.pack(">HH", 1234, 80)


# ---- dpkt as oracle

u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
words = st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))


@given(
    st.booleans(),
    u16,
    u16,
    u32,
    u32,
    st.integers(0, 0x1FF),
    u16,
    words,
    st.binary(max_size=40),
    st.binary(max_size=9),
)
def test_as_dpkt_has_it(
    six: bool,
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: bytes,
    payload: bytes,
    padding: bytes,
) -> None:
    built = dpkt.tcp.TCP(sport=sport, dport=dport, seq=seq, ack=ack, flags=flags, win=window, opts=options)
    built.off = 5 + len(options) // 4
    built.data = payload
    if six:
        ip = dpkt.ip6.IP6(src=A6, dst=B6, nxt=6, data=built, plen=len(built))
        frame = bytes(dpkt.ethernet.Ethernet(type=0x86DD, data=ip))
    else:
        ip = dpkt.ip.IP(src=A, dst=B, p=6, data=built)
        ip.len = len(ip)
        frame = bytes(dpkt.ethernet.Ethernet(type=0x0800, data=ip))
    tcp_at = 54 if six else 34
    found = segment(frame + padding, ETHERNET)
    flow = (A6 + B6 if six else A + B) + struct.pack(">HH", sport, dport)
    data = frame + padding
    wanted = Segment(7, 99, flow, flags, seq, ack, window, len(payload), options, data, tcp_at)
    assert found == wanted
    assert found.payload == payload


@given(st.sampled_from([ETHERNET, 113, 276, 0, RAW, 228]), words)
def test_every_link_type_finds_the_same_segment(link: int, options: bytes) -> None:
    before = {
        ETHERNET: bytes(12) + b"\x08\0",
        113: bytes(14) + b"\x08\0",
        276: b"\x08\0" + bytes(18),
        0: b"\2\0\0\0",
        RAW: b"",
        228: b"",
    }[link]
    found = segment(before + ip4(tcp(options=options)), link)
    assert found[:9] == segment(ip4(tcp(options=options)))[:9]
    assert found.tcp_at == len(before) + 20


def test_all_twelve_flag_bits() -> None:
    assert segment(ether(ip4(tcp(flags=0xFFF))), ETHERNET).flags == 0xFFF


# ---- IPv4


def test_ipv4_options() -> None:
    found = segment(ip4(tcp(), options=bytes(8)))
    assert (found.flow, found.tcp_at, found.payload) == (FLOW, 28, b"hello")


def test_ethernet_padding_is_no_payload() -> None:
    assert segment(ether(ip4(tcp(payload=b""))) + bytes(6), ETHERNET).length == 0


def test_segmentation_offload_leaves_the_total_length_zero() -> None:
    found = segment(ether(ip4(tcp(payload=bytes(3000)), total=0)), ETHERNET)
    assert found.length == 3000
    # cut by the snap length as well: what there was on the wire counts
    assert segment(ether(ip4(tcp(payload=b""), total=0)), ETHERNET, original=54 + 3000).length == 3000


def test_length_is_by_the_ip_header_not_by_what_was_captured() -> None:
    found = segment(ip4(tcp(payload=b"hel"), total=45))
    assert (found.length, found.payload) == (5, b"hel")


def test_options_cut_by_the_snap_length() -> None:
    options = bytes.fromhex("0101080a0000000100000002")
    found = segment(ether(ip4(tcp(options=options)))[: 14 + 20 + 20 + 6], ETHERNET)
    assert (found.options, found.length, found.payload) == (options[:6], 5, b"")


def test_fragments() -> None:
    first = segment(ip4(tcp(payload=bytes(12)), fragment=0x2000))
    assert first.length == 12
    assert reason(ip4(tcp(), fragment=0x0001)) == "IPv4 fragment"
    assert reason(ip4(tcp()[:16], fragment=0x2000)) == "IPv4 fragment"  # the header is in two of them
    assert segment(ip4(tcp(), fragment=0x4000)).length == 5  # don't fragment


# ---- IPv6


def extension(following: int, units: int = 0, body: bytes = b"") -> bytes:
    return bytes((following, units)) + body + bytes(6 + 8 * units - len(body))


@pytest.mark.parametrize(
    ("first", "headers"),
    [
        (0, extension(6)),  # hop by hop
        (60, extension(6, 1)),  # destination options
        (43, extension(6, 2)),  # routing, no segments left
        (0, extension(60) + extension(43, 1) + extension(6)),
        (44, bytes((6, 0, 0, 0)) + bytes(4)),  # an atomic fragment
        (44, bytes((6, 0, 0, 1)) + bytes(4)),  # the first of more
        (51, bytes((6, 4)) + bytes(22)),  # AH: length in words less two
    ],
)
def test_ipv6_extension_headers(first: int, headers: bytes) -> None:
    found = segment(ip6(headers + tcp(), first))
    assert (found.flow, found.tcp_at, found.length) == (FLOW6, 40 + len(headers), 5)
    for size in range(40, 40 + len(headers) + 20):
        assert isinstance(of(ip6(headers + tcp(), first)[:size]), Other)


def test_ipv6_fragments() -> None:
    assert reason(ip6(bytes((6, 0, 0, 8)) + bytes(4) + tcp(), 44)) == "IPv6 fragment"
    assert reason(ip6(bytes((6, 0, 0, 1)) + bytes(4) + tcp()[:8], 44)) == "IPv6 fragment"


@pytest.mark.parametrize(
    ("kind", "stops"),
    [(0, [bytes(16), b"\xfe" * 16]), (2, [b"\xfe" * 16]), (4, [b"\xfe" * 16, bytes(16)])],
)
def test_a_routed_packet_belongs_to_its_last_stop(kind: int, stops: list[bytes]) -> None:
    body = bytes((kind, 1)) + bytes(4) + b"".join(stops)
    found = segment(ip6(extension(6, 2 * len(stops), body) + tcp(), 43))
    assert found.flow == A6 + b"\xfe" * 16 + FLOW6[-4:]


def test_ipv6_payload_length_zero() -> None:
    assert segment(ip6(tcp(payload=bytes(3000)), length=0)).length == 3000


# ---- tunnels

INNER = ip4(tcp(payload=b"inner"))
VXLAN = struct.pack(">HHHH", 5555, 4789, 0, 0) + b"\x08" + bytes(7)


@pytest.mark.parametrize(
    "outer",
    [
        ip4(INNER, 4),
        ip6(INNER, 4),
        ip4(bytes((4, 4)) + bytes(22) + INNER, 51),
        ip4(b"\0\0\x08\0" + INNER, 47),
        ip4(b"\xb0\0\x08\0" + bytes(12) + INNER, 47),  # checksum, key, sequence number
        ip4(b"\0\0\x65\x58" + ether(INNER), 47),
        ip4(b"\x30\x81\x88\x0b" + bytes(12) + b"\xff\x03\0\x21" + INNER, 47),  # PPTP
        ip4(b"\x10\0\x88\xbe" + bytes(4) + bytes(8) + ether(INNER), 47),  # ERSPAN type II
        ip4(VXLAN + ether(INNER), 17),
        ip4(VXLAN + ether(ip4(INNER, 4)), 17),
    ],
)
def test_tunnels(outer: bytes) -> None:
    found = segment(outer)
    assert (found.flow, found.payload) == (FLOW, b"inner")
    for size in range(len(outer)):
        of(outer[:size])


def test_6in4() -> None:
    assert segment(ip4(ip6(tcp()), 41)).flow == FLOW6


def test_depth_is_bounded() -> None:
    packet = ip4(tcp())
    for _ in range(module.MAX_DEPTH - 1):
        packet = ip4(packet, 4)
    assert segment(packet).flow == FLOW
    assert reason(ip4(packet, 4)) == "nested too deep"


# ---- what is no segment


@pytest.mark.parametrize(
    ("data", "link", "name"),
    [
        (ip4(bytes(8), 17), RAW, "UDP"),
        (ip4(VXLAN + bytes(10), 17), RAW, "UDP"),  # its Ethernet header is cut
        (ip4(bytes(8), 1), RAW, "ICMP"),
        (ip6(bytes(8), 58), RAW, "ICMPv6"),
        (ip4(bytes(8), 2), RAW, "IGMP"),
        (ip4(bytes(8), 132), RAW, "SCTP"),
        (ip4(bytes(8), 250), RAW, "IP protocol 250"),
        (ip6(b"", 59), RAW, "IPv6 no next header"),
        (ether(bytes(28), 0x0806), ETHERNET, "ARP"),
        (ether(bytes(28), 0x1234), ETHERNET, "EtherType 0x1234"),
        (ether(b"\x42\x42\x03" + bytes(30), 0x0026), ETHERNET, "STP"),
        (bytes(10), ETHERNET, "undecodable"),
        (b"", RAW, "undecodable"),
        (bytes(10), 147, "link type 147"),
        (ip4(tcp())[:39], RAW, "TCP header cut"),
        (ip4(tcp())[:19], RAW, "undecodable"),
        (ip4(tcp(), total=19), RAW, "undecodable"),
        (b"\x44" + ip4(tcp())[1:], RAW, "undecodable"),  # a header of 16 bytes
        (ip4(tcp(), total=30), RAW, "malformed TCP"),  # ends inside the TCP header
        (ip4(tcp(header=16)), RAW, "malformed TCP"),
        (ip4(tcp(header=60)), RAW, "malformed TCP"),  # reaches beyond the packet
        (ether(ip4(tcp(header=60))), ETHERNET, "malformed TCP"),
        (ether(ip4(tcp(header=8))), ETHERNET, "malformed TCP"),
        (ether(ip6(tcp())), ETHERNET, "undecodable"),  # IPv6 by the name of IPv4
    ],
)
def test_named_reasons(data: bytes, link: int, name: str) -> None:
    assert reason(data, link) == name


# ---- ICMP errors


def icmp(kind: int, code: int, quoted: bytes, protocol: int = 1) -> bytes:
    body = bytes((kind, code, 0, 0, 0, 0, 0, 0)) + quoted
    return ip4(body, 1) if protocol == 1 else ip6(body, 58)


@pytest.mark.parametrize(
    ("packet", "error"),
    [
        (icmp(3, 3, ip4(tcp())[:28]), (3, 3, FLOW)),  # port unreachable, the least that is quoted
        (icmp(3, 4, ip4(tcp())), (3, 4, FLOW)),  # fragmentation needed
        (icmp(11, 0, ip4(tcp(), options=bytes(4))), (11, 0, FLOW)),
        (icmp(2, 0, ip6(tcp()), 58), (2, 0, FLOW6)),  # packet too big
        (icmp(1, 4, ip6(extension(6) + tcp(), 60), 58), (1, 4, FLOW6)),
        (icmp(3, 3, ip4(bytes(8), 17)), None),  # about a datagram
        (icmp(3, 3, ip4(tcp())[:22]), None),
        (icmp(8, 0, ip4(tcp())), None),  # an echo request that happens to hold a segment
        (icmp(128, 0, ip6(tcp()), 58), None),
        (icmp(1, 4, ip6(extension(6), 60), 58), None),
    ],
)
def test_icmp_errors(packet: bytes, error: tuple[int, int, bytes] | None) -> None:
    found = of(packet)
    assert isinstance(found, Other)
    assert found.icmp_error == (IcmpError(7, 99, *error) if error else None)
    assert found.protocol in ("ICMP", "ICMPv6")


def test_icmp_errors_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ICMP_ERRORS", 2)
    data = icmp(3, 3, ip4(tcp()))
    decoder = Decoder()
    assert decoder.segments([(n, 0, RAW, data, len(data)) for n in range(1, 6)]) == []
    assert [error.frame for error in decoder.icmp_errors] == [1, 2]
    assert (decoder.icmp_errors_seen, decoder.other) == (5, {"ICMP": 5})


# ---- hostile bytes

GOOD = [
    (ETHERNET, ether(ip4(tcp(options=b"\1\1\1\1")))),
    (ETHERNET, ether(ip6(extension(43, 2) + tcp(), 0), 0x86DD)),
    (RAW, ip4(VXLAN + ether(ip4(ip6(tcp()), 41)), 17)),
    (RAW, icmp(3, 3, ip4(tcp()))),
    (RAW, ip4(b"\xb0\0\x08\0" + bytes(12) + INNER, 47)),
]


@given(st.sampled_from(GOOD), st.data())
def test_mutated_packets(good: tuple[int, bytes], draw: st.DataObject) -> None:
    link, data = good
    changed = bytearray(data[: draw.draw(st.integers(1, len(data)))])
    for _ in range(draw.draw(st.integers(0, 4))):
        changed[draw.draw(st.integers(0, len(changed) - 1))] = draw.draw(st.integers(0, 255))
    found = of(bytes(changed), link, draw.draw(st.integers(0, 100)))
    if isinstance(found, Segment):
        assert found.length >= 0 and len(found.flow) in (12, 36) and len(found.options) <= 40
        assert len(found.payload) <= found.length


@given(st.sampled_from([0, 1, 9, 10, 101, 105, 113, 127, 239, 276]), st.binary(max_size=120))
def test_any_bytes(link: int, data: bytes) -> None:
    of(data, link)


def test_addresses_as_a_person_reads_them() -> None:
    assert socket.inet_ntoa(segment(ip4(tcp())).flow[:4]) == "10.0.0.1"
