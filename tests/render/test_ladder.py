"""The model: rows in time, whose word a state is, ghosts, gaps, and what a limit leaves."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UsageError
from testbed.render import ladder, wording
from testbed.render.ladder import (
    Arrow,
    Fault,
    Gap,
    Ghost,
    GhostArrow,
    Mark,
    Omitted,
    StateMark,
    StateRow,
    Step,
    StepRow,
)
from testbed.wire.decode import IcmpError
from testbed.wire.segment import reverse

from .examples import MISSING_FIN, START_NS, at, connection_of, notations


class Found(NamedTuple):
    """A finding, as far as a ladder looks at one."""

    code: str
    severity: str
    frame: int | None


MISSED = Found("missing-fin", "error", 9)

FOUR_WAY = """\
0 > S 0:0(0)
20 < S. 0:0(0) ack 1
30 > . 1:1(0) ack 1
1000 > F. 1:1(0) ack 1
1020 < . 1:1(0) ack 2
5000 < F. 1:1(0) ack 2
5020 > . 2:2(0) ack 2
"""


def arrows(drawn: ladder.Ladder) -> list[Arrow]:
    return [row for row in drawn.rows if isinstance(row, Arrow)]


def test_each_segment_is_an_arrow_with_both_states_after_it() -> None:
    drawn = ladder.from_connection(connection_of(FOUR_WAY), title="a close")
    assert (drawn.client, drawn.server, drawn.title) == ("127.0.0.1:51028", "127.0.0.1:2333", "a close")
    assert drawn.origin_ns == START_NS
    assert notations(drawn.rows) == [line.partition(" ")[2] for line in FOUR_WAY.splitlines()]
    assert [(row.client_state, row.server_state) for row in arrows(drawn)] == [
        ("SYN_SENT", "SYN_RECEIVED"),
        ("ESTABLISHED", "SYN_RECEIVED"),
        ("ESTABLISHED", "ESTABLISHED"),
        ("FIN_WAIT_1", "CLOSE_WAIT"),
        ("FIN_WAIT_2", "CLOSE_WAIT"),
        ("TIME_WAIT", "LAST_ACK"),
        ("TIME_WAIT", "CLOSED"),
    ]
    assert {row.client_witness for row in arrows(drawn)} == {"wire"}


def test_a_connection_tracked_without_its_segments_has_no_ladder() -> None:
    with pytest.raises(UsageError, match="keep=True"):
        ladder.from_connection(connection_of(FOUR_WAY, keep=False))


def test_the_missing_fin_is_a_ghost_where_the_conversation_ended() -> None:
    drawn = ladder.from_connection(connection_of(MISSING_FIN), findings=[MISSED])
    at_ghost = next(index for index, row in enumerate(drawn.rows) if isinstance(row, GhostArrow))
    before, ghost, after = drawn.rows[at_ghost - 1 : at_ghost + 2]
    assert isinstance(before, Arrow)
    assert before.frame == 9
    assert before.marks == (Mark("missing-fin", "error"),)
    assert ghost == GhostArrow(False, "< F. 255:255(0) ack 106", "the server took the FIN and sent none")
    assert after == Gap(15_000_077_000)


def test_a_ghost_needs_a_debtor() -> None:
    assert ladder.missing_fin(connection_of(FOUR_WAY)) is None
    unacknowledged = "".join(line + "\n" for line in MISSING_FIN.splitlines()[:8])
    assert ladder.missing_fin(connection_of(unacknowledged)) is None
    assert not any(
        isinstance(row, GhostArrow) for row in ladder.from_connection(connection_of(MISSING_FIN)).rows
    )


def test_a_ghost_stands_after_its_frame_or_at_the_end() -> None:
    ghosts = [Ghost(3, True, "> P. 1:9(8) ack 1", "why"), Ghost(None, False, "< R 1:1(0)", "so")]
    rows = ladder.from_connection(connection_of(FOUR_WAY), ghosts=ghosts).rows
    assert rows[3] == GhostArrow(True, "> P. 1:9(8) ack 1", "why")
    assert rows[-1] == GhostArrow(False, "< R 1:1(0)", "so")


def test_steps_come_before_the_segments_they_cause_at_the_same_time() -> None:
    steps = [Step(at(1000), "client", "close()"), Step(at(9_000_000), "lab", "cut")]
    rows = ladder.from_connection(connection_of(FOUR_WAY), steps=steps).rows
    assert rows[3] == StepRow(at(1000), "client", "close()")
    assert rows[-2:] == (Gap(9_000_000_000 - 5_020_000), StepRow(at(9_000_000), "lab", "cut"))


def witnesses(kernel: list[StateMark]) -> tuple[list[str], list[StateRow]]:
    """Whose word each arrow's client state is (w, k), and the rows that only the kernel told."""
    drawn = ladder.from_connection(connection_of(FOUR_WAY), kernel=kernel)
    letters = [row.client_witness[0] for row in arrows(drawn)]
    return letters, [row for row in drawn.rows if isinstance(row, StateRow)]


