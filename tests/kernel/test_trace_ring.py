"""Pages made by hand, read; and damaged ones, which are read for what they say or refused."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from testbed.kernel.trace_format import parse_page_header
from testbed.kernel.trace_ring import Page, Record, RingError, decode_page

from . import ring

LAYOUT = parse_page_header(ring.HEADER)
ONE, TWO, THREE = (bytes([n] * 8) for n in (1, 2, 3))
START = 1_790_000_000_000_000_000
"""A time of day, whose five top bits are not zero."""
EPOCH = 1 << 59
"""What an absolute time stamp cannot hold."""


def read(*records: bytes, start: int = START) -> list[Record]:
    return decode_page(ring.page(start, *records), LAYOUT).records


# ---------------------------------------------------------------- records and their times


def test_a_page_with_nothing_in_use_has_no_records() -> None:
    assert decode_page(ring.page(START), LAYOUT) == Page([], 0)


def test_each_time_counts_from_the_record_before_and_the_first_from_the_page() -> None:
    assert read(ring.small(0, ONE), ring.small(7, TWO), ring.small(5, THREE)) == [
        (START, ONE),
        (START + 7, TWO),
        (START + 12, THREE),
    ]


@pytest.mark.parametrize("words", [1, 2, 27, 28])
def test_up_to_28_words_the_type_is_the_length(words: int) -> None:
    data = bytes(range(4 * words))
    assert read(ring.small(3, data), ring.small(1, ONE)) == [(START + 3, data), (START + 4, ONE)]


@pytest.mark.parametrize("size", [0, 4, 116, 2000])
def test_type_0_has_its_length_in_the_first_word_of_its_array(size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    assert read(ring.large(3, data), ring.small(1, ONE)) == [(START + 3, data), (START + 4, ONE)]


def test_a_time_extension_belongs_to_the_record_after_it() -> None:
    for gap in (1 << 27, (1 << 27) + 5, 3_600_000_000_000, (1 << 59) - 1):
        assert read(ring.small(2, ONE), ring.extend(gap), ring.small(0, TWO)) == [
            (START + 2, ONE),
            (START + 2 + gap, TWO),
        ]


def test_an_absolute_time_takes_its_five_top_bits_from_the_time_before() -> None:
    then = START + 40_000_000_000
    assert then // EPOCH == START // EPOCH != 0
    assert read(ring.small(2, ONE), ring.stamp(then), ring.small(9, TWO)) == [
        (START + 2, ONE),
        (then + 9, TWO),
    ]


def test_an_absolute_time_whose_59_bits_have_begun_anew_is_later_and_not_earlier() -> None:
    start = 4 * EPOCH - 100
    for before in ([], [ring.small(150, ONE)]):  # they began anew at the stamp, or before it
        assert read(*before, ring.stamp(4 * EPOCH + 60), ring.small(1, TWO), start=start)[-1] == (
            4 * EPOCH + 61,
            TWO,
        )


def test_padding_without_a_time_ends_the_page() -> None:
    assert read(ring.small(2, ONE), ring.end_of_page(), ring.small(2, TWO)) == [(START + 2, ONE)]


def test_a_discarded_record_is_left_out_and_its_time_counts() -> None:
    """What follows is stamped from it: rb_read_data_buffer and libtraceevent's kbuffer add it."""
    for size in (4, 8, 200):
        assert read(ring.small(2, ONE), ring.discarded(30, size), ring.small(5, TWO)) == [
            (START + 2, ONE),
            (START + 37, TWO),
        ]


def test_a_discarded_record_of_no_time_is_marked_with_1_which_does_not_count() -> None:
    """rb_event_discard: a time of 0 would make it the end of the page."""
    assert read(ring.small(2, ONE), ring.discarded(1, 8), ring.small(5, TWO))[-1] == (START + 7, TWO)


def test_the_extension_of_a_discarded_record_stays() -> None:
    gap = 1 << 30
    assert read(ring.extend(gap), ring.discarded(1, 8), ring.small(5, TWO)) == [(START + gap + 5, TWO)]


# ---------------------------------------------------------------- what was overwritten


def test_the_count_of_overwritten_records_stands_behind_the_last() -> None:
    made = ring.page(START, ring.small(1, ONE), flags=ring.MISSED | ring.MISSED_STORED, missed=4711)
    assert decode_page(made, LAYOUT) == Page([Record(START + 1, ONE)], 4711)


