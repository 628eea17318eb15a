"""Text made fit to show: a table of what is spelled out, and properties of all three functions."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.render.escape import cells, clip, visible, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b2J", "\\x9b2J"),  # the one-character CSI
        ("abc\u202edcba", "abc\\u202edcba"),  # right-to-left override
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("e\u0301", "é"),  # composed first
        ("x\u0338", "x\\u0338"),  # no composed form: it would take no column
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("日本 ok", "日本 ok"),
        ("\u3000", "\\u3000"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_what_has_no_glyph_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_where_the_encoding_is_ascii_the_rest_is_spelled_out_too() -> None:
    assert visible("é日", ascii_only=True) == "\\xe9\\u65e5"


@given(st.text(), st.booleans())
def test_nothing_that_steers_passes(text: str, ascii_only: bool) -> None:
    shown = visible(text, ascii_only=ascii_only)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert visible(shown, ascii_only=ascii_only) == shown
    if ascii_only:
        assert shown.isascii()


@given(st.text(), st.integers(0, 40))
def test_what_is_clipped_fits(text: str, width: int) -> None:
    shown = visible(text)
    short = clip(shown, width)
    assert cells(short) <= width
    assert short == shown or cells(shown) > width


@given(st.text(), st.integers(2, 40))
def test_what_is_wrapped_fits_and_nothing_but_blanks_is_lost(text: str, width: int) -> None:
    shown = visible(text)
    lines = wrap(shown, width)
    assert lines
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == shown.replace(" ", "")


def test_wide_characters_take_two_columns() -> None:
    assert cells("日本 ok") == 7
    assert clip("日本語", 4) == "日…"
    assert wrap("日本語", 4) == ["日本", "語"]