def test_the_kernel_confirms_what_the_wire_implies() -> None:
    kernel = [
        StateMark(at(-5), "client", "SYN_SENT", "tracepoint"),  # just before its segment
        StateMark(at(22), "client", "ESTABLISHED", "tracepoint"),  # just after
        StateMark(at(995), "client", "FIN_WAIT_1", "tracepoint"),
        StateMark(at(4000), "client", "FIN_WAIT_2", "sock_diag"),  # long after, nothing in between
    ]
    assert witnesses(kernel) == (list("kkkkkww"), [])


def test_what_only_the_kernel_saw_is_a_row_of_its_own() -> None:
    kernel = [StateMark(at(60_000_000), "client", "CLOSED", "sock_diag")]
    letters, rows = witnesses(kernel)
    assert letters == list("wwwwwww")
    assert rows == [StateRow(at(60_000_000), "client", "CLOSED", "kernel")]


def test_a_state_too_short_for_any_segment_is_not_drawn() -> None:
    kernel = [
        StateMark(at(31), "client", "SYN_RECEIVED", "tracepoint"),
        StateMark(at(32), "client", "ESTABLISHED", "tracepoint"),
    ]
    assert witnesses(kernel) == (list("wwkwwww"), [])


def test_a_sample_that_a_segment_overtook_is_not_drawn() -> None:
    assert witnesses([StateMark(at(1010), "client", "ESTABLISHED", "psutil")]) == (list("wwwwwww"), [])
    # A tracepoint is never late: it tells something else.
    assert len(witnesses([StateMark(at(1010), "client", "ESTABLISHED", "tracepoint")])[1]) == 1


def test_a_state_between_two_that_one_segment_went_through_is_not_drawn_after_it() -> None:
    closed = FOUR_WAY.replace("1020 < . 1:1(0) ack 2\n", "")
    told = StateMark(at(5010), "client", "FIN_WAIT_2", "tracepoint")
    drawn = ladder.from_connection(connection_of(closed), kernel=[told])
    assert not [row for row in drawn.rows if isinstance(row, StateRow)]
    assert [arrow.client_state for arrow in arrows(drawn)][-3:] == ["FIN_WAIT_1", "TIME_WAIT", "TIME_WAIT"]
    late = ladder.from_connection(connection_of(closed), kernel=[told._replace(time_ns=at(50_000))])
    assert [row.state for row in late.rows if isinstance(row, StateRow)] == ["FIN_WAIT_2"], "that is news"


def long_connection(segments: int) -> str:
    lines = ["0 > S 0:0(0)", "20 < S. 0:0(0) ack 1", "30 > . 1:1(0) ack 1"]
    lines += [f"{100 * (n + 1)} > P. {1 + n}:{2 + n}(1) ack 1" for n in range(segments)]
    end = segments + 1
    lines.append(f"{100 * end + 50} > F. {end}:{end}(0) ack 1")
    lines.append(f"{100 * end + 60} < . 1:1(0) ack {end + 1}")
    return "\n".join(lines)


