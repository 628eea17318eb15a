from __future__ import annotations

import gc
import io
import json
import re
import struct
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import UnreadableInput
from testbed.explanation import Explanation, explain
from testbed.findings import Severity
from testbed.wire.pcap import PcapWriter
from testbed.wire.segment import Packet, Segment

from .tcp.conversation import HANDSHAKE, segments

HALF_CLOSED = (
    HANDSHAKE
    + "> P. 1:11(10) ack 1\n< P. 1:6(5) ack 11\n> F. 11:11(0) ack 6\n< . 6:6(0) ack 12\n+3\n< . 5:5(0) ack 12"
)

CALL = """\
19:37:10.361921 IP localhost.63318 > localhost.snapp: Flags [S], seq 810246547, win 65535, options [mss 16344,nop,wscale 6,nop,nop,TS val 4103777838 ecr 0,sackOK,eol], length 0
19:37:10.361976 IP localhost.snapp > localhost.63318: Flags [S.], seq 4021342427, ack 810246548, win 65535, options [mss 16344,nop,wscale 6,nop,nop,TS val 1548550603 ecr 4103777838,sackOK,eol], length 0
19:37:10.361984 IP localhost.63318 > localhost.snapp: Flags [.], ack 1, win 6379, options [nop,nop,TS val 4103777838 ecr 1548550603], length 0
19:37:10.362005 IP localhost.snapp > localhost.63318: Flags [.], ack 1, win 6379, options [nop,nop,TS val 1548550603 ecr 4103777838], length 0
19:37:10.362532 IP localhost.63318 > localhost.snapp: Flags [P.], seq 1:105, ack 1, win 6379, options [nop,nop,TS val 4103777838 ecr 1548550603], length 104
19:37:10.362565 IP localhost.snapp > localhost.63318: Flags [.], ack 105, win 6378, options [nop,nop,TS val 1548550603 ecr 4103777838], length 0
19:37:10.363049 IP localhost.snapp > localhost.63318: Flags [P.], seq 1:255, ack 105, win 6378, options [nop,nop,TS val 1548550604 ecr 4103777838], length 254
19:37:10.363059 IP localhost.63318 > localhost.snapp: Flags [.], ack 255, win 6375, options [nop,nop,TS val 4103777839 ecr 1548550604], length 0
19:37:10.363289 IP localhost.63318 > localhost.snapp: Flags [F.], seq 105, ack 255, win 6375, options [nop,nop,TS val 4103777839 ecr 1548550604], length 0
19:37:10.363300 IP localhost.snapp > localhost.63318: Flags [.], ack 106, win 6378, options [nop,nop,TS val 1548550604 ecr 4103777839], length 0
19:37:25.364144 IP localhost.snapp > localhost.63318: Flags [.], ack 106, win 6378, length 0
19:37:25.364160 IP localhost.63318 > localhost.snapp: Flags [.], ack 255, win 6375, length 0
19:37:25.364232 IP localhost.63318 > localhost.snapp: Flags [.], ack 255, win 6375, options [nop,nop,TS val 4103792840 ecr 1548550604], length 0
19:37:25.364236 IP localhost.snapp > localhost.63318: Flags [.], ack 106, win 6378, options [nop,nop,TS val 1548565605 ecr 4103777839], length 0
"""  # noqa: E501
"""A published capture of macOS's loopback: a client calls once and closes, the server never does."""


def packet(segment: Segment) -> Packet:
    """The segment in an IPv4 packet of link type RAW, without checksums."""
    source, destination = segment.flow[:4], segment.flow[4:8]
    tcp = segment.flow[8:12] + struct.pack(
        ">IIHHHH", segment.seq or 0, segment.ack, 0x5000 | segment.flags, segment.window, 0, 0
    )
    total = 20 + len(tcp) + segment.length
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 0, 0, 64, 6, 0, source, destination)
    data = ip + tcp + bytes(segment.length)
    return Packet(segment.frame, segment.time_ns, 101, data, len(data))


def capture(path: Path, text: str) -> Path:
    with path.open("wb") as stream:
        writer = PcapWriter(stream, 101)
        for segment in segments(text):
            writer.write(packet(segment))
    return path


