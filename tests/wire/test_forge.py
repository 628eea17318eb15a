"""A forged frame is what it was asked to be: dpkt and our own decoder read it, the checksums are right."""

from __future__ import annotations

import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.wire import forge, options
from testbed.wire.decode import decode
from testbed.wire.segment import Packet, Segment

HERE, THERE = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"
FLOW = bytes((192, 0, 2, 1, 192, 0, 2, 2)) + struct.pack(">HH", 40000, 80)


@given(
    flags=st.integers(0, 0xFFF),
    seq=st.integers(0, 2**32 - 1),
    ack=st.integers(0, 2**32 - 1),
    window=st.integers(0, 65535),
    payload=st.binary(max_size=1460),
)
def test_it_is_read_as_it_was_written(flags: int, seq: int, ack: int, window: int, payload: bytes) -> None:
    data = forge.frame(
        FLOW, source=HERE, destination=THERE, flags=flags, seq=seq, ack=ack, window=window, payload=payload
    )
    segment = decode(Packet(1, 0, 1, data, len(data)))
    assert isinstance(segment, Segment)
    assert (segment.flow, segment.flags, segment.seq, segment.ack) == (FLOW, flags, seq, ack)
    assert (segment.window, segment.payload) == (window, payload)
    ethernet = dpkt.ethernet.Ethernet(data)
    assert (ethernet.src, ethernet.dst, ethernet.ip.p) == (HERE, THERE, 6)


def test_its_checksums_are_dpkts() -> None:
    raw = options.build([options.Option(options.Kind.MSS, b"\x05\xb4")])
    data = forge.frame(FLOW, source=HERE, destination=THERE, flags=2, seq=7, options=raw, payload=b"odd")
    ip = dpkt.ethernet.Ethernet(data).ip
    told = (ip.sum, ip.tcp.sum)
    ip.sum = ip.tcp.sum = 0
    again = dpkt.ip.IP(bytes(ip))  # dpkt fills in checksums that are 0
    assert told == (again.sum, again.tcp.sum)


def test_what_cannot_be_forged() -> None:
    with pytest.raises(UsageError, match="IPv4"):
        forge.frame(bytes(36), source=HERE, destination=THERE, flags=2, seq=0)
    with pytest.raises(UsageError, match="multiple of 4"):
        forge.frame(FLOW, source=HERE, destination=THERE, flags=2, seq=0, options=b"\1")
