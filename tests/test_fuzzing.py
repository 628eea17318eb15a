"""ci/fuzz: that it finds what is wrong, says how to find it again, and ends what does not end."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest

from .fuzzing import engine
from .fuzzing.targets import TARGETS, Target
from .mutation import mutate

ROOT = Path(__file__).resolve().parents[1]

RUNS = 3000
"""Enough for each word to be said, and far less than a second for each thousand."""


@pytest.mark.parametrize("row", [row for row in TARGETS if row.name != "captures"], ids=lambda row: row.name)
def test_nothing_but_its_own_errors(row: Target, tmp_path: Path) -> None:
    outcome = engine.run(row, RUNS, keep=tmp_path)
    assert not outcome.failures, f"{outcome.failures}; the inputs: {list(tmp_path.iterdir())}"
    assert set(outcome.told) == set(row.words)
    assert outcome.done == RUNS


@pytest.mark.parametrize("row", TARGETS, ids=lambda row: row.name)
def test_the_seeds_are_good(row: Target) -> None:
    pool = row.seeds()
    assert len(set(pool)) == len(pool)
    assert "refused" not in {row.attempt(data) for data in pool}


def test_a_number_makes_the_same_input_again() -> None:
    pool = TARGETS[1].seeds()
    once, again = ([mutate(random.Random(number), pool) for number in range(50)] for _ in range(2))
    assert once == again
    assert len(set(once)) > 40


def broken(raw: bytes) -> str:
    if len(raw) % 2:
        raise IndexError("odd")
    return "read"


def endless(raw: bytes) -> str:
    while True:
        pass


def test_a_failure_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = Target("broken", lambda: [bytes(64)], broken, ("read",))
    outcome = engine.run(row, 200, seed=1000, keep=tmp_path)
    assert engine.report(row, outcome) == 1
    (kind,) = outcome.failures
    assert kind.startswith("IndexError test_fuzzing.py:")
    assert outcome.failures.total() + outcome.told["read"] == 200
    (kept,) = tmp_path.iterdir()
    number = int(kept.stem.removeprefix("broken-"))
    assert f"mutation {number}: {kind}: odd" in capsys.readouterr().out
    assert kept.read_bytes() == mutate(random.Random(number), row.seeds())
    assert engine.run(row, 1, seed=number, keep=tmp_path).failures == {kind: 1}


def test_what_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SLOW", 0.05)
    outcome = engine.run(Target("endless", lambda: [bytes(64)], endless, ()), 2, keep=tmp_path)
    assert [kind.partition(" ")[0] for kind in outcome.failures] == ["Hung"]
    assert outcome.failures.total() == 2


def fuzz(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzzing", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_the_command(tmp_path: Path) -> None:
    done = fuzz("--codec", "sock_diag", "--runs", "50", "--keep", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sock_diag: 50 mutations in ")
    assert not list(tmp_path.iterdir())
    assert "invalid choice" in fuzz("--codec", "nothing").stderr


@pytest.mark.skipif(importlib.util.find_spec("atheris") is not None, reason="atheris is installed here")
def test_without_atheris_the_remedy_is_told() -> None:
    done = fuzz("--engine", "atheris", "--codec", "sock_diag")
    assert (done.returncode, done.stdout) == (3, "")
    assert "leave --engine out, or: uv pip install" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_with_atheris(tmp_path: Path) -> None:
    done = fuzz(
        "--engine", "atheris", "--codec", "sock_diag", "--runs", "500", "--keep", str(tmp_path / "kept")
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "kept").exists()
