"""One line of tcpdump's: a table of forms, each with what it says."""

from __future__ import annotations

import pytest

from testbed.wire.segment import Address
from testbed.wire.text_line import MORE, Nonsense, NotTcp, Tcp, read_addresses, read_summary
from testbed.wire.text_time import Form, Stamp

SECOND = 10**9
A, B = Address("10.0.0.1", "80"), Address("10.0.0.2", "81")
ACK_LINE = "10.0.0.1.80 > 10.0.0.2.81: Flags [.], ack 1, win 2, length 0"
ACK_SAID = Tcp(A, B, 0x10, None, 1, 2, 0, "")


@pytest.mark.parametrize(
    "head",
    [
        "IP ",
        "    1  IP ",
        "12:00:00.000000 IP ",
        "12:00:00.000000000 IP ",
        "12:00:00 IP ",
        "    7  12:00:00.000000 IP ",
        "  12:00:00.000000 IP ",
        " 00:00:00.000000 IP ",
        "1700000000.000005 IP ",
        "2023-11-14 22:13:20.000005 IP ",
        "12:00:00.000000 eth0  In  IP ",
        "12:00:00.000000 lo    Out IP ",
        "lo    In  IP ",
        "12:00:00.000000 ip: ",
        "12:00:00.000000 AF IPv4 (2), length 64: ",
        "12:00:00.000000 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), length 74: ",
        "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), length 74: ",
        "12:00:00.000000 lo    In  ifindex 1 00:00:00:00:00:00 ethertype IPv4 (0x0800), length 80: ",
        "12:00:00.000000  In 00:00:00:00:00:00 ethertype IPv4 (0x0800), length 76: ",
        " In 00:00:00:00:00:00 ethertype IPv4 (0x0800), length 76: ",
        "12:00:00.000000 2:0:0:0:0:1 > 2:0:0:0:0:2, length 78: vlan 7, p 0, ethertype IPv4 (0x0800), ",
        "12:00:00.000000 IP 1.1.1.1 > 2.2.2.2: GREv0, length 44: IP ",
    ],
)
def test_whatever_stands_before_the_addresses(head: str) -> None:
    summary = read_summary(head + ACK_LINE)
    assert summary is not None
    assert summary.body == ACK_SAID


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (
            "a.b.c.80 > ::1.idmgratm: Flags [S], seq 5, win 1, options [mss 1460,sackOK], length 0",
            Tcp(Address("a.b.c", "80"), Address("::1", "idmgratm"), 0x02, 5, None, 1, 0, "mss 1460,sackOK"),
        ),
        (
            "a.1 > b.2: Flags [P.U], cksum 0x12ab (correct), seq 1:4, ack 1, win 5, urg 2, length 3: HTTP",
            Tcp(Address("a", "1"), Address("b", "2"), 0x38, 1, 1, 5, 3, ""),
        ),
        (
            "a.1 > b.2: Flags [FSRP.UEWe], seq 1, ack 1, win 5, length 0",
            Tcp(Address("a", "1"), Address("b", "2"), 0x1FF, 1, 1, 5, 0, ""),
        ),
        (
            "a.1 > b.2: Flags [none], win 5",
            Tcp(Address("a", "1"), Address("b", "2"), 0, None, None, 5, 0, ""),
        ),
        (
            "a.1 > b.2: Flags [.], seq 1:1449, ack 9, win 5",  # the length was left out: it is computed
            Tcp(Address("a", "1"), Address("b", "2"), 0x10, 1, 9, 5, 1448, ""),
        ),
        (
            "a.1 > b.2: Flags [.], seq 4294967295:9, ack 9, win 5, length 10",
            Tcp(Address("a", "1"), Address("b", "2"), 0x10, 4294967295, 9, 5, 10, ""),
        ),
        (
            "a.1 > b.2: Flags [.], ack 9, win 5, options [mptcp 12 capable[bad opt]",
            Tcp(Address("a", "1"), Address("b", "2"), 0x10, None, 9, 5, 0, "mptcp 12 capable[bad opt"),
        ),
        (
            "a.1 > b.2: Flags [.], ack 9, win 5, options [mss 0[len 3]], length 3: x], length 99",
            Tcp(Address("a", "1"), Address("b", "2"), 0x10, None, 9, 5, 3, "mss 0[len 3]"),
        ),
        # tcpdump 3
        (
            "a.1 > b.2: S 123:123(0) win 5840 <mss 1460,sackOK>",
            Tcp(Address("a", "1"), Address("b", "2"), 0x02, 123, None, 5840, 0, "mss 1460,sackOK"),
        ),
        ("a.1 > b.2: . ack 5 win 9", Tcp(Address("a", "1"), Address("b", "2"), 0x10, None, 5, 9, 0, "")),
        (
            "a.1 > b.2: FP 1:105(104) ack 5 win 9 urg 1 <nop,nop> (DF)",
            Tcp(Address("a", "1"), Address("b", "2"), 0x39, 1, 5, 9, 104, "nop,nop"),
        ),
        ("a.1 > b.2: R 1:1(0) win 0", Tcp(Address("a", "1"), Address("b", "2"), 0x04, 1, None, 0, 0, "")),
    ],
)
def test_what_a_tcp_line_says(rest: str, said: Tcp) -> None:
    summary = read_summary("12:00:00.000000 IP " + rest)
    assert summary is not None
    assert summary.body == said