def test_a_limit_keeps_the_opening_the_ending_and_what_findings_point_at() -> None:
    connection = connection_of(long_connection(1000))
    drawn = ladder.from_connection(connection, limit=12, findings=[Found("odd", "info", 500)])
    frames = [row.frame for row in arrows(drawn)]
    assert len(frames) == 12
    assert frames[:3] == [1, 2, 3]
    assert frames[-2:] == [1004, 1005]
    assert 500 in frames
    left_out = [row for row in drawn.rows if isinstance(row, Omitted)]
    assert len(left_out) == 2
    assert sum(row.count for row in left_out) == 1005 - 12


@given(st.integers(-1, 40), st.integers(0, 30))
def test_a_limit_is_kept_and_no_segment_is_forgotten(limit: int, segments: int) -> None:
    connection = connection_of(long_connection(segments))
    drawn = ladder.from_connection(connection, limit=limit)
    shown = len(arrows(drawn))
    assert shown == min(max(limit, 0), segments + 5)
    assert shown + sum(row.count for row in drawn.rows if isinstance(row, Omitted)) == segments + 5


def test_a_clock_that_steps_back_does_not_reorder_the_capture() -> None:
    swapped = FOUR_WAY.replace("5000 <", "900 <")
    assert notations(ladder.from_connection(connection_of(swapped)).rows) == notations(
        ladder.from_connection(connection_of(FOUR_WAY)).rows
    )


def test_mid_stream_ends_are_taken_to_be_established() -> None:
    drawn = ladder.from_connection(connection_of("0 > P. 1:9(8) ack 1\n10 < . 1:1(0) ack 9\n"))
    assert {(row.client_state, row.server_state) for row in arrows(drawn)} == {("ESTABLISHED", "ESTABLISHED")}


def test_a_fault_stands_at_its_segment() -> None:
    dropped = Fault(at(1000), True, "> F. 1:1(0) ack 1", "dropped here", lost=True, frame=4)
    drawn = ladder.from_connection(connection_of(FOUR_WAY), faults=[dropped])
    assert [(row.fault, row.lost) for row in arrows(drawn)] == [
        ("dropped here", True) if row.frame == 4 else ("", False) for row in arrows(drawn)
    ]


def test_a_segment_that_was_not_captured_has_an_arrow_of_its_own() -> None:
    dropped = Fault(at(3000), False, "< F. 1:1(0) ack 2", "dropped here", lost=True)
    drawn = arrows(ladder.from_connection(connection_of(FOUR_WAY), faults=[dropped]))
    (row,) = [row for row in drawn if row.lost]
    assert (row.frame, row.from_client, row.notation) == (0, False, "< F. 1:1(0) ack 2")
    assert (row.client_state, row.server_state) == ("FIN_WAIT_2", "CLOSE_WAIT"), "it changed nothing"
    assert [one.frame for one in drawn] == [1, 2, 3, 4, 5, 0, 6, 7]


def test_an_icmp_error_goes_back_to_the_sender_of_what_it_quotes() -> None:
    connection = connection_of(FOUR_WAY)
    flow = connection.client_flow
    errors = [IcmpError(8, at(1010), 3, 1, flow), IcmpError(9, at(5010), 3, 3, reverse(flow))]
    drawn = ladder.from_connection(connection, icmp=errors)
    rows = [row for row in arrows(drawn) if row.icmp]
    assert [(row.frame, row.from_client, row.notation) for row in rows] == [
        (8, False, "ICMP: host unreachable"),  # RFC 792: type 3, codes 1 and 3
        (9, True, "ICMP: port unreachable"),
    ]
    assert [row.frame for row in arrows(drawn)] == [1, 2, 3, 4, 8, 5, 6, 9, 7]
    assert {wording.kind(row) for row in rows} == {"rst"}
    assert [letter for letter, _ in wording.flags_used(drawn.rows)] == ["S", "F", "."], "its P is no flag"


def test_a_limit_leaves_what_was_done_to_a_segment() -> None:
    fault = Fault(at(20), False, "< S. 0:0(0) ack 1", "held 1.0 ms", frame=5)
    drawn = ladder.from_connection(connection_of(MISSING_FIN), faults=[fault], limit=4)
    assert 5 in [row.frame for row in arrows(drawn)]
