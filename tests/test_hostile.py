"""Captures that nobody here wrote: damaged, malformed, or made to harm whoever looks at them."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from testbed.explanation import explain
from testbed.findings import Evidence, judge
from testbed.render import ladder, svg, terminal
from testbed.tcp.tracker import Tracker
from testbed.wire.decode import IcmpError
from testbed.wire.segment import SYN, Segment

from .mutation import CORPUS, TEXT, attempt, mutate, read_all, seeds

CPU_SECONDS = 5
ADDRESS_SPACE = 300 << 20  # importing everything that the command needs fits in 100 MB

MALFORMED = sorted((CORPUS / "malformed").iterdir()) if (CORPUS / "malformed").is_dir() else []
malformed = pytest.mark.skipif(
    not MALFORMED,
    reason=f"no captures in {CORPUS / 'malformed'}: the corpus lies beside the project, not in it",
)

MUTATIONS = 5000
SECONDS = 20
"""In which as many mutations as possible are tried, at most MUTATIONS."""

ALL_OF_THEM = """
import json, sys, time
from testbed.errors import UnreadableInput
from testbed.explanation import explain
for path in sys.argv[1:]:
    before = time.process_time()
    try:
        explanation = explain(path, segments=True)
        json.dumps(explanation.to_json(segments=True))
        explanation.to_text()
        status = 0
    except UnreadableInput as error:
        status = 2
    print(json.dumps([path, status, time.process_time() - before]))
"""


def python(*arguments: str, seconds: int = CPU_SECONDS) -> subprocess.CompletedProcess[str]:
    """Python with limits that a shell sets: a function between fork and exec is not safe with threads."""
    limits = f'ulimit -t {seconds}; ulimit -v {ADDRESS_SPACE >> 10}; exec "$@"'
    return subprocess.run(
        ["sh", "-c", limits, "sh", sys.executable, *arguments],
        capture_output=True,
        text=True,
        errors="strict",
        timeout=90,
        check=False,
    )


@malformed
def test_all_malformed_captures() -> None:
    """All of them in one process, under one memory limit: what one leaves behind would tell on the next."""
    done = python("-c", ALL_OF_THEM, *map(str, MALFORMED), seconds=60)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(path) for path in MALFORMED]
    assert {row[1] for row in rows} <= {0, 2}
    assert max(row[2] for row in rows) < CPU_SECONDS


@malformed
@pytest.mark.parametrize("path", MALFORMED[:: max(1, len(MALFORMED) // 12)], ids=lambda path: path.name)
def test_malformed_captures_by_the_command(path: Path) -> None:
    for options in ([], ["--json", "--segments"]):
        done = python("-m", "testbed", "explain", str(path), *options)
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback" not in done.stderr
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout + done.stderr)
        if done.returncode == 2:
            assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        elif options:
            assert json.loads(done.stdout)["schema"] == "testbed.explain/1"


def test_mutations() -> None:
    """A failure names its number: `ci/fuzz --seed NUMBER --runs 1` does it again."""
    pool = [seed for seed in seeds() if len(seed) < 10_000]
    until = time.monotonic() + SECONDS
    told = set()
    for number in range(MUTATIONS):
        told.add(attempt(mutate(random.Random(number), pool)))
        if time.monotonic() > until:
            break
    assert told == {"read", "empty", "refused"}


def test_the_seeds_are_good() -> None:
    assert all(read_all(seed) for seed in seeds())


# ---- what must not pass through

ESCAPES = ("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\r", "\x08", "\u202e", "\x00")
MARKUP = (
    "<script>alert(1)</script>",
    "<svg/onload=x>",
    "&xxe;",
    "]]>",
    "'\"><b>",
    "<!--",
    "[red]",
    "{{7*7}}",
)
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")

LINES = (
    "19:37:10.361921 IP {0}.63318 > server.80: Flags [S], seq 8102, win 65535, length 0\n",
    "19:37:10.361976 IP server.80 > {0}.63318: Flags [S.], seq 4021, ack 8103, win 65535, length 0\n",
    "19:37:10.361921 IP client.{0} > server.80: Flags [S], seq 8102, win 65535, length 0\n",
    "19:37:10.361921 IP client.1 > server.{0}: Flags [R.], seq 8102, ack 3, win 65535, length 0\n",
    "19:37:10.361921 IP client.1 > server.80: Flags [P.], seq 1:3, win 9, options [{0}], length 2: {0}\n",
    "19:37:10.361921 IP client.1 > server.80: Flags [{0}], seq 1:3, ack 3, win 9, length 2: HTTP: {0}\n{0}\n",
    "19:37:10.361921 {0} client.1 > server.80: Flags [.], ack 3, win 9, length 0\n",
)
GOOD_LINE = "19:37:11 IP client.5 > server.80: Flags [F.], seq 1, ack 3, win 9, length 0\n"


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("evil", [*ESCAPES, *MARKUP])
def test_names_and_payload_steer_nothing(line: str, evil: str) -> None:
    raw = (TEXT.decode().splitlines()[0] + "\n" + line.format(evil) + GOOD_LINE).encode(
        "utf-8", "surrogateescape"
    )
    explanation = explain(io.BytesIO(raw), segments=True)
    assert not UNSEEN.search(explanation.to_text())
    for said in (*explanation.captures[0].problems, *explanation.captures[0].disagreements):
        assert not UNSEEN.search(said)
    document = json.dumps(explanation.to_json(segments=True), ensure_ascii=False)
    assert not UNSEEN.search(document)
    for explained in explanation.connections:
        drawn = ladder.from_connection(explained.connection, title=evil, findings=explained.findings)
        assert not UNSEEN.search(terminal.plain(drawn, 80))
        picture = svg.draw(drawn)
        assert not UNSEEN.search(picture)
        assert_inert(picture)


def assert_inert(picture: str) -> None:
    """An SVG in which nothing runs, and nothing is fetched."""
    assert "<!" not in picture
    for element in ElementTree.fromstring(picture).iter():
        name = element.tag.rpartition("}")[2]
        assert name not in ("script", "foreignObject", "image", "use", "a", "iframe", "b"), name
        for attribute, value in element.attrib.items():
            assert not attribute.rpartition("}")[2].startswith("on"), attribute
            assert "javascript:" not in value and "://" not in value


def test_payload_bytes_are_never_shown() -> None:
    """A pcap's payload is looked at nowhere: it cannot reach an output."""
    evil = b"\x1b[2J<script>alert(1)</script>"
    pool = [seed.replace(bytes(10), evil[:10]) for seed in seeds() if seed[:4] == b"\xd4\xc3\xb2\xa1"]
    for raw in pool[:20]:
        explanation = explain(io.BytesIO(raw), segments=True)
        document = json.dumps(explanation.to_json(segments=True))
        assert "\\u001b" not in document and "<scr" not in document and "<scr" not in explanation.to_text()


