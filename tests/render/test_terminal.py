"""The ladder as text: one drawing read by eye and kept, and what must hold of every drawing."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from testbed.render import ladder, terminal
from testbed.render.escape import cells
from testbed.render.ladder import Arrow, Gap, Ladder, Omitted, StateMark, StateRow, Step, StepRow

from .examples import MISSING_FIN, at, connection_of
from .strategies import ladders
from .test_ladder import MISSED

KEPT = Path(__file__).parent / "ladders"


def missing_fin() -> Ladder:
    """The missing FIN with everything: steps, the kernel's states, the finding and its ghost."""
    return ladder.from_connection(
        connection_of(MISSING_FIN),
        title="missing-fin: the client half-closes, the server never does",
        steps=[
            Step(at(-30), "client", "client.connect(server)"),
            Step(at(200), "client", "client.sendall(104 bytes)"),
            Step(at(1800), "server", "server.sendall(254 bytes)"),
            Step(at(2000), "client", "client.shutdown(SHUT_WR)"),
        ],
        kernel=[
            StateMark(at(-10), "client", "SYN_SENT", "tracepoint"),
            StateMark(at(30), "client", "ESTABLISHED", "tracepoint"),
            StateMark(at(36), "server", "SYN_RECEIVED", "tracepoint"),
            StateMark(at(37), "server", "ESTABLISHED", "tracepoint"),
            StateMark(at(2005), "client", "FIN_WAIT_1", "tracepoint"),
            StateMark(at(2020), "server", "CLOSE_WAIT", "sock_diag"),
            StateMark(at(46020), "client", "FIN_WAIT_2", "sock_diag"),
        ],
        findings=[MISSED],
    )


@pytest.mark.parametrize(
    ("name", "width", "ascii_only"),
    [
        ("missing-fin.txt", 80, False),
        ("missing-fin-wide.txt", 110, False),
        ("missing-fin-ascii.txt", 80, True),
    ],
)
def test_the_missing_fin_is_drawn_as_it_was_read_and_kept(name: str, width: int, ascii_only: bool) -> None:
    drawn = terminal.plain(missing_fin(), width, ascii_only)
    assert drawn == (KEPT / name).read_text(encoding="utf-8")
    assert drawn.isascii() or not ascii_only


def test_colour_changes_no_character() -> None:
    text = terminal.draw(missing_fin())
    assert text.plain + "\n" == terminal.plain(missing_fin())
    assert {str(span.style) for span in text.spans} <= set(terminal.STYLES.values())
    assert not [span for span in terminal.draw(missing_fin(), colour=False).spans if str(span.style)]
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(terminal.draw(missing_fin()))
    assert out.getvalue() == terminal.plain(missing_fin())


@given(ladders, st.integers(0, 200), st.booleans())
def test_no_line_is_wider_than_told_and_nothing_in_it_steers(
    drawn: Ladder, width: int, ascii_only: bool
) -> None:
    text = terminal.plain(drawn, width, ascii_only)
    for line in text.removesuffix("\n").split("\n"):
        assert cells(line) <= max(width, terminal.NARROWEST)
        assert not {unicodedata.category(c) for c in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert not line.endswith(" ")
    assert text.isascii() or not ascii_only
    assert terminal.draw(drawn, width, ascii_only=ascii_only).plain.rstrip() == text.rstrip()


def lines_of(*rows: ladder.Row, width: int = 80) -> list[str]:
    """The lines of a small ladder without its head and legend."""
    drawn = terminal.plain(Ladder("c", "s", "", rows, 0), width).split("\n\n")[0]
    return drawn.splitlines()[1:]


def test_both_bars_stand_in_one_column_whatever_is_between() -> None:
    rows: list[ladder.Row] = [
        Arrow(0, True, "> P. 1:9(8) ack 1", (), "ESTABLISHED", "ESTABLISHED"),
        StepRow(1, "server", "日本 を 送る"),
        StepRow(2, "lab", "held " * 30),
        Arrow(3, False, "< . 4294967295:4294967295(65495) ack 4294967295", ("out-of-order", "zero-window")),
        Arrow(4, True, "> . 1:1(0) ack 1", ("previous-segment-lost",), "E" * 40, "ESTABLISHED"),
    ]
    bars = set()
    for line in lines_of(*rows):
        columns = "".join(c if unicodedata.east_asian_width(c) not in "WF" else c + "\0" for c in line)
        bars.add(tuple(at for at, c in enumerate(columns) if c == "┊"))
    assert bars == {(22, 80 - 13)}, "twelve columns for a name that is cut, eleven for ESTABLISHED"


def test_a_label_too_long_for_its_arrow_stands_above_it() -> None:
    notation = "> P. 4294967295:65494(65495) ack 4294967295 win 4294967295"
    above, more, shaft = lines_of(Arrow(0, True, notation), width=60)
    assert "P. 4294967295:65494(65495)" in above
    assert "4294967295" in more
    assert shaft.strip("┊ ").strip("─") == "▶"


@pytest.mark.parametrize(("frame", "told"), [(7, True), (1234567, False)])
def test_frames_are_told_where_no_label_has_to_leave_its_arrow_for_them(frame: int, told: bool) -> None:
    notation = "> P. 1:9(8) ack 1 win 1234567890123456"
    (line,) = lines_of(Arrow(0, True, notation, (), "S" * 12, "S" * 12, frame=frame))
    assert line.startswith(f"{frame} ") == told
    assert notation[2:] in line
    first = lines_of(Arrow(0, True, notation, (), "S" * 12, "S" * 12, frame=frame), width=100)[0]
    assert f"{frame:>5}  " in first


def test_solid_is_the_kernel_and_dotted_the_wire() -> None:
    first, second = lines_of(
        Arrow(0, True, "> S 0:0(0)", (), "SYN_SENT", "SYN_RECEIVED", "kernel", "wire"),
        StateRow(5, "server", "ESTABLISHED", "kernel"),
    )
    assert "SYN_SENT ┃" in first
    assert "┊ SYN_RECEIVED" in first
    assert second.endswith("┃ ESTABLISHED")
    assert "SYN_SENT" not in second


def test_a_lane_ends_where_its_connection_is_closed() -> None:
    first, second = lines_of(
        Arrow(0, True, "> R 1:1(0)", (), "CLOSED", "CLOSED"),
        Arrow(1, False, "< . 1:1(0) ack 1", (), "CLOSED", "CLOSED"),
    )
    assert first.index("┴") == second.index("◀") - 1
    assert "┴ CLOSED" in first
    assert "CLOSED" not in second


def test_gaps_and_what_is_left_out_are_told() -> None:
    gap, left_out = lines_of(Gap(15_000_000_000), Omitted(1234, 3_200_000_000))
    assert "⋮ 15.0 s of silence" in gap
    assert "… 1,234 segments not shown (3.2 s)" in left_out


def test_the_legend_tells_only_what_occurs() -> None:
    legend = terminal.plain(Ladder("c", "s", "", (Arrow(0, True, "> R 1:1(0)"),))).split("\n\n")[1]
    assert legend == "R RST\n"
    assert terminal.plain(Ladder("c", "s", "", ())).count("\n") == 1