def check(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "$") -> None:
    """The part of JSON Schema that ours uses."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "const" in schema:
        assert value == schema["const"], where
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r}"
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
    if "type" in schema:
        allowed = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert type(value) in [kinds[kind] for kind in allowed], f"{where}: {value!r} is no {allowed}"
    if isinstance(value, int):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), f"{where}: {value}"
    if isinstance(value, str) and "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{where}: {value!r}"
    if isinstance(value, list):
        for position, item in enumerate(value):
            check(item, schema["items"], root, f"{where}[{position}]")
    if isinstance(value, dict):
        assert set(schema["required"]) <= set(value), where
        assert set(value) <= set(schema["properties"]), where
        for key, item in value.items():
            check(item, schema["properties"][key], root, f"{where}.{key}")


def document(explanation: Explanation, *, with_segments: bool) -> dict[str, Any]:
    """The document, after a trip through JSON, and held against the schema."""
    answer: dict[str, Any] = json.loads(json.dumps(explanation.to_json(segments=with_segments)))
    schema = json.loads(files("testbed").joinpath("schema/explain.schema.json").read_text())
    check(answer, schema, schema)
    return answer


@pytest.fixture
def call(tmp_path: Path) -> Explanation:
    path = tmp_path / "call.txt"
    path.write_text(CALL)
    return explain(path, segments=True)


def test_document_of_a_capture(tmp_path: Path) -> None:
    path = capture(tmp_path / "call.pcap", HALF_CLOSED)
    answer = document(explain(path, segments=True), with_segments=True)
    assert answer["captures"] == [
        {
            "file": str(path),
            "format": "pcap",
            "link_types": ["RAW"],
            "packets": 8,
            "tcp_segments": 8,
            "truncated": 0,
            "problems": [],
        }
    ]
    (c,) = answer["connections"]
    rows, findings = c.pop("segments"), c.pop("findings")
    assert c == {
        "id": 1,
        "client": "10.0.0.1:40000",
        "server": "10.0.0.2:2333",
        "roles": "syn",
        "first_frame": 1,
        "start_ns": 1_700_000_000_000_100_000,
        "duration_ns": 3_000_700_000,
        "opening": "handshake",
        "ending": "half-closed",
        "first_fin": "client",
        "reset_by": None,
        "close_segments": None,
        "client_state": "FIN_WAIT_2",
        "server_state": "CLOSE_WAIT",
        "history": "ShADdFa",
        "conn_state": "S2",
        "completeness": 31,
        "packets": {"client": 4, "server": 4},
        "bytes": {"client": 10, "server": 5},
    }
    assert [f["code"] for f in findings] == ["missing-fin", "keepalive-probes"]
    assert rows[3] == {
        "frame": 4,
        "time_ns": 1_700_000_000_000_400_000,
        "from": "client",
        "flags": 0x018,
        "seq": 1,
        "ack": 1,
        "len": 10,
        "window": 500,
        "notes": [],
        "notation": "> P. 1:11(10) ack 1",
    }
    assert rows[7]["notes"] == ["keep-alive"]


def test_segments_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    path = capture(tmp_path / "call.pcap", HALF_CLOSED)
    assert "segments" not in document(explain(path), with_segments=False)["connections"][0]


def test_the_published_capture(call: Explanation) -> None:
    (explained,) = call.connections
    missing, probes, habit = explained.findings
    assert (missing.code, missing.severity, missing.side, missing.frame) == (
        "missing-fin",
        "error",
        "server",
        9,
    )
    assert "The server never sent a FIN" in missing.text
    assert "still holds the socket" in missing.text  # one reading of the client's side
    assert "XNU" in missing.text  # the other
    assert (probes.code, probes.severity) == ("keepalive-probes", "info")
    for part in (
        "frames 11 and 12; their answers: frames 13 and 14",
        "inferred",
        "prints no sequence number",
        "15.0 s of silence",
        "repeat an acknowledgment",
        "carry no data",
        "no timestamps",
        "None of the frames 11 to 14 closes anything",
    ):
        assert part in probes.text
    assert (habit.code, habit.frame) == ("window-update-after-handshake", 4)
    assert "macOS" in habit.text and "harmless" in habit.text


def test_document_of_the_published_capture(call: Explanation) -> None:
    (c,) = document(call, with_segments=True)["connections"]
    assert (c["client"], c["server"]) == ("localhost:63318", "localhost:snapp")
    assert (c["client_state"], c["server_state"]) == ("FIN_WAIT_2", "CLOSE_WAIT")
    assert [s["seq"] for s in c["segments"][10:]] == [None] * 4
    assert [s["notation"] for s in c["segments"][8:11]] == [
        "> F. 105:105(0) ack 255",
        "< . ?:?(0) ack 106",
        "< . ?:?(0) ack 106",
    ]
    assert [s["notes"] for s in c["segments"][10:]] == [["keep-alive"]] * 2 + [["keep-alive-ack"]] * 2


def test_a_transcript_that_contradicts_itself(tmp_path: Path) -> None:
    path = tmp_path / "edited.txt"
    path.write_text(
        "18:19:17.089341 IP 192.168.1.10.6378 > 192.168.1.11.33964: Flags [F.], seq 2221282036, ack "
        "81895238, win 227, options [nop,nop,TS val 2281089934 ecr 3050393501], length 0\n\t0x0000:  4500 "
        "0034 5f2b 4000 3f06 6db1 0af9 accb  E..4_+@.?.m.....\n\t0x0010:  0af9 ac2a 18ea 84ac 8466 12f4 "
        "04e1 9f46  ...*.....f.....F\n\t0x0020:  8010 00e3 6f0e 0000 0101 080a 87f6 ab8e  "
        "....o...........\n\t0x0030:  b5d1 4f9d                                ..O.\n18:19:17.089579 IP "
        "192.168.1.11.33964 > 192.168.1.10.6378: Flags [.], ack 2221282036, win 229, options [nop,nop,TS "
        "val 3050393501 ecr 2281089934], length 0\n18:19:17.089787 IP 192.168.1.11.33964 > "
        "192.168.1.10.6378: Flags [F.], seq 81895238, ack 2221282037, win 229, options [nop,nop,TS val "
        "3050393502 ecr 2281089934], length 0\n"
    )
    explanation = explain(path)
    (explained,) = explanation.connections
    by_code = {f.code: f for f in explained.findings}
    assert "flags" in " ".join(f.text for f in explained.findings if f.code == "text-disagrees-with-hex")
    short = by_code["ack-short-of-fin"]
    assert short.frame == 2
    assert "acknowledges 2221282036" in short.text and "first acknowledged by frame 3" in short.text
    assert "mid-stream" in by_code["capture-incomplete"].text


def test_several_captures(tmp_path: Path) -> None:
    explanation = explain(capture(tmp_path / "a.pcap", HANDSHAKE), capture(tmp_path / "b.pcap", HALF_CLOSED))
    answer = document(explanation, with_segments=False)
    assert [c["id"] for c in answer["connections"]] == [1, 2]
    assert len(answer["captures"]) == 2


def test_summary(tmp_path: Path) -> None:
    explanation = explain(capture(tmp_path / "a.pcap", HALF_CLOSED))
    rows = explanation.summary_rows()
    assert rows.endings == [("half-closed", 1)]
    assert rows.openings == [("handshake", 1)]
    assert [(row.code, row.findings, row.connections) for row in rows.findings] == [
        ("missing-fin", 1, 1),
        ("keepalive-probes", 1, 1),
    ]
    assert explanation.worst is Severity.ERROR
    assert explanation.summary().startswith("1 connection: 1 half-closed\nerror")
    assert explanation.to_text().startswith("1. 10.0.0.1:40000 (client)")


def test_a_capture_without_tcp() -> None:
    stream = io.BytesIO()
    PcapWriter(stream, 101)
    stream.seek(0)
    explanation = explain(stream)
    assert (explanation.connections, explanation.worst, explanation.summary()) == ((), None, "0 connections")


def test_what_is_no_capture(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    with pytest.raises(UnreadableInput, match="not a capture"):
        explain(path)


def test_segments_of_chosen_connections_alone(tmp_path: Path) -> None:
    """The ids count over all the files, and are the same each time."""
    first = capture(tmp_path / "a.pcap", HANDSHAKE)
    second = capture(tmp_path / "b.pcap", HALF_CLOSED)
    everything = document(explain(first, second, segments=True), with_segments=True)["connections"]
    chosen = explain(first, second, segments={2})
    assert [c.connection.exchanges is None for c in chosen.connections] == [True, False]
    one, two = document(chosen, with_segments=True)["connections"]
    assert two == everything[1]
    assert one == {**everything[0], "segments": []}


def test_the_garbage_collector_runs_again_afterwards(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    with pytest.raises(UnreadableInput):
        explain(tmp_path / "x")
    assert gc.isenabled()


def test_a_finished_connection_keeps_no_packet_bytes(tmp_path: Path) -> None:
    closed = HANDSHAKE + "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 2\n> . 2:2(0) ack 2"
    for text in (closed, HANDSHAKE + "> R 1:1(0)", closed + "\n> R 2:2(0)"):
        (explained,) = explain(capture(tmp_path / "a.pcap", text)).connections
        c = explained.connection
        assert c.reset_segment is None or not c.reset_segment.data
