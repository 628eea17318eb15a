import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire import options
from testbed.wire.options import Kind, Option

# Bytes written down from the RFCs that `Kind` names; what tcpdump prints from tcpdump 4.99.3
TABLE = [
    ("", [], ""),
    ("00", [Option(Kind.EOL)], "eol"),
    ("0100 ffff", [Option(Kind.NOP), Option(Kind.EOL)], "nop,eol"),
    ("0204 05b4", [Option(Kind.MSS, b"\x05\xb4")], "mss 1460"),
    ("0303 07", [Option(Kind.WINDOW_SCALE, b"\x07")], "wscale 7"),
    ("0402", [Option(Kind.SACK_PERMITTED)], "sackOK"),
    ("050a 00000001 00000002", [Option(Kind.SACK, struct.pack(">II", 1, 2))], "sack 1 {1:2}"),
    (
        "0512 00000001 00000002 00000003 00000004",
        [Option(Kind.SACK, struct.pack(">IIII", 1, 2, 3, 4))],
        "sack 2 {1:2}{3:4}",
    ),
    ("080a 00000001 00000002", [Option(Kind.TIMESTAMPS, struct.pack(">II", 1, 2))], "TS val 1 ecr 2"),
    ("2202", [Option(Kind.FAST_OPEN)], "tfo  cookiereq"),
    ("220a 0102030405060708", [Option(Kind.FAST_OPEN, bytes(range(1, 9)))], "tfo  cookie 0102030405060708"),
    ("1e04 0081", [Option(Kind.MPTCP, b"\x00\x81")], "mptcp 4 0x0081"),
    ("fd04 f989", [Option(253, b"\xf9\x89")], "unknown-253 0xf989"),
    ("ff02", [Option(255)], "unknown-255"),
]

LIES = [
    ("02", [Option(2, b"", True)]),  # no length
    ("0200", [Option(2, b"\x00", True)]),  # a length that does not cover itself
    ("0201 05b4", [Option(2, b"\x01\x05\xb4", True)]),
    ("0204 05", [Option(2, b"\x04\x05", True)]),  # cut
    ("01 0528", [Option(1), Option(5, b"\x28", True)]),
    ("0203 05 01", [Option(2, b"\x05", True), Option(1)]),  # fits, but is no length of an MSS
    ("0502", [Option(5, b"", True)]),
    ("2203 00", [Option(34, b"\x00", True)]),
]


@pytest.mark.parametrize(("raw", "parsed", "printed"), TABLE)
def test_table(raw: str, parsed: list[Option], printed: str) -> None:
    assert options.parse(bytes.fromhex(raw)) == tuple(parsed)
    assert options.describe(bytes.fromhex(raw)) == printed


@pytest.mark.parametrize(("raw", "parsed"), LIES)
def test_lengths_that_lie(raw: str, parsed: list[Option]) -> None:
    assert options.parse(bytes.fromhex(raw)) == tuple(parsed)
    assert "malformed option" in options.describe(bytes.fromhex(raw))
    with pytest.raises(ValueError, match="malformed"):
        options.build(parsed)


SYN = bytes.fromhex("020405b4 0402080a 0000000a 00000014 01030307")  # a Linux SYN's
ACK = bytes.fromhex("0101080a 0000000a 00000014 0101050a 00000064 000000c8")


def test_one_question_each() -> None:
    assert options.describe(SYN) == "mss 1460,sackOK,TS val 10 ecr 20,nop,wscale 7"
    assert options.mss(SYN) == 1460
    assert options.window_scale(SYN) == 7
    assert options.timestamps(SYN) == options.timestamps(ACK) == options.timestamps(ACK[:12]) == (10, 20)
    assert options.sack_permitted(SYN)
    assert options.sack_blocks(ACK) == ((100, 200),)
    assert options.describe(ACK, base=90).endswith("sack 1 {10:110}")
    for raw in (b"", b"\0" + SYN):
        assert (options.mss(raw), options.window_scale(raw), options.timestamps(raw)) == (None, None, None)
        assert not options.sack_permitted(raw)
        assert options.sack_blocks(raw) == ()


def test_a_window_shift_over_14_is_14() -> None:
    assert options.window_scale(b"\x03\x03\xff") == 14  # RFC 7323 section 2.3


def test_options_that_do_not_fit_a_header() -> None:
    with pytest.raises(ValueError, match="room for 40"):
        options.build([Option(Kind.NOP)] * 41)


@given(st.binary(max_size=60))
def test_any_bytes(raw: bytes) -> None:
    parsed = options.parse(raw)
    options.describe(raw)
    for kind, answer in (
        (Kind.MSS, options.mss(raw)),
        (Kind.WINDOW_SCALE, options.window_scale(raw)),
        (Kind.TIMESTAMPS, options.timestamps(raw)),
        (Kind.SACK_PERMITTED, options.sack_permitted(raw) or None),
        (Kind.SACK, options.sack_blocks(raw) or None),
    ):
        # the short way and the long way agree on whether there is one
        assert (answer is not None) is any(o.kind == kind and not o.malformed for o in parsed)


def of_kind(kind: int, least: int, most: int) -> st.SearchStrategy[Option]:
    return st.binary(min_size=least, max_size=most).map(lambda data: Option(kind, data))


good = st.one_of(
    st.just(Option(Kind.NOP)),
    of_kind(2, 2, 2),
    of_kind(3, 1, 1),
    of_kind(4, 0, 0),
    of_kind(8, 8, 8),
    st.integers(100, 255).flatmap(lambda kind: of_kind(kind, 0, 6)),
)


@given(st.lists(good, max_size=4))
def test_build_then_parse(wanted: list[Option]) -> None:
    raw = options.build(wanted)
    assert len(raw) % 4 == 0
    parsed = list(options.parse(raw))
    assert parsed in (wanted, [*wanted, Option(Kind.EOL)])


@given(st.binary(max_size=options.MAX_SIZE) | st.permutations(list(Kind)).map(lambda kinds: bytes(kinds)))
def test_what_is_offered_is_what_each_question_answers(raw: bytes) -> None:
    for data in (raw, SYN, SYN[: len(raw)], raw + SYN):
        one_by_one = options.mss(data), options.window_scale(data), options.timestamps(data) is not None
        assert options.offered(data) == one_by_one
