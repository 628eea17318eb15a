from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from testbed.explanation import explain

from ..scan.differential import pcap
from ..scan.test_differential import STORIES
from ..tcp.conversation import HANDSHAKE, segments
from .test_commands import one_line, testbed

HALF_CLOSED = HANDSHAKE + "> F. 1:1(0) ack 1\n< . 1:1(0) ack 2\n+5\n< . 0:0(0) ack 2"


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    """A folder with a capture for each story, one of them gzipped."""
    folder = tmp_path / "captures"
    folder.mkdir()
    for number, text in enumerate(STORIES):
        (folder / f"{number:02}.pcap").write_bytes(pcap(segments(text)))
    first = folder / "00.pcap"
    (folder / "00.pcap.gz").write_bytes(gzip.compress(first.read_bytes()))
    first.unlink()
    (folder / "notes.txt").write_text("not a capture")
    return folder


@pytest.fixture
def half_closed(tmp_path: Path) -> Path:
    path = tmp_path / "half-closed.pcap"
    path.write_bytes(pcap(segments(HALF_CLOSED)))
    return path


def scan(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    return testbed("scan", *map(str, arguments), stdin=stdin)


def document(*arguments: object) -> dict[str, Any]:
    done = scan(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, in the order of files and numbers, with every value as CSV has it."""
    if path.suffix == ".csv":
        with path.open(newline="") as stream:
            rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        from pyarrow import parquet

        rows = parquet.read_table(path).to_pylist()
    for row in rows:
        for name, value in row.items():
            row[name] = " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return sorted(rows, key=lambda row: (row["file"], int(row["id"])))


def test_the_three_forms_hold_the_same_whoever_scans(captures: Path, tmp_path: Path) -> None:
    tables = []
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        for jobs in (1, 2):
            assert scan(captures, "--out", tmp_path / name, "--jobs", jobs).returncode == 0
            tables.append(rows_of(tmp_path / name))
    assert all(table == tables[0] for table in tables)
    wanted = sum(len(explain(path).connections) for path in captures.iterdir() if path.suffix != ".txt")
    assert len(tables[0]) == wanted
    assert len({row["file"] for row in tables[0]}) == len(STORIES)


def test_the_summary_counts_what_explain_counts(captures: Path) -> None:
    answer = document(captures)
    explanation = explain(*sorted(path for path in captures.iterdir() if path.suffix != ".txt"))
    rows = explanation.summary_rows()
    assert answer["schema"] == "testbed.scan/1"
    assert answer["connections"] == answer["chosen"] == len(explanation.connections)
    assert answer["endings"] == dict(rows.endings)
    assert answer["openings"] == dict(rows.openings)
    assert sorted(answer["findings"], key=str) == sorted(
        ({**row._asdict(), "severity": str(row.severity)} for row in rows.findings), key=str
    )
    assert sum(capture["packets"] for capture in answer["captures"]) == sum(
        capture.packets for capture in explanation.captures
    )


def test_the_summary_in_words(half_closed: Path) -> None:
    done = scan(half_closed)
    assert done.returncode == 0
    for words in (
        "6 packets",
        "half-closed",
        "missing-fin",
        "servers whose closing is in trouble",
        "10.0.0.2:2333",
    ):
        assert words in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_the_guilty_are_explained_as_explain_does(captures: Path) -> None:
    done = scan(captures, "--where", "'missing-fin' in findings", "--explain", "--limit", "1")
    assert done.returncode == 0
    assert "The server never sent a FIN" in done.stdout
    assert "never sent ╌" in done.stdout  # its ladder
    done = scan(captures, "--explain", "--limit", "1")
    assert f"{len(STORIES) - 1} more connections not told" in done.stdout


def test_only_those_asked_for(captures: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    answer = document(captures, "--where", "ending == 'reset'", "--out", out)
    assert 0 < answer["chosen"] < answer["connections"]
    assert answer["endings"] == {"reset": answer["chosen"]}
    assert {row["ending"] for row in rows_of(out)} == {"reset"}


def test_standard_input(half_closed: Path) -> None:
    done = scan("-", "--json", stdin=half_closed.read_bytes())
    assert json.loads(done.stdout)["endings"] == {"half-closed": 1}


@pytest.mark.parametrize(("level", "status"), [("error", 1), ("warning", 1)])
def test_fail_on(half_closed: Path, tmp_path: Path, level: str, status: int) -> None:
    assert scan(half_closed, "--fail-on", level).returncode == status
    orderly = tmp_path / "orderly.pcap"
    orderly.write_bytes(pcap(segments(STORIES[0])))
    assert scan(orderly, "--fail-on", level).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say which captures"),
        (["{missing}"], "No such file"),
        (["{text}"], "scan takes pcap and pcapng"),
        (["{capture}", "--where", "nothing == 1"], "there is no column 'nothing'"),
        (["{capture}", "--where", "ending =="], "--where 'ending =='"),
        (["{capture}", "--out", "rows.xlsx"], ".parquet, .jsonl, .csv"),
        (["{capture}", "--out", "/nowhere/rows.csv"], "/nowhere/rows.csv"),
        (["{capture}", "--explain", "--json"], "leave --json out"),
        (["-", "--explain"], "standard input"),
        (["{folder}"], "no captures in this folder"),
        (["{capture}", "{missing}"], "No such file"),
    ],
)
def test_bad_usage_is_a_line(half_closed: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    text = tmp_path / "told.txt"
    text.write_text(
        "19:37:10.361921 IP localhost.63318 > localhost.2333: Flags [S], seq 1, win 65535, length 0\n"
    )
    places = {
        "missing": tmp_path / "missing.pcap",
        "text": text,
        "capture": half_closed,
        "folder": tmp_path / "empty",
    }
    done = scan(*(argument.format(**places) for argument in arguments))
    assert done.returncode == 2
    one_line(done, said)


def test_without_the_extra_it_says_what_to_install(half_closed: Path) -> None:
    program = (
        "import sys\nsys.modules['numba'] = None\nfrom testbed.cli import main\n"
        f"sys.exit(main(['scan', {str(half_closed)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    one_line(done, "testbed scan needs numba", "pip install 'tcp-testbed[scan]'")


def test_nobody_else_pays_for_it() -> None:
    program = (
        "import sys\nfrom testbed.cli import main\nmain(['--help'])\nmain(['explain', '--help'])\n"
        "import testbed.pytest_plugin\nprint('LOADED', *{'numpy', 'numba', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_compiled_code_is_kept_in_a_folder_of_the_users(half_closed: Path, tmp_path: Path) -> None:
    """The package may be read-only, and the home folder too.  From the second time on numba is not imported,
    but for what is damaged."""
    refused = tmp_path / "file"
    refused.write_text("no folder")
    program = (
        "import sys\nfrom testbed.cli import main\n"
        f"main(['scan', {str(half_closed)!r}])\nprint('numba' in sys.modules)"
    )

    def run() -> tuple[str, dict[Path, bytes]]:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "XDG_CACHE_HOME": str(refused / "cache"), "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stderr
        told, numba = done.stdout.rstrip().rsplit("\n", 1)
        kept = {path: path.read_bytes() for path in tmp_path.rglob("testbed.scan.*")}
        assert ("compiling" in done.stderr) == (not before)
        assert (numba == "True") == (kept != before)
        return told, kept

    before: dict[Path, bytes] = {}
    told, before = run()
    assert len(before) >= 3
    assert run() == (told, before)
    (damaged,) = (path for path in before if path.name.endswith("_kinds"))
    damaged.write_bytes(before[damaged][:-1])
    before[damaged] = b""
    again, after = run()
    assert again == told
    assert len(after[damaged]) > 100


def test_no_process_outlives_a_killed_scan(tmp_path: Path) -> None:
    """Two pipes that nobody writes to keep two processes waiting."""
    for name in ("a.pcap", "b.pcap"):
        os.mkfifo(tmp_path / name)
    command = [sys.executable, "-m", "testbed", "scan", str(tmp_path / "a.pcap"), str(tmp_path / "b.pcap")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with process:
        try:
            children: list[psutil.Process] = []
            deadline = time.monotonic() + 60
            while len(children) < 4:  # the fork server, the tracker of resources, and two that scan
                assert time.monotonic() < deadline, children
                time.sleep(0.05)
                children = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
