"""The words and numbers that the drawings share."""

from __future__ import annotations

import pytest

from testbed.render import wording
from testbed.render.ladder import Arrow, GhostArrow

S = 1_000_000_000


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.000000"),
        (999, "0.000000"),
        (1_000, "0.000001"),
        (15 * S + 43_127_999, "15.043127"),
        (-20_000, "-0.000020"),
        (86_400 * S, "86400.000000"),
    ],
)
def test_times_are_seconds_cut_to_microseconds(ns: int, text: str) -> None:
    assert wording.seconds(ns) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (15 * S, "15.0 s"),
        (1_249_999_999, "1.2 s"),
        (59_960_000_000, "1 min 00 s"),
        (125 * S, "2 min 05 s"),
        (7_260 * S, "2 h 01 min"),
        (90_000 * S, "1 d 01 h"),
    ],
)
def test_lengths_of_time_are_said_as_one_says_them(ns: int, text: str) -> None:
    assert wording.duration(ns) == text


def test_left_out_segments_are_counted() -> None:
    assert wording.omitted(1, 0) == "1 segment not shown"
    assert wording.omitted(1234, 3_200_000_000) == "1,234 segments not shown (3.2 s)"


@pytest.mark.parametrize(
    ("notation", "notes", "kind"),
    [
        ("> S 0:0(0)", (), "syn"),
        ("< S. 0:0(0) ack 1", (), "syn"),
        ("< FP. 1:9(8) ack 1", (), "fin"),
        ("> R. 1:1(0) ack 1", (), "rst"),
        ("> . 1:1(0) ack 1", (), "plain"),
        ("> . 0:0(0) ack 1", ("keep-alive",), "keepalive"),
        ("< . 1:1(0) ack 1", ("keep-alive-ack",), "keepalive"),
    ],
)
def test_each_segment_has_its_kind(notation: str, notes: tuple[str, ...], kind: str) -> None:
    assert wording.kind(Arrow(0, True, notation, notes)) == kind


def test_the_legend_tells_only_the_flags_that_occur() -> None:
    rows = [Arrow(0, True, "> P. 1:2(1) ack 1"), GhostArrow(False, "< F. 1:1(0) ack 2", "")]
    assert wording.flags_used(rows) == [("F", "FIN"), ("P", "PSH"), (".", "ACK")]