class LookedUp(dict[Any, Any]):
    """Whoever goes through all of it is found out."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("gone through")

    items = keys = values = __iter__  # type: ignore[assignment]


def test_errors_and_connections_do_not_multiply() -> None:
    """Each connection looks up what concerns it: going through all of it for each takes minutes of a
    capture with many of both."""

    def flow(number: int) -> bytes:
        return number.to_bytes(4, "big") + bytes(4) + b"\x10\0\0\x50"

    tracker = Tracker().feed_all(Segment(n, n, flow(n), SYN, 1, 0, 10, 0, b"", b"", 0) for n in range(1, 501))
    evidence = Evidence(
        icmp_errors=LookedUp((flow(n), [IcmpError(n, n, 3, 1, flow(n))]) for n in range(1, 501))
    )
    found = [finding for connection in tracker for finding in judge(connection, evidence)]
    assert sum("ICMP told why" in finding.text for finding in found) == 500


def test_problems_are_told_once_for_each_kind() -> None:
    """A file that names thousands of link types, and has in each packet another interface that is not
    there, is told of in a few lines."""

    def block(kind: int, body: bytes) -> bytes:
        length = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + length + body + length

    raw = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    raw += b"".join(block(1, struct.pack("<HHI", 1000 + n, 0, 0)) for n in range(2000))
    raw += b"".join(block(6, struct.pack("<IIIII", 2000 + n, 0, 1, 4, 4) + bytes(4)) for n in range(2000))
    raw += b"".join(block(6, struct.pack("<IIIII", 0, 0, 1, 100 + n, 4) + bytes(4)) for n in range(2000))
    (capture,) = explain(io.BytesIO(raw)).captures
    assert capture.packets == 4000
    assert len(capture.problems) < 20
    assert "1990 more link types" in " ".join(capture.problems)
