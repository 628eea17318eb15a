"""Held against tshark's own reading, frame by frame; `docs/differences.md` gives the reason for each
difference that is expected here.

TRUTH is what tshark 4.0 said of the corpus; where tshark is installed, small captures made here are
given to it as well.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.explanation import Explanation, explain
from testbed.wire.pcap import PcapWriter

from .mutation import CORPUS
from .tcp.conversation import HANDSHAKE, segments
from .test_explanation import packet

NOTES = {
    "keep_alive": "keep-alive",
    "keep_alive_ack": "keep-alive-ack",
    "retransmission": "retransmission",
    "fast_retransmission": "fast-retransmission",
    "spurious_retransmission": "spurious-retransmission",
    "out_of_order": "out-of-order",
    "duplicate_ack": "duplicate-ack",
    "zero_window": "zero-window",
    "zero_window_probe": "zero-window-probe",
    "window_update": "window-update",
    "window_full": "window-full",
    "lost_segment": "previous-segment-lost",
    "ack_lost_segment": "acked-lost-segment",
    "reused_ports": "port-reused",
}

# ---- what is expected to differ: see docs/differences.md

SHORT_RECORDS = {"tcptrace__6syns.pcap": 32, "tcptrace__fast_reuse.pcap": 202, "tcptrace__long_rtt.pcap": 22}
"""Capture -> segments that are longer by the IP header than by the file's record."""

OTHER_NOTES: dict[tuple[str, int], tuple[set[str], set[str]]] = {
    ("tcptrace__http.pcap", 684): ({"zero-window"}, {"zero-window", "acked-lost-segment"}),
    ("tcptrace__http.pcap", 700): ({"acked-lost-segment"}, set()),
    ("tcptrace__http.pcap", 704): (set(), {"acked-lost-segment"}),
    ("tcptrace__http.pcap", 709): ({"acked-lost-segment"}, set()),
    ("tcptrace__http.pcap", 978): ({"acked-lost-segment"}, set()),
    ("arkime__tcp_handshake_synthetic.pcap", 50): ({"duplicate-ack"}, set()),
    **{
        (f"suricata__bug-3286-{name}.pcap", frame): (theirs, ours)
        for name, frames in (
            ("02-linux-evasion_with_evasion_linux", (5, 6)),
            ("03-windows-evasion_with_evasion_windows", (4, 5)),
        )
        for frame, theirs, ours in (
            (frames[0], {"previous-segment-lost", "port-reused"}, {"port-reused"}),
            (frames[1], {"acked-lost-segment"}, set[str]()),
        )
    },
}
"""(capture, frame) -> tshark's notes, ours."""

OTHER_NUMBERS = {("arkime__tcp_handshake_synthetic.pcap", frame) for frame in (18, 20, 21)}
OTHER_COMPLETENESS = {
    ("arkime__smtp-html.pcap", 1): (0, 8),
    ("tcptrace__linux_cooked_socket.pcap", 2): (30, 31),
}
"""(capture, connection) -> tshark's, ours."""
ICMP_QUOTES = {("suricata__bug-3616-smtp_input.pcap", frame) for frame in (26, 28, 29, 30)}


def truth(name: str) -> Iterator[dict[str, str]]:
    """tshark's row for each frame with one TCP segment."""
    with gzip.open(CORPUS / "truth" / f"{name}.tshark.tsv.gz", "rt") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["tcp.flags"] and "," not in row["tcp.flags"] + row["tcp.srcport"]:
                yield row


def rows_by_frame(explanation: Explanation) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    document = explanation.to_json(segments=True)
    return {s["frame"]: (s, c) for c in document["connections"] for s in c["segments"]}


def said(row: dict[str, str]) -> set[str]:
    return {
        ours for theirs, ours in NOTES.items() if row.get(f"tcp.analysis.{theirs}") not in (None, "", "0")
    }


def same_words(theirs: set[str], ours: set[str]) -> tuple[set[str], set[str]]:
    """tshark calls a fast or spurious retransmission a retransmission too; and what it calls a keepalive
    is a zero-window probe where the peer had no room, and a retransmission where the byte was new once."""
    theirs, ours = set(theirs), ours & set(NOTES.values())
    if {"fast-retransmission", "spurious-retransmission"} & ours:
        theirs.discard("retransmission")
        ours.discard("retransmission")
    if "keep-alive" in theirs and ours & {
        "zero-window-probe",
        "retransmission",
        "fast-retransmission",
        "spurious-retransmission",
    }:
        return set(), set()
    return theirs, ours


def captures() -> list[Any]:
    folder = CORPUS / "truth"
    names = [path.name.removesuffix(".tshark.tsv.gz") for path in sorted(folder.glob("*.tshark.tsv.gz"))]
    names = [name for name in names if (CORPUS / "captures" / name).is_file()]
    if not names:
        reason = f"no readings of tshark in {folder}: the corpus lies beside the project, not in it"
        return [pytest.param("", marks=pytest.mark.skip(reason=reason))]
    return names


