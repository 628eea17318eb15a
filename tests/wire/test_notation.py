"""packetdrill's notation: a table of lines that must read as they are meant, and both ways by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.wire import notation
from testbed.wire.notation import Line, parse, parse_transcript

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
TOP = 2**32 - 1

LINES = [
    ("> S 0:0(0)", Line(">", SYN, 0, 0)),
    ("< S. 0:0(0) ack 1", Line("<", SYN | ACK, 0, 0, 1)),
    ("> P. 1:105(104) ack 1", Line(">", PSH | ACK, 1, 104, 1)),
    ("< . 254:254(0) ack 106", Line("<", ACK, 254, 0, 106)),
    ("> R 106:106(0)", Line(">", RST, 106, 0)),
    ("> F. 105:105(0) ack 255", Line(">", FIN | ACK, 105, 0, 255)),
    ("< R. 0:0(0) ack 1 win 0", Line("<", RST | ACK, 0, 0, 1, 0)),
    ("> - 1:1(0)", Line(">", 0, 1, 0)),
    ("< . ?:?(0) ack 255", Line("<", ACK, None, 0, 255)),
    ("> SEW 0:0(0) win 64240", Line(">", SYN | ECE | CWR, 0, 0, None, 64240)),
    ("> FSRP.UEWe 0:0(0) ack 0", Line(">", 0x1FF, 0, 0, 0)),
    ("> xyz 0:0(0)", Line(">", 0xE00, 0, 0)),
    (f"> . {TOP}:{TOP}(0) ack 1", Line(">", ACK, TOP, 0, 1)),
    (f"> P. {TOP - 1}:8(10) ack 1", Line(">", PSH | ACK, TOP - 1, 10, 1)),
    (
        "> S 0:0(0) win 29200 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>",
        Line(">", SYN, 0, 0, None, 29200, ("mss 1460", "sackOK", "TS val 1 ecr 0", "nop", "wscale 7")),
    ),
    ("> . 1:1(0) ack 1 <>", Line(">", ACK, 1, 0, 1, None, ())),
    (
        "> . 1:1(0) ack 1 <nop,nop,sack 1 {5:9}>",
        Line(">", ACK, 1, 0, 1, None, ("nop", "nop", "sack 1 {5:9}")),
    ),
]


@pytest.mark.parametrize(("text", "line"), LINES, ids=[text for text, _ in LINES])
def test_a_line_reads_and_prints_as_it_is_meant(text: str, line: Line) -> None:
    assert parse(text) == line
    assert str(line) == notation.format(line) == text


@pytest.mark.parametrize(
    "text",
    [
        "  >   P.   1:105(104)   ack   1  ",
        ">P. 1 : 105 ( 104 ) ack 1",
        "\t>\tP. 1:105(104)\tack 1\r\n",
        "> P. 1:105(104) ack 1   # the call",
        "> P. 1:105(104) ack 1 // the call",
        "> .P 1:105(104) ack 1",
        "> P. 1:105(104)ack 1",
    ],
)
def test_blanks_comments_and_the_order_of_letters_do_not_matter(text: str) -> None:
    assert parse(text) == Line(">", PSH | ACK, 1, 104, 1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "expected '> FLAGS"),
        ("S 0:0(0)", "expected '> FLAGS"),
        ("> S 0:0", "expected '> FLAGS"),
        ("> S 0:0(0) bananas", "expected '> FLAGS"),
        ("> S 0:0(0) ack", "expected '> FLAGS"),
        ("> S 0:0(0) <mss 1460", "expected '> FLAGS"),
        ("> . 1:1(0)", "'ack N'"),
        ("> P 1:1(0) ack 1", "the flag '.'"),
        ("> P. 1:105(100) ack 1", "1 + 100 is 101, not 105"),
        ("> . ?:1(1) ack 1", "'?:?'"),
        ("> Q 1:1(0)", "'Q' is no flag"),
        ("> SS 1:1(0)", "'S' is twice"),
        (f"> S {TOP + 1}:0(0)", "is not in 0.."),
        ("> S " + "9" * 5000 + ":0(0)", "> S 999"),
    ],
)
def test_what_is_no_segment_is_named_with_what_was_expected(text: str, names: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert names in str(caught.value)


def test_a_line_that_cannot_be_is_refused_where_it_is_made() -> None:
    with pytest.raises(UsageError, match="neither"):
        Line("x", SYN, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="12 bits"):
        Line(">", 0x1000, 0, 0)
    with pytest.raises(UsageError, match="seq"):
        Line(">", SYN, -1, 0)


def test_a_transcript_skips_blank_lines_and_comments_and_numbers_its_errors() -> None:
    text = "# opening\n> S 0:0(0)\n\n   // answer\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1 # done\n"
    assert [str(line) for line in parse_transcript(text)] == [
        "> S 0:0(0)",
        "< S. 0:0(0) ack 1",
        "> . 1:1(0) ack 1",
    ]
    assert parse_transcript("") == []
    with pytest.raises(UsageError, match="line 3: 'nonsense' is no segment"):
        parse_transcript("> S 0:0(0)\n\nnonsense\n")


def test_flags_have_names() -> None:
    assert notation.flag_names(0x011) == "FIN, ACK"
    assert notation.flag_names(0x012) == "SYN, ACK"
    assert notation.flag_names(0x004) == "RST"
    assert notation.flag_names(0) == "none"
    assert notation.flag_names(0xFFF) == "FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE, 0x200, 0x400, 0x800"


def test_the_end_leaves_out_what_syn_and_fin_take() -> None:
    assert Line(">", SYN, 0, 0).end == 0
    assert Line(">", FIN | ACK, 105, 0, 1).end == 105
    assert Line(">", ACK, TOP, 2, 1).end == 1
    assert Line(">", ACK, None, 0, 1).end is None


numbers = st.integers(0, TOP) | st.integers(0, 300) | st.integers(TOP - 300, TOP)
option = st.text("abcdefghijklmnopqrstuvwxyzTSOK0123456789{}:-.", min_size=1, max_size=12)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    flags = draw(st.integers(0, 0xFFF))
    return Line(
        direction=draw(st.sampled_from((">", "<"))),
        flags=flags,
        seq=draw(st.none() | numbers),
        length=draw(st.integers(0, 70_000)),
        ack=draw(numbers) if flags & ACK else None,
        win=draw(st.none() | st.integers(0, 2**30)),
        options=draw(st.none() | st.lists(option, max_size=5).map(tuple)),
    )


@given(lines())
def test_every_line_survives_being_written_and_read(line: Line) -> None:
    assert parse(str(line)) == line


@given(st.lists(lines(), max_size=8))
def test_every_transcript_survives_being_written_and_read(transcript: list[Line]) -> None:
    assert parse_transcript("\n".join(str(line) for line in transcript)) == transcript


@given(
    st.text(max_size=80)
    | st.from_regex(r"[<>] [FSRP.]{1,3} \d{1,3}:\d{1,3}\(\d\)( ack \d+)?", fullmatch=True)
)
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        line = parse(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert parse(str(line)) == line
