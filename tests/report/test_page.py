"""The page as text: what it is made of, and what nobody can smuggle into it.  `test_browser` opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UnreadableInput
from testbed.explanation.survey import Survey
from testbed.report import folder
from testbed.report.page import ROWS, Page, fitting
from testbed.report.page.room import DRAWN, LADDER, LADDERS
from testbed.report.page.segments import moment
from testbed.report.page.writing import embedded, pieces
from testbed.report.surveyed import Way

from ..mutation import mutate, seeds
from ..test_explanation import CALL
from .captures import spoken, write
from .seen import Seen

EVIL = "<script>hacked=1</script><!--</title></style>'\"><img src=x onerror=hacked=1>&amp;\x1b[2J\u202e"


def page_of(path: Path, out: Path, **options: Any) -> Seen:
    """The page that `explain --out` writes of a capture."""
    with Survey(rows=True) as survey:
        survey.read(path)
        folder.write(out, lambda: [path], survey, "", **options)
    return Seen((out / "index.html").read_text(encoding="utf-8"))


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Two connections: one closes in order, one resets."""
    rows = [*spoken([b"hello", b"x" * 1000]), *spoken([b"bye"], port=40001, closed=False)]
    return write(tmp_path / "talk.pcap", rows)


def test_it_loads_nothing_and_runs_its_own_script_alone(talk: Path, tmp_path: Path) -> None:
    seen = page_of(talk, tmp_path / "out")
    assert not {tag for tag, _ in seen.tags} & {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert not seen.attributes("src") + seen.attributes("style")
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert not [href for href in seen.attributes("href") if not href.startswith(("#", "data:"))]
    (policy,) = (a["content"] for t, a in seen.tags if t == "meta" and "Security" in str(a.get("http-equiv")))
    allowed = re.findall(r"'sha256-([^']+)'", str(policy))
    own = [*seen.texts["script"], *seen.texts["style"]]
    assert sorted(allowed) == sorted(
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in own
    )
    assert str(policy).startswith("default-src 'none'; ") and "unsafe" not in str(policy)


def test_what_stands_in_it(talk: Path, tmp_path: Path) -> None:
    way = Way("testbed explain", f"testbed explain {talk}", [str(talk)])
    seen = page_of(talk, tmp_path / "out", way=way)
    assert "2 connections: 1 orderly, 1 reset" in seen.text
    assert "The client reset the connection in frame 16" in seen.text
    assert f"testbed explain {talk} --connection 2 --ladder" in seen.text
    assert seen.attributes("data-frame").count("16") == 3, "the arrow, wide and narrow, and the finding"
    (data,) = [href for href in seen.attributes("href") if href.startswith("data:")]
    assert base64.b64decode(data.partition(",")[2]) == (tmp_path / "out/connection-2.pcap").read_bytes()


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump reads it too")
def test_a_segments_header_is_what_tcpdump_reads(talk: Path, tmp_path: Path) -> None:
    seen = page_of(talk, tmp_path / "out")
    done = subprocess.run(
        ["tcpdump", "-nnvSr", str(talk)], capture_output=True, text=True, timeout=60, check=True
    )
    printed = re.findall(r"^\s+10\.0\.0.*", done.stdout, re.MULTILINE)
    told: dict[int, dict[str, str]] = {}
    for data in map(json.loads, seen.texts["data"]):
        for frame, segment in data["segments"].items():
            told[int(frame)] = dict(zip(data["labels"], segment["values"], strict=True))
    assert sorted(told) == list(range(1, len(printed) + 1))
    for frame, line in enumerate(printed, 1):
        values = told[frame]
        assert f"cksum {values['checksum']} (correct)" in line
        options = re.search(r"options \[([^]]*)\]", line)
        assert values["options"].replace(", ", ",") == (options[1] if options else "")
        seq = re.search(r"seq (\d+)", line)
        if seq:
            assert f"(absolute {seq[1]})" in values["sequence number"]
        acked = re.search(r"ack (\d+)", line)
        assert bool(acked) == bool(values["acknowledgment"])
        if acked:
            assert f"(absolute {acked[1]})" in values["acknowledgment"]
        length = re.search(r"length (\d+)$", line)
        assert length and values["payload"] == {"0": "none", "1000": "1,000 bytes"}.get(
            length[1], f"{length[1]} bytes"
        )


def test_the_bytes_are_the_captures(talk: Path, tmp_path: Path) -> None:
    seen = page_of(talk, tmp_path / "out")
    segments = {n: s for data in map(json.loads, seen.texts["data"]) for n, s in data["segments"].items()}
    whole = [
        row.data[20:]
        for row in (*spoken([b"hello", b"x" * 1000]), *spoken([b"bye"], port=40001, closed=False))
    ]
    for number, segment in segments.items():
        raw = base64.b64decode(segment["bytes"])
        assert whole[int(number) - 1].startswith(raw)
        assert segment["header"] == (whole[int(number) - 1][12] >> 4) * 4
        assert len(raw) + segment["left"] == len(whole[int(number) - 1])
    assert max(segment["left"] for segment in segments.values()) == 1000 - 256


def test_nothing_in_a_name_or_a_payload_becomes_markup(tmp_path: Path) -> None:
    """A host's name, a file's name, a command's words, an RPC, an HTTP header."""
    named = tmp_path / f"{EVIL.replace('/', ':')}.txt"
    named.write_text(CALL.replace("localhost.63318", "<script>.63318"))
    rpc = json.dumps({"jsonrpc": "2.0", "method": EVIL}).encode()
    http = f"GET /{EVIL} HTTP/1.1\r\nHost: {EVIL}\r\nX-Evil: {EVIL}\r\n\r\n".encode()
    said = write(tmp_path / "said.pcap", spoken([len(rpc).to_bytes(4, "big") + rpc, http], closed=False))
    usual = write(tmp_path / "usual.pcap", spoken([bytes(4 + len(rpc)), bytes(len(http))], closed=False))
    way = Way(EVIL, EVIL, [EVIL])
    pages = [page_of(path, tmp_path / path.stem[:5], way=way) for path in (named, said, usual)]
    for seen in pages:
        assert len(seen.texts["script"]) == 1 and len(seen.texts["style"]) == 2
        assert not [tag for tag, _ in seen.tags if tag in ("img", "b", "font")]
        assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
        everything = seen.text + "".join(seen.texts["data"]) + "".join(seen.attributes("aria-label"))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", everything)
    assert "<script>hacked=1</script>" in pages[0].text, "it is shown as the text that it is"
    assert [tag for tag, _ in pages[1].tags] == [tag for tag, _ in pages[2].tags]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_embedded_json_is_the_same_and_ends_no_element(value: object) -> None:
    text = embedded(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("time_ns", "told"),
    [
        (1_700_000_000_000_001_999, "2023-11-14 22:13:20.000001 UTC"),
        (70_630_361_921_000, "19:37:10.361921"),
        (-1, "1969-12-31 23:59:59.999999 UTC"),
        (1 << 80, f"{(1 << 80) // 10**9} s since 1970"),
    ],
)
def test_moments(time_ns: int, told: str) -> None:
    assert moment(time_ns) == told


def test_a_page_has_room_for_so_much() -> None:
    assert fitting([(1, 10), (2, LADDERS), (3, 10)]) == {1, 2, 3}, f"a ladder shows {LADDER} at most"
    assert len(fitting((number, LADDER) for number in range(9))) == LADDERS // LADDER
    assert fitting([(1, LADDER), (2, LADDER), (3, LADDER), (4, 10)]) == {1, 2, 4}, "the fourth is small"
    assert len(fitting((number, 1) for number in range(ROWS))) == DRAWN


def test_an_empty_page_is_one() -> None:
    seen = Seen("".join(pieces(Page("nothing", "testbed explain"))))
    assert "nothing" in seen.text and not [tag for tag, _ in seen.tags if tag == "table"][1:]


def test_who_asks_for_no_page_does_not_wait_for_its_templates() -> None:
    program = (
        "import sys, testbed.cli.explain_command, testbed.lab.lab, testbed.pytest_plugin\n"
        "print('jinja2' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


def test_damaged_captures_make_pages_too(tmp_path: Path) -> None:
    """`ci/fuzz --seed NUMBER --runs 1` makes the same capture again."""
    pool = [seed for seed in seeds() if len(seed) < 10_000]
    pages = 0
    for number in range(100):
        path = tmp_path / f"{number}.pcap"
        path.write_bytes(mutate(random.Random(number), pool))
        try:
            seen = page_of(path, tmp_path / "out")
        except UnreadableInput:
            continue
        pages += 1
        assert len(seen.texts["script"]) == 1, number
        assert all(json.loads(data)["labels"] for data in seen.texts["data"]), number
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", seen.text), number
    assert pages > 50
