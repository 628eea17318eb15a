"""The files that an explanation leaves behind, read back by what reads such files."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from testbed.explanation.survey import Survey, Wanted
from testbed.findings import RULES, Severity
from testbed.render import junit
from testbed.report import extract, folder, sarif, verdicts
from testbed.wire.pcap import PcapWriter
from testbed.wire.reader import open_capture
from testbed.wire.segment import Packet

from ..explanation.test_reading import CLOSED, from_port
from ..tcp.conversation import HANDSHAKE, segments
from ..test_explanation import CALL, packet

RESET = HANDSHAKE + "> P. 1:11(10) ack 1\n> R. 11:11(0) ack 1"


@pytest.fixture
def survey_of() -> Iterator[Callable[..., Survey]]:
    with ExitStack() as stack:

        def survey(*paths: Path, **options: Any) -> Survey:
            made = stack.enter_context(Survey(rows=True, **options))
            for path in paths:
                made.read(path)
            return made

        yield survey


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """An orderly connection and one that was reset, interleaved; the last packet is cut."""
    rows = [row for pair in zip(segments(RESET), from_port(segments(CLOSED), 40001)) for row in pair]  # noqa: B905
    rows += from_port(segments(CLOSED), 40001)[5:]
    path = tmp_path / "mixed.pcap"
    with path.open("wb") as stream:
        writer = PcapWriter(stream, 101, nanoseconds=True)
        for frame, row in enumerate(rows, 1):
            whole = packet(row._replace(frame=frame))
            writer.write(whole._replace(data=whole.data[:44]))
    return path


def test_sarif_holds_each_finding_and_its_rule(survey_of: Callable[..., Survey], mixed: Path) -> None:
    log = json.loads("".join(sarif.pieces(survey_of(mixed).documents())))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in RULES]
    (result,) = run["results"]
    assert result["ruleId"] == "reset" == rules[result["ruleIndex"]]["id"]
    assert result["level"] == "warning"  # note, warning, error or none: section 3.27.10
    location = result["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == mixed.as_uri()
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "10.0.0.1:40000 -> 10.0.0.2:2333"
    assert result["properties"]["frame"] == 9
    assert f"{mixed}, connection 1" in result["message"]["text"] and "frame 9" in result["message"]["text"]


def test_sarif_names_a_relative_file_by_a_relative_uri() -> None:
    assert sarif.uri_of("some folder/a.pcap") == "some%20folder/a.pcap"
    assert sarif.uri_of("-") == "stdin"


@pytest.mark.parametrize(("level", "failed"), [(Severity.ERROR, []), (Severity.WARNING, ["reset"])])
def test_junit_has_a_case_for_each_rule(
    survey_of: Callable[..., Survey], mixed: Path, level: Severity, failed: list[str]
) -> None:
    survey = survey_of(mixed)
    root = ET.fromstring(junit.report("x", verdicts.cases(survey.captures, survey.documents(), level)))
    assert [case.get("name") for case in root] == [rule.code for rule in RULES]
    assert [case.get("name") for case in root if case.find("failure") is not None] == failed


def test_junit_without_a_connection_is_inconclusive(survey_of: Callable[..., Survey], tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    with path.open("wb") as stream:
        PcapWriter(stream, 101)
    survey = survey_of(path)
    cases = verdicts.cases(survey.captures, survey.documents(), Severity.ERROR)
    assert {case.verdict for case in cases} == {"inconclusive"}


def test_a_folder_has_the_report_and_what_belongs_to_each_connection(
    survey_of: Callable[..., Survey], mixed: Path, tmp_path: Path
) -> None:
    survey = survey_of(mixed)
    (tmp_path / "out").mkdir()
    for earlier in ("connection-7.svg", "connection-seven.svg"):
        (tmp_path / "out" / earlier).write_text("of another report")
    remarks = folder.write(tmp_path / "out", lambda: [mixed], survey, "the report\n")
    assert remarks == []
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "connection-1.pcap",
        "connection-1.svg",
        "connection-1.txt",
        "connection-seven.svg",
        "index.html",
        "report.json",
        "report.txt",
    ]
    document = json.loads((tmp_path / "out/report.json").read_text())
    assert [c["id"] for c in document["connections"]] == [1, 2]
    assert "R. 11:11(0) ack 1" in (tmp_path / "out/connection-1.txt").read_text()
    assert "R. 11:11(0) ack 1" in (tmp_path / "out/connection-1.svg").read_text()


def packets(path: Path) -> list[Packet]:
    with open_capture(path) as capture:
        return list(capture)


def test_a_sub_capture_holds_the_very_packets(mixed: Path, tmp_path: Path) -> None:
    paths = {1: tmp_path / "1.pcap", 2: tmp_path / "2.pcap"}
    assert extract.extract([mixed], paths) == []
    whole = packets(mixed)
    for number, port in ((1, 40000), (2, 40001)):
        mine = [p for p in whole if port in struct.unpack_from(">HH", p.data, 20)]
        assert len(mine) in (5, 7)
        assert [p[1:] for p in packets(paths[number])] == [p[1:] for p in mine]
        assert any(p.original_length > len(p.data) for p in mine)  # a packet that was cut stays cut


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump reads it")
def test_tcpdump_reads_a_sub_capture(mixed: Path, tmp_path: Path) -> None:
    extract.extract([mixed], {1: tmp_path / "1.pcap"})
    done = subprocess.run(
        ["tcpdump", "-nr", str(tmp_path / "1.pcap")], capture_output=True, text=True, timeout=60, check=True
    )
    assert len(done.stdout.splitlines()) == 5


def test_sub_captures_of_several_files_and_of_a_text(mixed: Path, tmp_path: Path) -> None:
    text = tmp_path / "call.txt"
    text.write_text(CALL)
    paths = {number: tmp_path / f"{number}.pcap" for number in (1, 3, 4)}
    (remark,) = extract.extract([text, mixed, mixed], {n: paths[n] for n in paths})
    assert remark.startswith(f"{text} is a text")
    assert not paths[1].exists()
    assert [len(packets(paths[n])) for n in (3, 4)] == [7, 5]


def test_the_worst_are_told_and_all_are_counted(survey_of: Callable[..., Survey], tmp_path: Path) -> None:
    rows = [row for port in range(50) for row in from_port(segments(CLOSED), 30000 + port)]
    rows += segments(RESET)
    path = tmp_path / "a.pcap"
    with path.open("wb") as stream:
        writer = PcapWriter(stream, 101)
        for row in rows:
            writer.write(packet(row))
    survey = survey_of(path, limit=3)
    assert [one.id for one in survey.told] == [1, 2, 51]
    assert survey.tally.connections == survey.chosen == 51
    assert survey.worst is Severity.WARNING
    assert len(list(survey.documents())) == 51
    for wanted, ids in (
        (Wanted(code="reset"), [51]),
        (Wanted(port="30004"), [5]),
        (Wanted(numbers={2, 51}), [2, 51]),
        (Wanted(host="10.0.0.9"), []),
        (Wanted(code="capture-incomplete"), []),
    ):
        assert [one.id for one in survey_of(path, wanted=wanted).told] == ids


def test_what_a_damaged_capture_lacks_is_said_of_each_connection(
    survey_of: Callable[..., Survey], mixed: Path
) -> None:
    mixed.write_bytes(mixed.read_bytes()[:-3])
    survey = survey_of(mixed, wanted=Wanted(code="capture-incomplete"))
    assert [one.id for one in survey.told] == [1, 2] and survey.chosen == 2
    assert [[f["code"] for f in row.document["findings"]] for row in survey.documents()] == [
        ["reset", "capture-incomplete"],
        ["capture-incomplete"],
    ]
    (row,) = (row for row in survey.tally.rows().findings if row.code == "capture-incomplete")
    assert (row.findings, row.connections) == (2, 2)
