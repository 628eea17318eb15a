"""Every scenario, run live side by side in private networks, and read again by tshark.

One run of the whole catalogue serves all tests here: they look at its results.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess

import pytest

from testbed import explain
from testbed.lab import Verdict
from testbed.scenarios import RunResult, catalogue, run

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, live: None) -> dict[str, RunResult]:
    out = tmp_path_factory.mktemp("runs")
    return {result.scenario: result for result in run(list(catalogue()), out=out)}


@pytest.mark.parametrize("name", catalogue())
def test_scenario(name: str, results: dict[str, RunResult]) -> None:
    result = results[name]
    assert result.verdict is Verdict.PASS, "\n".join(
        [result.why, *(c.detail for c in result.checks if c.verdict is not Verdict.PASS), *result.transcript]
    )


@pytest.mark.parametrize("name", catalogue())
def test_tshark_agrees(name: str, results: dict[str, RunResult]) -> None:
    """On every frame of every connection: flags, relative seq and ack, length."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed: apt-get install tshark")
    capture = results[name].artifacts["capture"]
    fields = ("frame.number", "tcp.flags", "tcp.seq", "tcp.ack", "tcp.len")
    told = subprocess.run(
        ["tshark", "-r", capture, "-T", "fields", *(f"-e{f}" for f in fields)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    theirs = {
        int(frame): (int(flags, 16), int(seq), int(ack), int(length))
        for frame, flags, seq, ack, length in csv.reader(io.StringIO(told.stdout), delimiter="\t")
    }
    document = explain(capture, segments=True).to_json(segments=True)
    ours = {
        segment["frame"]: (segment["flags"], segment["seq"], segment["ack"], segment["len"])
        for connection in document["connections"]
        for segment in connection["segments"]
    }
    assert ours == theirs
    assert len(ours) == document["captures"][0]["packets"], "all that was recorded is TCP"
