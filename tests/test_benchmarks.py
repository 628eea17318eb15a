"""ci/bench: that all who take part do the same job, in turns; how long they take is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ci.benchmarks.measure import Contender, Result, absent, in_turns
from ci.benchmarks.report import Measured, duration, in_markdown, in_text, ratio
from ci.benchmarks.sockets import MOST_PROCESSES, planned
from ci.benchmarks.table import ROWS, Row

ROOT = Path(__file__).resolve().parents[1]


def test_they_take_turns_and_each_begins() -> None:
    order: list[str] = []

    def job(name: str, seen: int) -> Contender:
        def run() -> int:
            order.append(name)
            return seen

        return Contender(name, run, ours=name == "a")

    results = in_turns([job("a", 1), job("b", 2), absent("c", "not here"), job("d", 3)], 3)
    assert order == ["a", "b", "d", "a", "b", "d", "b", "d", "a", "d", "a", "b"]
    assert [(one.name, one.seen, len(one.seconds), one.why) for one in results] == [
        ("a", 1, 3, ""),
        ("b", 2, 3, ""),
        ("c", 0, 0, "not here"),
        ("d", 3, 3, ""),
    ]


def test_a_figure_is_for_once() -> None:
    count = 0

    def run() -> int:
        nonlocal count
        count += 1
        return count

    (result,) = in_turns([Contender("often", run, ours=True, times=50)], 2)
    assert count == 101
    assert len(result.seconds) == 2


@pytest.mark.parametrize(
    ("wanted", "descriptors", "processes", "sockets"),
    [
        (36_000, 20_000, 4, 36_000),
        (36_000, 4_096, 9, 36_000),
        (10, 1_024, 4, 10),
        (1_000_000, 1_024, MOST_PROCESSES, MOST_PROCESSES * 2 * ((1_024 - 65) // 2)),
    ],
)
def test_processes_share_what_one_may_not_hold(
    wanted: int, descriptors: int, processes: int, sockets: int
) -> None:
    shares, short = planned(wanted, descriptors)
    assert (len(shares), 2 * sum(shares)) == (processes, sockets)
    assert all(2 * share + 1 <= descriptors for share in shares)
    assert bool(short) == (sockets < wanted)


RESULTS = [
    Result("Sampler.sample", True, 4, (0.002, 0.001, 0.003)),
    Result("psutil", False, 4, (0.02, 0.03, 0.5), "with pid and fd"),
    Result("ss", False, 0, (), why="ss is not installed (iproute2)"),
]


def test_the_text_has_a_line_for_each() -> None:
    text = in_text(Measured(ROWS[0], "One sample", ["4 sockets"], RESULTS))
    assert text.splitlines()[0] == "One sample"
    for line, words in (
        (3, "Sampler.sample 4 1 ms 2 ms 3 ms 1"),
        (4, "psutil 4 20 ms 30 ms 500 ms 15 with pid and fd"),
        (5, "ss ss is not installed (iproute2)"),
    ):
        assert " ".join(text.splitlines()[line].split()) == words


def test_the_page_has_a_table_for_each_row() -> None:
    (sample,) = (row for row in ROWS if row.name == "sample")
    page = in_markdown([Measured(sample, "One sample", ["4 sockets"], RESULTS)], ["a processor"], "ci/bench")
    assert "## One sample\n\nSampler.sample takes at most 1/12 of psutil's time.\n4 sockets.\n" in page
    assert "| psutil | 4 | 20 ms | 30 ms | 500 ms | 15 | with pid and fd |" in page
    assert "| ss |  |  |  |  |  | ss is not installed (iproute2) |" in page


def test_numbers_as_words() -> None:
    assert [duration(of) for of in (2.5, 0.0334, 0.000012, 1e-7)] == ["2.5 s", "33.4 ms", "12 us", "0.1 us"]
    assert [ratio(of) for of in (0.834, 1.0, 14.6, 1640)] == ["0.83", "1", "15", "1,640"]


EXPERIMENTS = {"experiment": 1, "lost": 5, "many": 20}
"""What each of ours sees of so few."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_all_see_the_same(row: Row, live: None) -> None:
    command = [sys.executable, "-m", "ci.benchmarks", "--in-this-process"]
    command += ["--only", row.name, "--sockets", "80", "--rounds", "1", "--connections", "5"]
    command += ["--packets", "9", "--experiments", "5", "--at-once", "20", "--open", "9"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert told.returncode == 0, told.stderr
    results = [Result.from_json(values) for values in json.loads(told.stdout)["results"]]
    assert results[0].ours
    present = [one for one in results if not one.why]
    seen = {one.seen for one in present}
    if row.name == "explain":
        whole = {one.seen for one in present if "of the capture" not in one.note}  # slow ones read a part
        assert len(whole) == 1
        assert max(seen) in whole
        assert min(whole) >= 6 * 8  # one call was to see that the server listens
    elif row.name in EXPERIMENTS:
        assert {one.seen for one in present if one.ours} == {EXPERIMENTS[row.name]}  # others may lose packets
    elif row.name.startswith("scan"):
        assert len(seen) == 1
    else:
        assert seen == {1 if row.name == "lookup" else 84}
    assert all(len(one.seconds) == 1 for one in present)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--sockets", "1"], 2, "at least 1 round and 2 sockets"),
        (["--experiments", "0"], 2, "and 1 of each other thing"),
        (["--only", "nothing"], 2, "invalid choice"),
        (["--only", "lookup", "--write"], 2, "--write writes every row"),
    ],
)
def test_bad_usage_is_a_line(arguments: list[str], status: int, said: str) -> None:
    command = [sys.executable, "-m", "ci.benchmarks", *arguments]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert told.returncode == status
    assert said in told.stderr and "Traceback" not in told.stderr
