"""The board: its table of configurations, and the page that is made of reports.  The servers are not run."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ci.board_servers import install, report, run
from ci.board_servers.table import CONFIGURATIONS, Configuration
from ci.board_servers.words import steady
from testbed.verify.checks import CHECKS

ROOT = Path(__file__).resolve().parents[1]
ROW = Configuration("a server", "{bin}/server --port {port}", ("server",))


def found(**verdicts: str) -> dict[str, Any]:
    """A report as `testbed verify --json` writes it; every other check passes."""
    checks = [
        {
            "id": name,
            "verdict": verdicts.get(name.replace("-", "_"), "pass"),
            "what": "process 12 (x: y) kept | it (frames 3, 4), and 13 (z)",
        }
        for name in CHECKS
    ]
    return {"processes": 1, "signal": "SIGTERM", "checks": checks}


@pytest.mark.parametrize("row", CONFIGURATIONS, ids=lambda row: row.name)
def test_a_configuration_says_how_it_is_installed_and_started(row: Configuration) -> None:
    assert row.packages or (row.program and row.debian) or row.python
    words = shlex.split(row.command)
    served = [word.partition(":")[0] for word in [*words, *shlex.split(row.options)]]
    files = {path.name for path in install.APPS.iterdir()} | {path.stem for path in install.APPS.iterdir()}
    assert row.program in ("redis-server", "memcached", "apache2") or files & set(served)
    assert not [word for word in served if word.startswith("with_") and word not in files]


def test_the_names_are_distinct_and_enough() -> None:
    names = [row.name for row in CONFIGURATIONS]
    assert len(set(names)) == len(names) >= 20


def test_a_cell_says_how_often_where_it_varies() -> None:
    rounds = [found(), found(close_back="fail"), found(close_back="fail")]
    assert report.cell(rounds, "close-back") == "**fail** 2/3, pass 1/3"
    assert report.cell(rounds, "kill") == "pass"
    assert report.cell([], "kill") == ""


def test_the_page_has_each_complaint_without_what_only_its_capture_can_tell() -> None:
    standing = report.Standing(ROW, {"server": "1.2"}, [found(), found(kill="warn")], "")
    page = report.page([standing, report.Standing(ROW._replace(name="gone"), {}, (), "no such thing")], [])
    assert "- **warn** 1/2 kill: x: y kept \\| it, and z\n" in page
    assert "server 1.2; 1 process; stop by SIGTERM" in page
    assert "    server --port {port}" in page
    assert "skipped" not in page, "a check that never applies is no complaint"
    varying = report.Standing(ROW, {}, [found(), found(kill="skipped")], "")
    assert "- **skipped** 1/2 kill: " in report.page([varying], [])
    assert "Not verified: no such thing." in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {len(CHECKS) + 2}


def test_a_part_that_is_not_always_complained_of_says_how_often() -> None:
    def half_close(**verdicts: str) -> dict[str, Any]:
        report = found(half_close="warn")
        (row,) = [row for row in report["checks"] if row["id"] == "half-close"]
        row["parts"] = [
            {"part": f"a {size} reply", "verdict": verdict, "what": f"{verdict} in round (frame 3)"}
            for size, verdict in verdicts.items()
        ]
        return report

    rounds = [half_close(slow="warn", large="pass"), half_close(slow="warn", large="warn")]
    page = report.page([report.Standing(ROW, {}, rounds, "")], [])
    assert "- **warn** half-close: a slow reply: warn in round; a large reply 1/2: warn in round\n" in page


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("FIN (frame 4) 3.0 ms after", "FIN (frames 4, 5) 1.02 s after", True),
        ("process 12 (x: y) kept it", "process 13 (x: y) kept it", True),
        ("17 answered, 1 lost", "9 answered, 24 lost", True),
        ("17 answered, 1 lost", "0 answered, 1 lost", False),
        ("17 answered, 1 lost", "17 answered, 0 lost", False),
        ("accepted and reset (frame 6)", "accepted and closed (frame 6)", False),
        ("200 with 6 bytes of body", "200 with 7 bytes of body", True),
        ("200 with 6 bytes of body", "500 with 6 bytes of body", False),
    ],
)
def test_words_are_alike_whatever_a_round_measured(one: str, other: str, alike: bool) -> None:
    assert (steady(one) == steady(other)) is alike


def test_each_different_outcome_keeps_a_capture(tmp_path: Path) -> None:
    """A later one with the same words does not; the same verdict in other words does."""
    told = ["reset (frame 6)", "closed (frame 4)", "reset (frame 7)"]
    for number, what in enumerate(told, 1):
        report = found(stop_new_connection="fail")
        (row,) = [row for row in report["checks"] if row["id"] == "stop-new-connection"]
        row["what"] = what
        folder = run.evidence(ROW, tmp_path, number)
        for check in report["checks"]:
            (folder / check["id"]).mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
        run.thin_out(ROW, tmp_path, number, report)
    kept = [run.evidence(ROW, tmp_path, number) / "stop-new-connection" for number in (1, 2, 3)]
    assert [folder.exists() for folder in kept] == [True, True, False]
    others = [run.evidence(ROW, tmp_path, number) / "kill" for number in (1, 2, 3)]
    assert [folder.exists() for folder in others] == [True, False, False]


def test_a_note_says_why_there_is_nothing_to_ask() -> None:
    row = ROW._replace(note="Nothing of it takes a while.")
    assert "\n\nNothing of it takes a while.\n\n" in report.page(
        [report.Standing(row, {}, [found()], "")], []
    )


def test_the_command_leaves_the_port_to_verify(tmp_path: Path) -> None:
    command = run.command_of(ROW, tmp_path)
    assert command == [str(tmp_path / "venv" / "bin" / "server"), "--port", "{port}"]


def test_bad_usage() -> None:
    for arguments, words in (
        (["--only", "nobody"], "invalid choice: 'nobody'"),
        (["--only", "redis", "--write"], "leave --only out"),
        (["--rounds", "0"], "at least 1"),
    ):
        done = subprocess.run(
            [ROOT / "ci" / "board", *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2, done
        assert words in done.stderr