@pytest.mark.parametrize("name", captures())
def test_the_corpus(name: str) -> None:
    explanation = explain(CORPUS / "captures" / name, segments=True)
    seen = rows_by_frame(explanation)
    lengths, streams, completeness = [], set(), {}
    for row in truth(name):
        frame = int(row["frame.number"])
        streams.add(row["tcp.stream"])
        if (name, frame) in ICMP_QUOTES:
            assert frame not in seen
            continue
        segment, connection = seen[frame]
        assert segment["flags"] == int(row["tcp.flags"], 16), frame
        if segment["len"] != int(row["tcp.len"] or 0):
            lengths.append(frame)
            assert segment["len"] > int(row["tcp.len"])
        if connection["opening"] in ("handshake", "simultaneous") and row["tcp.seq"]:
            assert (segment["seq"] == int(row["tcp.seq"])) != ((name, frame) in OTHER_NUMBERS), frame
        theirs, ours = same_words(said(row), set(segment["notes"]))
        if name in SHORT_RECORDS:
            # with the short lengths, whatever comes next seems to leave a hole
            assert theirs - ours <= {"acked-lost-segment", "previous-segment-lost"} and ours <= theirs, frame
        else:
            assert (theirs, ours) == OTHER_NOTES.get((name, frame), (ours, ours)), frame
        if row["tcp.completeness"]:
            completeness[connection["id"]] = int(row["tcp.completeness"]), connection["completeness"]
    assert len(explanation.connections) == len(streams)
    assert len(lengths) == SHORT_RECORDS.get(name, 0)
    told = [p for p in explanation.captures[0].problems if "longer by the IP header" in p]
    assert bool(told) == bool(lengths)
    differing = {(name, number): pair for number, pair in completeness.items() if pair[0] != pair[1]}
    assert differing == {key: pair for key, pair in OTHER_COMPLETENESS.items() if key[0] == name}


@pytest.mark.parametrize("name", SHORT_RECORDS)
def test_acknowledgments_prove_the_ip_header_right(name: str) -> None:
    """Followed by the IP header, no segment of these captures acknowledges what was not sent."""
    if not (CORPUS / "captures" / name).is_file():
        pytest.skip(f"{name} is not in {CORPUS / 'captures'}")
    for explained in explain(CORPUS / "captures" / name).connections:
        assert "acknowledged data that no captured segment carries" not in explained.text


# ---- small captures, given to the tshark that is here

HOLE = HANDSHAKE + "< P. 1:101(100) ack 1\n> . 1:1(0) ack 301"
"""Then bytes 101 to 301 were sent and not captured."""

MADE = {
    "plain": HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11\n> F. 11:11(0) ack 1\n< F. 1:1(0) ack 12",
    "resent": HANDSHAKE + "> P. 1:11(10) ack 1\n+1\n> P. 1:11(10) ack 1\n< . 1:1(0) ack 11",
    "spurious": HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11\n+1\n> P. 1:11(10) ack 1",
    "fast": HANDSHAKE
    + "> P. 1:11(10) ack 1\n> P. 11:21(10) ack 1\n"
    + "< . 1:1(0) ack 1\n" * 4
    + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 21",
    "reordered": HANDSHAKE + "> P. 11:21(10) ack 1\n> P. 1:11(10) ack 1\n< . 1:1(0) ack 21",
    "keepalive": HANDSHAKE + "+9\n> . 0:0(0) ack 1\n< . 1:1(0) ack 1",
    "zero window": HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11 win 0\n+1\n< . 1:1(0) ack 11 win 500",
    "one hole, one acknowledgment": HOLE,
}

DIFFERENT = {
    "probe of a zero window": (
        HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11 win 0\n+1\n> . 10:10(0) ack 1",
        6,
        {"keep-alive"},
        {"zero-window-probe"},
    ),
    "a single byte resent": (
        HANDSHAKE + "> P. 1:2(1) ack 1\n+1\n> P. 1:2(1) ack 1",
        5,
        {"keep-alive"},
        {"retransmission"},
    ),
    "a second acknowledgment of more unseen bytes": (
        HOLE + "\n> . 1:1(0) ack 501",
        6,
        set(),
        {"acked-lost-segment"},
    ),
    "an acknowledgment of seen bytes beyond the hole": (
        HOLE + "\n< P. 301:401(100) ack 1\n> . 1:1(0) ack 401",
        7,
        {"acked-lost-segment"},
        set(),
    ),
}
"""A conversation, the frame, tshark's notes, ours."""

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed here")


def both(text: str, folder: Path) -> dict[int, tuple[set[str], set[str]]]:
    """Frame -> tshark's notes, ours."""
    stream = io.BytesIO()
    writer = PcapWriter(stream, 101)
    for segment in segments(text):
        writer.write(packet(segment))
    path = folder / "made.pcap"
    path.write_bytes(stream.getvalue())
    fields = [f"tcp.analysis.{name}" for name in NOTES]
    command = ["tshark", "-r", str(path), "-T", "json", "-e", "frame.number"]
    done = subprocess.run(
        [*command, *(word for field in fields for word in ("-e", field))],
        capture_output=True,
        check=True,
        timeout=60,
    )
    seen = rows_by_frame(explain(path, segments=True))
    answer = {}
    for entry in json.loads(done.stdout):
        layers = entry["_source"]["layers"]
        frame = int(layers["frame.number"][0])
        answer[frame] = (
            {ours for name, ours in NOTES.items() if f"tcp.analysis.{name}" in layers},
            set(seen[frame][0]["notes"]),
        )
    return answer


@needs_tshark
@pytest.mark.parametrize("name", MADE)
def test_made_captures_are_read_alike(name: str, tmp_path: Path) -> None:
    for frame, pair in both(MADE[name], tmp_path).items():
        theirs, ours = same_words(*pair)
        assert theirs == ours, frame


@needs_tshark
@pytest.mark.parametrize("name", DIFFERENT)
def test_made_captures_are_read_differently(name: str, tmp_path: Path) -> None:
    text, where, theirs, ours = DIFFERENT[name]
    for frame, pair in both(text, tmp_path).items():
        if frame == where:
            assert pair == (theirs, ours)
        else:
            assert pair[0] - {"retransmission"} == pair[1] - {"retransmission"}, frame
