"""Held against the pure core: the corpus, and conversations made up to be awkward."""

from __future__ import annotations

import gzip
import random
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from testbed.scan import passing
from testbed.wire.segment import ACK, FIN, PSH, RST, SYN, Segment, reverse

from ..mutation import CORPUS, seeds
from ..tcp.conversation import CLIENT, HANDSHAKE, segments
from .differential import assert_same, pcap, scanned

REQUEST = HANDSHAKE + "> P. 1:11(10) ack 1\n< . 1:1(0) ack 11\n< P. 1:6(5) ack 11\n> . 11:11(0) ack 6\n"
CLOSED = "> F. 11:11(0) ack 6\n< . 6:6(0) ack 12\n< F. 6:6(0) ack 12\n> . 12:12(0) ack 7\n"
PROBES = "+9\n< . 5:5(0) ack 12\n> . 12:12(0) ack 6\n"

STORIES = (
    REQUEST + CLOSED,
    REQUEST + "> F. 11:11(0) ack 6\n< F. 6:6(0) ack 12\n> . 12:12(0) ack 7\n",
    REQUEST + "> F. 11:11(0) ack 6\n< F. 6:6(0) ack 11\n> . 12:12(0) ack 7\n< . 7:7(0) ack 12\n",
    REQUEST + "> F. 11:11(0) ack 6\n< . 6:6(0) ack 12\n" + PROBES * 3,
    REQUEST + "> F. 11:11(0) ack 6\n< . 6:6(0) ack 12\n+3\n< P. 6:16(10) ack 12\n> R 12:12(0)\n",
    REQUEST + "+3\n< . 5:5(0) ack 11\n" * 3 + "< R. 6:6(0) ack 11\n",
    REQUEST + "< . 6:6(0) ack 11 win 0\n+1\n> . 10:10(0) ack 6\n< . 6:6(0) ack 11 win 0\n+1\n"
    + "< . 6:6(0) ack 11\n",
    REQUEST + "> P. 11:12(1) ack 6\n+1\n> P. 11:12(1) ack 6\n< . 6:6(0) ack 12\n" + CLOSED,
    REQUEST + "< R 6:6(0)\n",
    REQUEST + "< R 9000:9000(0)\n> P. 11:21(10) ack 6\n",
    HANDSHAKE + "> . 1:1001(1000) ack 1\n> . 2001:3001(1000) ack 1\n" + "< . 1:1(0) ack 1001\n" * 4
    + "> . 1001:2001(1000) ack 1\n< . 1:1(0) ack 3001\n",
    "> S 0:0(0)\n< R. 0:0(0) ack 1\n",
    "> S 0:0(0)\n< R. 0:0(0) ack 1\n< S. 77:77(0) ack 1\n> . 1:1(0) ack 78\n",
    "> S 0:0(0)\n+1\n> S 0:0(0)\n+2\n> S 0:0(0)\n",
    "> S 0:0(0)\n< S. 0:0(0) ack 1\n< S. 0:0(0) ack 1\n",
    "> S 0:0(0)\n< S. 0:0(0) ack 1\n> R 1:1(0)\n",
    "> S 0:0(0)\n< S 0:0(0)\n> S. 0:0(0) ack 1\n< S. 0:0(0) ack 1\n> F. 1:1(0) ack 1\n< F. 1:1(0) ack 1\n",
    "< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n> P. 1:11(10) ack 1\n",
    "> S 0:3(3)\n< S. 0:0(0) ack 4\n> F. 4:4(0) ack 1\n",
    HANDSHAKE + "< . 1:1(0) ack 1 win 600\n> P. 1:11(10) ack 1\n",
    HANDSHAKE + "< . 1:1(0) ack 1\n+1\n< S. 0:0(0) ack 1\n",
)  # fmt: skip
"""Conversations of every kind that the rules speak of."""

OTHER = bytes((10, 0, 0, 3, 10, 0, 0, 2)) + struct.pack("!HH", 40000, 2333)
ITSELF = bytes((10, 0, 0, 4) * 2) + struct.pack("!HH", 777, 777)
FLOWS = (CLIENT, CLIENT, OTHER, ITSELF)
ISNS = (1_000, 9_000, 0xFFFFFFF0, 0x7FFFFFFA, 0)
FLAGS = (SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, FIN, RST, RST | ACK, SYN | FIN, 0, SYN | RST)
GAPS = (0, 1_000, 2_000_000, 150_000_000, 1_100_000_000, 130_000_000_000, 250_000_000_000, -5_000_000)


def story(draw: Any, flow: bytes) -> list[Segment]:
    """One of the stories, told by these two ends."""
    told = segments(
        draw(st.sampled_from(STORIES)),
        client_isn=draw(st.sampled_from(ISNS)),
        server_isn=draw(st.sampled_from(ISNS)),
    )
    options = draw(st.sampled_from((b"", b"\x01\x03\x03\x02")))
    rows = []
    for row in told:
        way = flow if row.flow == CLIENT else reverse(flow)
        rows.append(row._replace(flow=way, options=options if row.flags & SYN else b""))
    return rows