@pytest.mark.parametrize(
    ("rest", "protocol"),
    [
        ("ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28", "ARP"),
        ("IP 10.0.0.1.50000 > 10.0.0.2.60000: UDP, length 4", "UDP"),
        ("IP 10.0.0.1.5353 > 224.0.0.251.5353: 0 PTR (QM)? _http._tcp.local. (33)", "UDP"),
        ("IP 10.0.0.1.123 > 10.0.0.2.123: NTPv4, Client, length 48", "UDP"),
        ("IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 1, length 8", "ICMP"),
        ("IP6 fe80::1 > ff02::1: ICMP6, router advertisement, length 24", "ICMPv6"),
        ("IP 10.0.0.1 > 224.0.0.22: igmp v3 report, 1 group record(s)", "IGMP"),
        ("IP 10.0.0.1 > 10.0.0.2: GREv0, length 44: gre-proto-0x1234", "GRE"),
        ("IP 10.0.0.1 > 10.0.0.2: ip-proto-6", "IP protocol 6"),
        ("IP 10.0.0.1.80 > 10.0.0.2.81: tcp 104", "TCP without flags (tcpdump -q)"),
        ("IP 10.0.0.1.80 > 10.0.0.2.81:  [|tcp]", "TCP header cut"),
        ("IP 10.0.0.1.80 > 10.0.0.2.81:  tcp 36 [bad hdr length 12 - too short, < 20]", "malformed TCP"),
        ("IP  [|ip]", "undecodable"),
        ("IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto UDP (17), length 40)", "UDP"),
        ("IP6 (hlim 255, next-header ICMPv6 (58) payload length: 24) fe80::1 > ff02::1: ICMP6, x", "ICMPv6"),
        (
            "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Request who-has 1",
            "ARP",
        ),
        ("LLDP, length 60", "LLDP"),
    ],
)
def test_what_is_not_tcp_has_a_name(rest: str, protocol: str) -> None:
    summary = read_summary("12:00:00.000000 " + rest)
    assert summary is not None
    assert summary.body == NotTcp(protocol)


def test_the_addresses_of_a_verbose_packet_stand_on_the_next_line() -> None:
    first = read_summary(
        "12:00:00.000000 IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 40)"
    )
    assert first is not None
    assert first.body is MORE
    assert read_addresses("    " + ACK_LINE) == ACK_SAID
    assert read_addresses("\t" + ACK_LINE) is None  # a payload's line
    assert read_addresses("    Host: x") is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "what is this",
        "12:00:00.000000 server started",
        "\t12:00:00.000000 IP " + ACK_LINE,
        "\tGET / HTTP/1.1",
        "    " + ACK_LINE,
        "2023-13-45 22:13:20.000005 IP " + ACK_LINE,
    ],
)
def test_what_is_no_first_line_of_a_packet(line: str) -> None:
    assert read_summary(line) is None


@pytest.mark.parametrize("host", ["", "a\0b", "a\x1bb"])
def test_a_name_that_cannot_be_printed_is_no_host(host: str) -> None:
    summary = read_summary(f"12:00:00.000000 IP {host}.1 > b.2: Flags [S], seq 1, win 1, length 0")
    assert summary is not None
    assert isinstance(summary.body, Nonsense)


def test_the_time_is_told_with_the_blank_before_it() -> None:
    noon = 12 * 3600 * SECOND
    clock = read_summary("12:00:00.000000 IP " + ACK_LINE)
    delta = read_summary(" 12:00:00.000000 IP " + ACK_LINE)
    none = read_summary("IP " + ACK_LINE)
    assert clock is not None and clock.stamp == Stamp(Form.CLOCK, noon)
    assert delta is not None and delta.stamp == Stamp(Form.CLOCK, noon, spaced=True)
    assert none is not None and none.stamp is None
