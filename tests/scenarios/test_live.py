"""Every scenario, run live side by side in private networks, and read again by tshark.

One run of the whole catalogue serves all tests here: they look at its results.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from testbed import explain
from testbed.capture import Recording
from testbed.lab import Experiment, Verdict
from testbed.lab.judgement import worst
from testbed.scenarios import RunResult, catalogue, find, run
from testbed.scenarios.coverage import NOT_IN_LINUX, coverage
from testbed.scenarios.play import judge_experiment
from testbed.tcp.states import EDGES
from testbed.wire.pcap import PcapParser
from testbed.wire.segment import Packet
from tests.test_tshark import NOTES, same_words

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


def test_every_edge_that_linux_has_is_walked(results: dict[str, RunResult]) -> None:
    """By the kernel, and on the wire where a segment shows it: RFC 9293 figure 5 and its resets."""
    if not any(walk.witness == "tracepoint" for result in results.values() for walk in result.walked):
        pytest.skip("no tracepoints: run as root")
    rows = coverage(list(results.values()))
    lacking = [str(row.edge[:3]) for row in rows if row.standing not in ("walked", "not in Linux")]
    assert lacking == []
    assert [str(row.edge[:3]) for row in rows if not row.reason and row.on_wire and not row.wire] == []


def test_no_scenario_walks_what_linux_has_not(results: dict[str, RunResult]) -> None:
    assert {(row.edge[:3], row.kernel) for row in coverage(list(results.values())) if row.reason} == {
        (edge[:3], ()) for edge in EDGES if (edge.state, edge.event) in NOT_IN_LINUX
    }


# ---- what tshark says of the same captures


def tshark(capture: str, fields: Sequence[str]) -> list[list[str]]:
    """The fields of each frame, as it prints them."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed: apt-get install tshark")
    told = subprocess.run(
        ["tshark", "-r", capture, "-T", "fields", *(f"-e{f}" for f in fields)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return list(csv.reader(io.StringIO(told.stdout), delimiter="\t"))


@pytest.mark.parametrize("name", catalogue())
def test_tshark_agrees(name: str, results: dict[str, RunResult]) -> None:
    """On every frame of every connection: flags, relative seq and ack, length."""
    capture = results[name].artifacts["capture"]
    rows = tshark(capture, ("frame.number", "icmp.type", "tcp.flags", "tcp.seq", "tcp.ack", "tcp.len"))
    theirs = {
        int(frame): (int(flags, 16), int(seq), int(ack), int(length))
        for frame, icmp, flags, seq, ack, length in rows
        if not icmp  # where it quotes a segment
    }
    document = explain(capture, segments=True).to_json(segments=True)
    ours = {
        segment["frame"]: (segment["flags"], segment["seq"], segment["ack"], segment["len"])
        for connection in document["connections"]
        for segment in connection["segments"]
    }
    assert ours == theirs
    assert len(rows) == document["captures"][0]["packets"]
    assert len(ours) == len(rows) or name == "unreachable", "all that was recorded is TCP"


OTHERWISE = {
    # Both ends probe at once, and both answer: tshark looks only at the last segment of the other end,
    # which is the answer and no longer the probe.
    ("missing-fin", frozenset({"duplicate-ack"}), frozenset({"keep-alive-ack"})),
}
"""Scenario, what tshark says of a segment, and what we say; it depends on the order in which two came."""


@pytest.mark.parametrize("name", catalogue())
def test_tshark_names_the_same_segments(name: str, results: dict[str, RunResult]) -> None:
    """Keepalives, zero-window probes, retransmissions, duplicates and all else that tshark names.

    The known differences are those of `same_words`: tshark calls a zero-window probe and a single byte
    sent again keepalives, as it does not look at the window (docs/differences.md).  `OTHERWISE` has the
    rest.
    """
    capture = results[name].artifacts["capture"]
    rows = tshark(capture, ("frame.number", *(f"tcp.analysis.{field}" for field in NOTES)))
    theirs = {
        int(frame): {ours for ours, there in zip(NOTES.values(), marks, strict=True) if there}
        for frame, *marks in rows
    }
    document = explain(capture, segments=True).to_json(segments=True)
    differing = {}
    for segment in (s for connection in document["connections"] for s in connection["segments"]):
        said, ours = same_words(theirs[segment["frame"]], set(segment["notes"]))
        if said != ours and (name, frozenset(said), frozenset(ours)) not in OTHERWISE:
            differing[segment["frame"]] = (said, ours)
    assert differing == {}


def test_tshark_had_something_to_name(results: dict[str, RunResult]) -> None:
    """The comparison above is of more than empty sets: the catalogue has these in it."""
    notes = {
        note
        for result in results.values()
        for connection in explain(result.artifacts["capture"], segments=True).to_json(segments=True)[
            "connections"
        ]
        for segment in connection["segments"]
        for note in segment["notes"]
    }
    assert notes >= {"keep-alive", "keep-alive-ack", "zero-window-probe", "retransmission", "duplicate-ack"}


# ---- a frame is missing

UNCOUNTED = {"real-telnet-echo": "`any` is many interfaces, and none of their counts is the capture's"}
"""Where no count of an interface was recorded, and a lost frame could not be noticed by it."""

MOST_MISSING = 200


@pytest.mark.parametrize("name", catalogue())
def test_a_missing_frame_is_never_a_pass(name: str, results: dict[str, RunResult], tmp_path: Path) -> None:
    """Each frame in turn, of many some, is deleted: held against the interface's count the run does not
    pass, and the file alone is explained without an error."""
    result, scenario = results[name], find(name)
    parser = PcapParser()
    rows = parser.feed(Path(result.artifacts["capture"]).read_bytes())
    packets = [Packet(frame, *row[1:]) for frame, row in enumerate(rows, 1)]
    assert (result.counted is None) == (name in UNCOUNTED)
    assert result.counted is None or result.counted == len(packets)
    for missing in range(0, len(packets), 1 + len(packets) // MOST_MISSING):
        left = [p._replace(frame=n) for n, p in enumerate(packets[:missing] + packets[missing + 1 :], 1)]
        alone = Recording(left, packets[-1].time_ns, parser.link_type, 2048, None, None, None)
        if result.counted is not None:
            lost = result.counted - len(left)
            counted = replace(alone, interface_packets=result.counted, dropped=lost, complete=not lost)
            experiment = Experiment(counted, (), (), server=None, holders=())
            verdict = worst(judge_experiment(scenario, experiment, []))
            assert verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL), f"without frame {missing + 1}"
        file = tmp_path / "left.pcap"
        alone.save(file)
        explained = explain(file, segments=True)
        assert explained.captures[0].packets == len(left)
        judge_experiment(scenario, Experiment(alone, (), (), server=None, holders=()), [])