@st.composite
def captures(draw: Any) -> list[Segment]:
    """Stories after and into each other, some of their segments lost, doubled, late, or changed."""
    rows: list[Segment] = []
    clock = 1_700_000_000_000_000_000
    for _ in range(draw(st.integers(1, 4))):
        told = story(draw, draw(st.sampled_from(FLOWS)))
        clock += draw(st.sampled_from(GAPS))
        begin = told[0].time_ns
        at = draw(st.integers(0, len(rows)))
        late = [row._replace(time_ns=clock + row.time_ns - begin) for row in told]
        rows[at:at] = late
        clock = max(row.time_ns for row in rows)
    for _ in range(draw(st.integers(0, 6))):
        if len(rows) < 2:
            break
        at = draw(st.integers(0, len(rows) - 1))
        row = rows[at]
        match draw(st.integers(0, 9)):
            case 0:
                del rows[at]
            case 1:
                rows.insert(draw(st.integers(0, len(rows))), row)
            case 2:
                rows.insert(draw(st.integers(0, len(rows) - 1)), rows.pop(at))
            case 3:
                rows[at] = row._replace(flags=draw(st.sampled_from(FLAGS)))
            case 4:
                rows[at] = row._replace(window=draw(st.sampled_from((0, 1, 500, 65535))))
            case 5:
                rows[at] = row._replace(seq=((row.seq or 0) + draw(st.integers(-3, 3))) & 0xFFFFFFFF)
            case 6:
                rows[at] = row._replace(ack=(row.ack + draw(st.integers(-3, 3))) & 0xFFFFFFFF)
            case 7:
                rows[at] = row._replace(length=draw(st.sampled_from((0, 1, 2, 10, 1400))))
            case 8:
                rows[at] = row._replace(flow=reverse(row.flow))
            case _:
                gap = draw(st.sampled_from(GAPS))
                rows[at:] = [later._replace(time_ns=later.time_ns + gap) for later in rows[at:]]
    return rows


@given(captures())
@settings(max_examples=400, deadline=None)
def test_awkward_conversations(rows: list[Segment]) -> None:
    assert_same(pcap(rows))


@pytest.mark.parametrize("text", STORIES)
def test_each_story(text: str) -> None:
    assert_same(pcap(segments(text)))


def test_most_stories_need_no_help() -> None:
    """The pure core follows few of them: a simultaneous open, an RST that may be refused..."""
    followed = [text for text in STORIES if scanned(pcap(segments(text)))[2].by_pure]
    assert 2 <= len(followed) <= 5


def corpus() -> list[Any]:
    folder = CORPUS / "captures"
    if not folder.is_dir():
        reason = f"no captures in {folder}: the corpus lies beside the project, not in it"
        return [pytest.param("", marks=pytest.mark.skip(reason=reason))]
    return [path.name for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("name", corpus())
def test_the_corpus(name: str) -> None:
    assert_same((CORPUS / "captures" / name).read_bytes())


@pytest.mark.parametrize("number", range(len(seeds())))
def test_every_format_and_framing(number: int) -> None:
    """And each of them gzipped.  A text is for `explain` alone."""
    raw = seeds()[number]
    if raw[:4].isascii() and raw[:4].strip(b"0123456789:"):
        assert_same(raw)
        if raw[:2] != b"\x1f\x8b":
            assert_same(gzip.compress(raw, 1, mtime=0))


@pytest.mark.parametrize("number", range(len(seeds())))
def test_a_few_bytes_at_a_time(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records and blocks longer than a piece, which is longer than no header."""
    monkeypatch.setattr(passing, "PIECE", 50)
    raw = seeds()[number]
    if raw[:4].isascii() and raw[:4].strip(b"0123456789:"):
        assert_same(raw)


def test_many_at_once_and_one_after_the_other() -> None:
    """More than the tables have room for at first: they grow, and what is over makes room."""
    rng = random.Random(5)
    rows: list[Segment] = []
    for number in range(30_000):
        flow = struct.pack(
            "!IIHH", 10 << 24 | number // 50, 0xC0A80001, 1000 + number % 50 + number // 9000, 80
        )
        for at, row in enumerate(segments(rng.choice(STORIES[:4]))[: rng.randrange(1, 12)]):
            way = flow if row.flow == CLIENT else reverse(flow)
            rows.append(
                row._replace(flow=way, time_ns=1_700_000_000_000_000_000 + number * 20_000_000 + at * 900_000)
            )
    rows.sort(key=lambda row: row.time_ns)
    assert_same(pcap(rows))


@given(st.integers(0, 1 << 32))
@example(0)
@settings(max_examples=60, deadline=None)
def test_damaged_captures(seed: int) -> None:
    from testbed.errors import UnreadableInput

    from ..mutation import mutate

    raw = mutate(random.Random(seed), SEEDS)
    try:
        assert_same(raw)
    except UnreadableInput as error:
        assert "\n" not in str(error)


SEEDS = [raw for raw in seeds()[1:] if len(raw) < 20_000]
