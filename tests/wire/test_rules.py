"""Rules say what they say, count what they count, and complain with a column."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.wire.notation import LETTERS, Line, flag_letters, parse
from testbed.wire.rules import Action, Decision, Numbers, Rulebook, parse_pattern, parse_rule
from testbed.wire.segment import ACK, FIN, PSH, SYN, Segment, reverse

FLOW = bytes((192, 0, 2, 1, 192, 0, 2, 2)) + struct.pack(">HH", 40000, 80)


def segment(flags: int, seq: int, ack: int = 0, length: int = 0, *, flow: bytes = FLOW) -> Segment:
    return Segment(1, 0, flow, flags, seq, ack, 65535, length, b"", b"", 0)


@pytest.mark.parametrize(
    ("pattern", "line", "matches"),
    [
        ("> F.", "> F. 1:1(0) ack 1", True),
        ("> F.", "< F. 1:1(0) ack 1", False),
        ("> F.", "> FP. 1:8(7) ack 1", True),  # PSH is not asked for
        ("> F.", "> F 1:1(0)", False),
        ("> FP.", "> F. 1:1(0) ack 1", False),
        ("> FP.", "> FP. 1:8(7) ack 1", True),
        ("< S.", "< S. 0:0(0) ack 1", True),
        ("> S", "> S. 0:0(0) ack 1", False),
        ("> .", "> . 1:1(0) ack 1", True),
        ("> .", "> P. 1:8(7) ack 1", False),
        ("> .", "> . 1:1449(1448) ack 1", False),  # a dot alone is a bare ACK
        ("> . (+)", "> . 1:1449(1448) ack 1", True),
        ("> . (+)", "> P. 1:8(7) ack 1", True),
        ("> P.", "> P. 1:8(7) ack 1", True),
        ("> P.", "> . 1:8(7) ack 1", False),
        ("> (+)", "> P. 1:8(7) ack 1", True),
        ("> (+)", "> F. 1:1(0) ack 1", False),
        ("> (0)", "> F. 1:1(0) ack 1", True),
        ("> P. 1:8(7)", "> P. 1:8(7) ack 1", True),
        ("> P. 1:8(7)", "> P. 8:15(7) ack 1", False),
        ("> 8:?(?)", "> P. 8:15(7) ack 1", True),
        ("> * ack 5", "> F. 1:1(0) ack 5", True),
        ("> * ack 5", "> F. 1:1(0) ack 6", False),
        ("> ack 5", "> . 1:1(0) ack 5", True),
        (">", "> R 7:7(0)", True),
        ("<", "> R 7:7(0)", False),
        ("> *", "> - 0:0(0)", True),
        ("> -", "> - 0:0(0)", True),
        ("> -", "> . 0:0(0) ack 1", False),
    ],
)
def test_a_pattern_says_which(pattern: str, line: str, matches: bool) -> None:
    assert parse_pattern(pattern).matches(parse(line)) is matches


@pytest.mark.parametrize(
    ("rule", "acted_on"),
    [
        ("drop > F.", [1, 2, 3, 4]),
        ("drop > F. every", [1, 2, 3, 4]),
        ("drop > F. #1", [1]),
        ("drop > F. #2-", [2, 3, 4]),
        ("drop > F. #2-3", [2, 3]),
        ("drop > F. #9", []),
    ],
)
def test_which_of_those_that_match(rule: str, acted_on: list[int]) -> None:
    book = Rulebook([parse_rule(rule)])
    fin = parse("> F. 1:1(0) ack 1")
    other = parse("> . 1:1(0) ack 1")
    decided = []
    for number in range(1, 5):
        assert book.decide(other).action is Action.PASS  # what does not match does not count
        if book.decide(fin).action is Action.DROP:
            decided.append(number)
    assert decided == acted_on


def test_the_first_rule_decides_and_every_rule_counts() -> None:
    book = Rulebook([parse_rule("pass > F. #1"), parse_rule("hold > F. #1"), parse_rule("drop > F. #2")])
    fin = parse("> F. 1:1(0) ack 1")
    assert [book.decide(fin).action for _ in range(3)] == [Action.PASS, Action.DROP, Action.PASS]


def test_a_forged_segment_follows_one_that_passes_or_not() -> None:
    reset = parse("< R. 1:1(0) ack 1")
    book = Rulebook([parse_rule("inject < R. 1:1(0) ack 1 after > . #1"), parse_rule("drop > .")])
    acknowledgment = parse("> . 1:1(0) ack 1")
    first, second = book.decide(acknowledgment), book.decide(acknowledgment)
    assert (first.action, first.forged) == (Action.DROP, (reset,))
    assert (second.action, second.forged) == (Action.DROP, ())


def test_a_rule_is_taken_out_by_its_words() -> None:
    book = Rulebook([parse_rule("drop > F. #1"), parse_rule("hold > F.")])
    assert book.remove("drop > F. #1") == 1
    assert book.remove("drop > F. #1") == 0
    assert [rule.text for rule in book.rules] == ["hold > F."]
    assert book.decide(parse("> F. 1:1(0) ack 1")) == Decision(Action.HOLD, book.rules[0], ())


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("dorp > F.", 1, "'dorp' is no action; there are: pass, drop, hold"),
        ("", 1, "nothing is no action"),
        ("drop F.", 6, "expected a direction, '>' or '<', not 'F.'"),
        ("drop > Q.", 8, "'Q' is no flag"),
        ("drop > FF", 8, "'F' is twice"),
        ("drop > F. 1:8(6)", 11, "1 + 6 is 7, not 8"),
        ("drop > F. #0", 11, "counted from 1"),
        ("drop > F. #3-2", 11, "counted from 1"),
        ("drop > F. #x", 11, "did not expect '#x'"),
        ("drop > F. once", 11, "did not expect 'once'"),
        ("inject > S", 8, "is no segment"),
        ("inject > R ?:?(0)", 8, "needs its sequence number"),
        ("inject > S 0:0(0) after F.", 25, "expected a direction"),
    ],
)
def test_a_mistake_is_one_line_with_its_column(text: str, column: int, told: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_rule(text)
    assert told in str(error.value)
    assert f"column {column}:" in str(error.value)
    assert "\n" not in str(error.value)


def test_two_lines_are_no_rule() -> None:
    with pytest.raises(UsageError, match="one line"):
        parse_rule("drop > F.\ndrop < F.")


@given(
    direction=st.sampled_from("<>"),
    flags=st.integers(0, (1 << len(LETTERS)) - 1),
    seq=st.integers(0, 2**32 - 1),
    length=st.integers(0, 65535),
    ack=st.integers(0, 2**32 - 1),
)
def test_every_segment_is_matched_by_itself(
    direction: str, flags: int, seq: int, length: int, ack: int
) -> None:
    line = Line(direction, flags, seq, length, ack if flags & ACK else None)  # type: ignore[arg-type]
    rule = parse_rule(f"drop {line}")
    assert rule.pattern is not None
    assert rule.pattern.matches(line)
    other = Line("<" if direction == ">" else ">", flags, seq, length, line.ack)
    assert not rule.pattern.matches(other)


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_a_complaint(text: str) -> None:
    try:
        rule = parse_rule(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert rule.text == text.strip()


def test_numbers_are_relative_to_each_sides_own() -> None:
    numbers = Numbers()
    back = reverse(FLOW)
    last = 2**32 - 1  # the client's ISN: its first byte has the number 0
    assert str(numbers.line(segment(SYN, last), True)) == "> S 0:0(0)"
    assert str(numbers.line(segment(SYN | ACK, 7000, 0, flow=back), False)) == "< S. 0:0(0) ack 1"
    assert str(numbers.line(segment(PSH | ACK, 0, 7001, 7), True)) == "> P. 1:8(7) ack 1"
    assert str(numbers.line(segment(FIN | ACK, 7001, 7, flow=back), False)) == "< F. 1:1(0) ack 8"
    assert numbers.absolute(parse("< F. 1:1(0) ack 8"), FLOW) == (7001, 7)
    assert numbers.absolute(parse("> R 8:8(0)"), FLOW) == (7, 0)


def test_a_new_syn_numbers_anew_and_its_repetition_does_not() -> None:
    numbers = Numbers()
    back = reverse(FLOW)
    for _ in range(2):
        assert str(numbers.line(segment(SYN, 500), True)) == "> S 0:0(0)"
    numbers.line(segment(SYN | ACK, 900, 501, flow=back), False)
    assert str(numbers.line(segment(SYN, 500), True)) == "> S 0:0(0)"
    assert str(numbers.line(segment(ACK, 501, 901), True)) == "> . 1:1(0) ack 1"
    assert str(numbers.line(segment(SYN, 40_000), True)) == "> S 0:0(0)"
    assert str(numbers.line(segment(SYN | ACK, 80_000, 40_001, flow=back), False)) == "< S. 0:0(0) ack 1"


def test_both_syns_of_a_simultaneous_open_are_numbered() -> None:
    numbers = Numbers()
    back = reverse(FLOW)
    assert str(numbers.line(segment(SYN, 500), True)) == "> S 0:0(0)"
    assert str(numbers.line(segment(SYN, 900, flow=back), False)) == "< S 0:0(0)"
    assert str(numbers.line(segment(SYN | ACK, 500, 901), True)) == "> S. 0:0(0) ack 1"
    assert str(numbers.line(segment(ACK, 901, 501, flow=back), False)) == "< . 1:1(0) ack 1"


def test_a_connection_found_in_the_middle_is_numbered_from_there() -> None:
    assert str(Numbers().line(segment(ACK, 5000, 9000), True)) == "> . 1:1(0) ack 1"


def test_flags_are_the_notations() -> None:
    pattern = parse_pattern("> SEW")
    assert pattern.flags is not None
    assert flag_letters(pattern.flags) == "SEW"