def test_a_full_page_says_only_that_records_were_overwritten() -> None:
    """ring_buffer_read_page: "If there is room at the end of the page"."""
    full = [ring.small(1, bytes(104))] * 37 + [ring.small(1, bytes(80))]
    made = ring.page(START, *full, flags=ring.MISSED, size=16 + 37 * 108 + 84)
    assert len(made) == ring.PAGE
    page = decode_page(made, LAYOUT)
    assert (len(page.records), page.missed) == (38, -1)


def test_a_count_that_cannot_be_there_is_not_read() -> None:
    record = ring.small(1, ONE)
    made = ring.page(START, record, flags=ring.MISSED | ring.MISSED_STORED, size=16 + len(record))
    for rest in (b"", b"\x07\0\0\0"):
        assert decode_page(made + rest, LAYOUT).missed == -1


def test_bytes_behind_the_last_record_are_no_count_where_nothing_was_overwritten() -> None:
    assert decode_page(ring.page(START, ring.small(1, ONE), missed=4711), LAYOUT).missed == 0


def test_a_machine_with_a_long_of_4_bytes() -> None:
    record = ring.small(1, ONE)
    made = struct.pack("<QI", START, len(record) | ring.MISSED | ring.MISSED_STORED) + record
    made += struct.pack("<I", 12) + bytes(100)
    assert decode_page(made, parse_page_header(ring.HEADER_32)) == Page([Record(START + 1, ONE)], 12)


# ---------------------------------------------------------------- pages that no kernel makes


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (b"", "no room for its head"),
        (bytes(15), "no room for its head"),
        (struct.pack("<QQ", 0, 5000) + bytes(4080), "5000 are in use"),
        (ring.page(0, ring.word(28, 0), bytes(108)), "byte 16 goes beyond its page"),
        (ring.page(0, ring.small(0, ONE), ring.word(0, 0)), "byte 28 is cut"),
        (ring.page(0, ring.small(0, ONE), ring.word(30, 0)), "byte 28 is cut"),
        (ring.page(0, ring.word(0, 0), struct.pack("<I", 3)), "byte 16 has an impossible length"),
        (ring.page(0, ring.word(0, 0), struct.pack("<I", 9)), "byte 16 goes beyond its page"),
        (ring.page(0, ring.word(29, 5), struct.pack("<I", 0xFFFFFFFF)), "byte 16 goes beyond its page"),
        (ring.page(0, ring.word(29, 5), struct.pack("<I", 0)), "byte 16 has an impossible length"),
    ],
)
def test_a_page_that_lies_about_its_lengths_is_refused(made: bytes, says: str) -> None:
    with pytest.raises(RingError, match=says):
        decode_page(made, LAYOUT)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(made: bytes) -> None:
    try:
        decode_page(made, LAYOUT)
    except RingError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=400), st.integers(0, 3), st.integers(0, (1 << 64) - 1))
@example(ring.word(29, 1) * 8, 0, 0)
def test_any_records_are_read_or_refused(body: bytes, flags: int, start: int) -> None:
    made = struct.pack("<QQ", start, len(body) | flags << 30) + body + bytes(16)
    try:
        page = decode_page(made, LAYOUT)
    except RingError:
        return
    assert sum(4 + len(record.data) for record in page.records) <= len(body)
    assert (page.missed != 0) == bool(flags & 2)


deltas = st.integers(0, (1 << 27) - 1)
datas = st.integers(1, 28).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
pieces = st.one_of(
    st.tuples(st.just("record"), st.builds(ring.small, deltas, datas)),
    st.tuples(st.just("record"), st.builds(ring.large, deltas, datas)),
    st.tuples(st.just("none"), st.builds(ring.discarded, st.integers(1, 1 << 20), st.integers(0, 60))),
    st.tuples(st.just("none"), st.builds(ring.extend, st.integers(0, (1 << 50) - 1))),
)


@given(st.lists(pieces, max_size=20))
def test_every_record_of_a_good_page_is_read(made: list[tuple[str, bytes]]) -> None:
    page = decode_page(ring.page(START, *(piece for _, piece in made), size=8192), LAYOUT)
    assert len(page.records) == sum(kind == "record" for kind, _ in made)
    assert all(a.time_ns <= b.time_ns for a, b in itertools.pairwise(page.records))


@given(
    st.lists(pieces, min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 3000),
)
def test_a_damaged_page_is_read_or_refused(
    made: list[tuple[str, bytes]], damage: list[tuple[int, int]], cut: int
) -> None:
    raw = bytearray(ring.page(START, *(piece for _, piece in made)))
    for at, value in damage:
        raw[at] = value
    with_cut = bytes(raw[: len(raw) - cut])
    try:
        page = decode_page(with_cut, LAYOUT)
    except RingError:
        return
    assert sum(4 + len(record.data) for record in page.records) <= len(with_cut)
