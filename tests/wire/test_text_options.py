"""Options from their print: by a table, and by writing any list and printing it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire import options
from testbed.wire.options import Kind, Option
from testbed.wire.text_options import rebuild


def same(number: int) -> int:
    return number


@pytest.mark.parametrize(
    ("printed", "raw"),
    [
        ("", ""),
        ("mss 1460", "020405b4"),
        (
            "mss 1460,sackOK,TS val 3038320571 ecr 0,nop,wscale 7",
            "020405b4 0402 080a b51917bb 00000000 01 030307",
        ),
        (
            "mss 16344,nop,wscale 6,nop,nop,TS val 4103777838 ecr 0,sackOK,eol",
            "02043fd8 01 030306 01 01 080a f49aae2e 00000000 0402 00 00",
        ),
        ("nop,nop,sack 2 {1:2}{5:9}", "01 01 0512 00000001 00000002 00000005 00000009"),
        ("nop,nop,sack 1 {1:2}", "01 01 050a 00000001 00000002"),
        ("nop,nop,timestamp 1 2", "01 01 080a 00000001 00000002"),  # tcpdump 3
        ("tfo  cookie 3132333435363738,eol", "220a 3132333435363738 00 00"),
        ("tfo  cookiereq,eol", "2202 00 00"),
        ("exp-tfo  cookie 3132,eol,eol", "fe06 f989 3132 00 00"),
        ("unknown-253 0x12346162,nop,nop", "fd06 12346162 01 01"),
        ("uto 0x8005 983160", "1c04 8005"),
        ("echo 5,nop,nop", "0606 00000005 01 01"),
    ],
)
def test_what_is_printed_becomes_the_bytes_of_the_header(printed: str, raw: str) -> None:
    assert rebuild(printed, same) == (bytes.fromhex(raw), True)


@pytest.mark.parametrize(
    ("printed", "raw"),
    [
        ("mptcp 12 capable[bad opt", "1e0c" + "00" * 10),
        (
            "md5 shared secret not supplied with -M, can't check - " + "07" * 16 + ",nop,nop",
            "1312" + "07" * 16 + "0101",
        ),
        ("mss 0[len 3],nop,nop,nop,nop", "01010101"),
        ("mss 99999,nop", "01000000"),
        ("what is this", ""),
        ("nop,,nop", "01010000"),
        ("unknown-999 0x00", ""),
        ("mptcp 99 x", ""),
    ],
)
def test_what_is_not_printed_whole_is_made_up_for(printed: str, raw: str) -> None:
    found = rebuild(printed, same)
    assert found.raw == bytes.fromhex(raw)
    assert found.exact == printed.startswith("md5")


def test_more_than_a_header_holds_is_cut() -> None:
    found = rebuild(",".join(["TS val 1 ecr 2"] * 10), same)
    assert len(found.raw) == 40
    assert not found.exact
    assert rebuild("unknown-253 0x" + "00" * 38 + ",nop,nop", same).exact is False


def test_the_edges_of_sack_are_made_absolute() -> None:
    found = rebuild("nop,nop,sack 1 {1:2}", lambda number: (number + 0xFFFF_FFFF) % 2**32)
    assert options.sack_blocks(found.raw) == ((0, 1),)


word = st.integers(0, 2**32 - 1)
known = st.one_of(
    st.just(Option(Kind.NOP)),
    st.just(Option(Kind.SACK_PERMITTED)),
    st.integers(0, 65535).map(lambda size: Option(Kind.MSS, size.to_bytes(2, "big"))),
    st.integers(0, 255).map(lambda shift: Option(Kind.WINDOW_SCALE, bytes([shift]))),
    st.binary(min_size=8, max_size=8).map(lambda data: Option(Kind.TIMESTAMPS, data)),
    st.integers(1, 4).flatmap(
        lambda n: st.binary(min_size=8 * n, max_size=8 * n).map(lambda data: Option(Kind.SACK, data))
    ),
    st.tuples(st.integers(200, 250), st.binary(max_size=8)).map(lambda pair: Option(*pair)),
)


@given(st.lists(known, max_size=5))
def test_any_list_survives_being_printed(listed: list[Option]) -> None:
    while sum(1 if option.kind == Kind.NOP else len(option.data) + 2 for option in listed) > 40:
        listed = listed[1:]
    raw = options.build(listed)
    found = rebuild(options.describe(raw), same)
    assert (found.raw, found.exact) == (raw, True)
