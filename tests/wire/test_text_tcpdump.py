"""Differential: packets are written to a capture, printed by the real tcpdump, and read back."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.wire.segment import Address, Segment, endpoints
from testbed.wire.text import TextCapture, looks_like_text, read_text

from .text_packets import (
    ACK,
    ETHERNET,
    FIN,
    NULL,
    PSH,
    RAW,
    RST,
    SLL,
    SLL2,
    SYN,
    Spec,
    framed,
    ip,
    packet,
    pcap,
)

pytestmark = pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")

START_US = 1_700_000_000_000_005  # 2023-11-14 22:13:20.000005 UTC
MIDNIGHT_US = 1_699_920_000_000_000
DATAGRAM = b"\xc3\x50\xea\x60\x00\x0c\x00\x00hey!"  # ports 50000 and 60000

SYN_OPTIONS = bytes.fromhex("020405b40402080a000000070000000001030307")
MAC_OPTIONS = bytes.fromhex("02043fd8010303060101080af49a4a0e0000000004020000")
TIMES = bytes.fromhex("0101080a0000000700000008")
TFO = bytes.fromhex("220a31323334353637380000")
UNKNOWN = bytes.fromhex("fd06123461620101")


def print_with_tcpdump(capture: bytes, options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made.pcap"
        file.write_bytes(capture)
        return subprocess.run(
            ["tcpdump", *options.split(), "-r", str(file)],
            capture_output=True,
            check=True,
            timeout=30,
            env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
        ).stdout


def read_back(capture: bytes, options: str) -> tuple[list[Segment], TextCapture]:
    out = print_with_tcpdump(capture, options)
    assert looks_like_text(out[:4096])
    text = read_text(io.BytesIO(out), "made")
    return list(text.segments()), text


def flow_of(spec: Spec) -> tuple[Address, Address]:
    return Address(spec.source, str(spec.sport)), Address(spec.destination, str(spec.dport))


def check(specs: list[Spec], link: int, options: str) -> None:
    """Print and read back; compare with what was written."""
    frames = [(START_US + 1000 * at * at, framed(packet(spec), link)) for at, spec in enumerate(specs)]
    segments, text = read_back(pcap(frames, link), options)
    assert text.problems == []
    assert text.disagreements == []
    assert text.packets == len(specs) == len(segments)
    with_bytes = any(letter in options for letter in "xX")
    for at, (segment, spec) in enumerate(zip(segments, specs, strict=True)):
        assert segment.frame == at + 1
        assert segment.flags == spec.flags
        told = with_bytes or spec.payload or spec.flags & (SYN | FIN | RST) or "vv" in options
        assert segment.seq == (spec.seq if told else None)
        assert segment.ack == (spec.ack if spec.flags & ACK or with_bytes else 0)
        assert segment.length == len(spec.payload)
        assert segment.window == spec.window
        assert segment.options == spec.options
        assert endpoints(segment.flow) == flow_of(spec)
        if with_bytes:
            assert segment.flow == spec.flow
            assert segment.data == packet(spec)
            assert segment.payload == spec.payload
        else:
            assert (segment.data, segment.tcp_at) == (b"", 0)


def back(spec: Spec) -> Spec:
    return spec._replace(
        source=spec.destination, destination=spec.source, sport=spec.dport, dport=spec.sport, ack=spec.ack
    )


def conversation(client: int, server: int, base: Spec | None = None) -> list[Spec]:
    """Handshake, a call and its answer, SACK, a keepalive probe, both FINs, an RST."""
    there = base or Spec()
    c, s = client + 1 & 0xFFFFFFFF, server + 1 & 0xFFFFFFFF
    call = b"x" * 104
    c2, s2 = c + 104 & 0xFFFFFFFF, s + 254 & 0xFFFFFFFF
    c3, s3 = c2 + 1 & 0xFFFFFFFF, s2 + 1 & 0xFFFFFFFF
    sack = bytes.fromhex("0101050a") + (c + 50 & 0xFFFFFFFF).to_bytes(4, "big") + c2.to_bytes(4, "big")
    back_ = back(there)
    return [
        there._replace(flags=SYN, seq=client, window=29200, options=SYN_OPTIONS),
        back_._replace(flags=SYN | ACK, seq=server, ack=c, window=65535, options=MAC_OPTIONS),
        there._replace(seq=c, ack=s, options=TIMES),
        there._replace(flags=PSH | ACK, seq=c, ack=s, payload=call, options=TIMES),
        back_._replace(seq=s, ack=c, options=sack),
        back_._replace(seq=s, ack=c2, options=TFO),
        back_._replace(flags=PSH | ACK, seq=s, ack=c2, payload=b"y" * 254, options=UNKNOWN),
        there._replace(seq=c2, ack=s2),
        back_._replace(seq=s2 - 1 & 0xFFFFFFFF, ack=c2, payload=b"\0"),
        there._replace(flags=FIN | ACK, seq=c2, ack=s2),
        back_._replace(flags=FIN | ACK, seq=s2, ack=c3),
        there._replace(seq=c3, ack=s3, window=0),
        there._replace(flags=RST, seq=c3, ack=0, window=0),
        back_._replace(flags=RST | ACK, seq=s3, ack=c3, window=0),
    ]


OPTIONS = [
    "-n", "-nS", "-nt", "-ntt", "-nttt", "-ntttt", "-nttttt", "-ne", "-nv", "-nvv", "-neS", "-nev", "-n#",
    "-nX", "-nXX", "-nx", "-nxx", "-nSX", "-neXX", "-nvX", "-nSvvX", "-netX",
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("link", [ETHERNET, NULL, RAW, SLL, SLL2])
def test_a_conversation_survives_tcpdump_on_every_link(link: int, options: str) -> None:
    check(conversation(810246547, 4021342427), link, options)


@pytest.mark.parametrize("options", ["-n", "-nS", "-nv", "-nX", "-nSXX"])
@pytest.mark.parametrize(
    ("client", "server"),
    [
        (0, 0),
        (1, 1),
        (2**32 - 1, 2**32 - 1),
        (2**32 - 50, 2**32 - 200),
        (2**31 - 1, 2**31),
        (7, 4_000_000_000),
    ],
)
def test_any_initial_numbers_survive(client: int, server: int, options: str) -> None:
    check(conversation(client, server), RAW, options)


@pytest.mark.parametrize("options", ["-n", "-nS", "-nv", "-nX", "-neXX"])
def test_ipv6_survives(options: str) -> None:
    six = Spec(source="::1", destination="2001:db8::2", sport=51028, dport=62333)
    check(conversation(1_000_000_000, 3_000_000_000, six), ETHERNET, options)


@pytest.mark.parametrize("options", ["-n", "-nS", "-nX"])
def test_the_same_four_tuple_again_has_new_numbers(options: str) -> None:
    check(conversation(5_000_000, 77) + conversation(3_000_000_000, 2_000_000_000), RAW, options)


@pytest.mark.parametrize("options", ["-n", "-nS", "-nX"])
def test_a_start_inside_a_connection_survives_when_it_has_data(options: str) -> None:
    check(conversation(810246547, 4021342427)[3:12], RAW, options)


def test_a_start_inside_a_connection_without_data_keeps_each_side_consistent() -> None:
    specs = conversation(810246547, 4021342427)[2:12]
    segments, _ = read_back(pcap([(START_US, packet(spec)) for spec in specs], RAW), "-n")
    client, server = endpoints(specs[0].flow)
    off: dict[Address, set[int]] = {client: set(), server: set()}
    for segment, spec in zip(segments, specs, strict=True):
        source, destination = endpoints(segment.flow)
        if segment.seq is not None:
            off[source].add((spec.seq - segment.seq) % 2**32)
        off[destination].add((spec.ack - segment.ack) % 2**32)
    assert {len(each) for each in off.values()} == {1}
    assert off[server] == {0}  # the first line prints its acknowledgment number absolute


def test_an_unrelated_absolute_number_is_not_taken_for_a_relative_one() -> None:
    specs = [*conversation(810246547, 4021342427)[2:12], conversation(810246547, 4021342427)[12]]
    segments, _ = read_back(pcap([(START_US, packet(spec)) for spec in specs], RAW), "-n")
    assert segments[-1].flags == RST
    assert segments[-1].seq is None


def test_a_refused_syn_and_its_repetition_survive() -> None:
    there = Spec(flags=SYN, seq=4_000_000_000, options=SYN_OPTIONS)
    refusal = back(there)._replace(flags=RST | ACK, seq=0, ack=4_000_000_001, window=0, options=b"")
    again = there._replace(seq=100)
    check([there, refusal, again, refusal._replace(ack=101)], RAW, "-n")


TIME_US = [START_US, START_US + 11, START_US + 7_200_000_011, START_US + 7_200_000_012]


@pytest.mark.parametrize(
    ("options", "expected_us"),
    [
        ("-n", [us - MIDNIGHT_US for us in TIME_US]),
        ("-nt", [0, 0, 0, 0]),
        ("-ntt", TIME_US),
        ("-nttt", [us - START_US for us in TIME_US]),
        ("-ntttt", TIME_US),
        ("-nttttt", [us - START_US for us in TIME_US]),
    ],
)
def test_every_form_of_time_is_read_over_midnight(options: str, expected_us: list[int]) -> None:
    frames = [(us, packet(Spec(ack=5))) for us in TIME_US]
    segments, _ = read_back(pcap(frames, RAW), options)
    assert [segment.time_ns for segment in segments] == [us * 1000 for us in expected_us]


def test_nanoseconds_are_kept() -> None:
    capture = pcap([(START_US, packet(Spec(ack=5)))], RAW)
    segments, _ = read_back(capture, "-n --nano -tt")
    assert segments[0].time_ns == START_US * 1000


@pytest.mark.parametrize("options", ["-n", "-nv", "-ne", "-nX", "-nq"])
def test_packets_of_other_kinds_are_counted_and_numbered(options: str) -> None:
    arp = bytes.fromhex(
        "ffffffffffff020304050607080600010800060400010203040506070a0000010000000000000a000002"
    )
    frames = [
        arp,
        framed(packet(Spec(ack=5)), ETHERNET),
        framed(ip("10.0.0.1", "10.0.0.2", 17, DATAGRAM), ETHERNET),
        framed(ip("10.0.0.1", "10.0.0.2", 1, bytes.fromhex("0800f7fd00010001")), ETHERNET),
        framed(packet(Spec(ack=6)), ETHERNET),
    ]
    segments, text = read_back(pcap([(START_US, frame) for frame in frames], ETHERNET), options)
    assert text.packets == 5
    assert text.problems == []
    tcp = {"TCP without flags (tcpdump -q)": 2} if "q" in options else {}
    assert text.other == {"ARP": 1, "UDP": 1, "ICMP": 1, **tcp}
    assert [segment.frame for segment in segments] == ([] if tcp else [2, 5])


@pytest.mark.parametrize("options", ["-nA", "-nvA"])
def test_characters_below_a_line_are_passed_over(options: str) -> None:
    specs = [spec._replace(payload=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") for spec in conversation(9, 99)[3:5]]
    segments, text = read_back(pcap([(START_US, packet(spec)) for spec in specs], RAW), options)
    assert len(segments) == 2
    assert text.problems == []


@pytest.mark.parametrize("checksum", ["good", "partial", "zero"])
def test_a_checksum_that_is_none_makes_no_disagreement(checksum: str) -> None:
    check([spec._replace(checksum=checksum) for spec in conversation(1234567, 7654321)], RAW, "-nX")


def test_a_capture_cut_by_its_snap_length_is_read_by_its_lines() -> None:
    spec = Spec(flags=PSH | ACK, seq=100, ack=200, payload=b"z" * 1000)
    for size in (30, 39, 40, 60):
        cut = packet(spec)[:size]
        raw = pcap([], RAW) + (
            b"\0" * 8 + len(cut).to_bytes(4, "little") + (1040).to_bytes(4, "little") + cut
        )
        segments, text = read_back(raw, "-nX")
        assert text.problems == []
        assert [segment.length for segment in segments] == ([1000] if size >= 40 else [])
        assert text.other == ({} if size >= 40 else {"TCP header cut": 1})


options_bytes = st.sampled_from([b"", TIMES, SYN_OPTIONS, MAC_OPTIONS, TFO, UNKNOWN])
# Nothing in a text tells relative numbers from absolute ones next to nought: these begin beyond it
initial = st.integers(100_000, 2**32 - 1) | st.integers(2**32 - 3000, 2**32 - 1)


@st.composite
def connections(draw: st.DrawFn, port: int) -> list[Spec]:
    """A handshake, then segments that go on, jump, repeat, close and reset, as they like."""
    there = Spec(sport=port, dport=draw(st.sampled_from([60_000, 60_001])))
    back_ = back(there)
    nexts = [draw(initial), draw(initial)]
    specs = [there._replace(flags=SYN, seq=nexts[0], options=SYN_OPTIONS)]
    nexts[0] = nexts[0] + 1 & 0xFFFFFFFF
    specs.append(back_._replace(flags=SYN | ACK, seq=nexts[1], ack=nexts[0], options=MAC_OPTIONS))
    nexts[1] = nexts[1] + 1 & 0xFFFFFFFF
    specs.append(there._replace(seq=nexts[0], ack=nexts[1]))
    for _ in range(draw(st.integers(0, 8))):
        side = draw(st.integers(0, 1))
        flags = draw(
            st.sampled_from([ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, FIN | PSH | ACK, 0, ACK | 0xC0])
        )
        size = 0 if flags & RST else draw(st.integers(0, 9))
        jump = draw(st.sampled_from([0, 0, 0, -1, 1448, -500, 60_000]))
        seq = nexts[side] + jump & 0xFFFFFFFF
        specs.append(
            (there, back_)[side]._replace(
                flags=flags,
                seq=seq,
                ack=nexts[1 - side],
                window=draw(st.integers(0, 65535)),
                options=draw(options_bytes),
                payload=b"p" * size,
            )
        )
        nexts[side] = seq + size + bool(flags & FIN) & 0xFFFFFFFF
    return specs


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_connections_do_survives(data: st.DataObject) -> None:
    lists = [data.draw(connections(50_000 + at)) for at in range(data.draw(st.integers(1, 3)))]
    mixed = [spec for group in itertools.zip_longest(*lists) for spec in group if spec is not None]
    for options in ("-n", "-nS", "-nX", data.draw(st.sampled_from(OPTIONS))):
        check(mixed, RAW, options)
