"""A big capture in seconds: a few conversations, written in the notation, told many thousand times.

Every connection has ends, numbers and times of its own; many are open at once, and their segments come
mixed.  How many connections there are, and of which kind, is known by how it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from testbed.wire.notation import Line, parse_transcript
from testbed.wire.pcap import PcapWriter
from testbed.wire.segment import ACK, SYN

Array = npt.NDArray[np.uint8]

SNAPLEN: Final = 96
HEADER: Final = 16
IP_AT: Final = HEADER + 14
TCP_AT: Final = IP_AT + 20
SYN_OPTIONS: Final = bytes.fromhex("020405b40402080a000000000000000001030307")
OPTIONS: Final = bytes.fromhex("0101080a0000000000000000")
STEP_NS: Final = 1_000
START_S: Final = 1_700_000_000
AT_ONCE: Final = 5_000
"""Connections that are open at the same time."""
WRITTEN_AT_ONCE: Final = 50_000
"""Connections."""
PORTS: Final = 50_000
"""Connections of one client."""

_OPEN = "> S 0:0(0)\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n"
_REQUEST = "> P. 1:101(100) ack 1\n< . 1:1(0) ack 101\n"
_REPLY = "< P. 1:501(500) ack 101\n> . 101:101(0) ack 501\n"
_CLOSE = "> F. 101:101(0) ack {0}\n< F. {0}:{0}(0) ack 102\n> . 102:102(0) ack {1}\n"


def _download(segments: int) -> str:
    lines = []
    for number in range(segments):
        lines.append(f"< . {1 + 1448 * number}:{1 + 1448 * (number + 1)}(1448) ack 101")
        if number % 2:
            lines.append(f"> . 101:101(0) ack {1 + 1448 * (number + 1)}")
    return "\n".join(lines) + "\n"


class Kind(NamedTuple):
    """A conversation, and of how many connections in a hundred it is the story."""

    name: str
    text: str
    share: int


KINDS: Final = (
    Kind("orderly", _OPEN + _REQUEST + _REPLY + _CLOSE.format(501, 502), 60),
    Kind("download", _OPEN + _REQUEST + _download(40) + _CLOSE.format(1 + 1448 * 40, 2 + 1448 * 40), 25),
    Kind(
        "resent",
        _OPEN + _REQUEST + "< P. 1:501(500) ack 101\n" + _REPLY + _CLOSE.format(501, 502),
        6,
    ),
    Kind("reset", _OPEN + _REQUEST + _REPLY + "< R. 501:501(0) ack 101\n", 5),
    Kind("half-closed", _OPEN + _REQUEST + _REPLY + "> F. 101:101(0) ack 501\n< . 501:501(0) ack 102\n", 2),
    Kind("unanswered", "> S 0:0(0)\n> S 0:0(0)\n", 2),
)


OPEN: Final = (Kind("open", _OPEN + _REQUEST + _REPLY, 100),)


class Written(NamedTuple):
    """What a file holds."""

    packets: int
    connections: int
    kinds: dict[str, int]


def write(path: Path, packets: int, *, at_once: int = AT_ONCE, of: Sequence[Kind] = KINDS) -> Written:
    """Write a capture of at least so many packets."""
    told = {kind.name: 0 for kind in of}
    written = connections = 0
    with path.open("wb") as stream:
        PcapWriter(stream, 1, SNAPLEN)
        while written < packets:
            kinds = _dealt(of, min(WRITTEN_AT_ONCE, packets - written), connections)
            written += _write_some(stream, of, kinds, connections, written, at_once)
            connections += len(kinds)
            for place, kind in enumerate(of):
                told[kind.name] += int((kinds == place).sum())
    return Written(written, connections, told)


def _dealt(of: Sequence[Kind], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Which kind each connection is of."""
    shares = np.repeat(np.arange(len(of)), [kind.share for kind in of])
    return np.random.default_rng(seed).choice(shares, count)


def _write_some(
    stream: BinaryIO,
    of: Sequence[Kind],
    kinds: npt.NDArray[np.int64],
    first: int,
    tick: int,
    at_once: int,
) -> int:
    """Append connections; answers how many packets those were.  Each one's segments come one round after
    the other, as many rounds apart as there are connections open at once."""
    groups: list[tuple[npt.NDArray[np.int64], Array, npt.NDArray[np.int64]]] = []
    for place, kind in enumerate(of):
        numbers = np.flatnonzero(kinds == place)
        lines = parse_transcript(kind.text)
        for turn, line in enumerate(lines):
            when = numbers * len(of[0].text.splitlines()) + turn * at_once
            groups.append((when, _frames(line, numbers + first), numbers))
    when = np.concatenate([group[0] for group in groups])
    sizes = np.concatenate([np.full(len(group[0]), group[1].shape[1]) for group in groups])
    order = np.argsort(when, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ends = np.cumsum(sizes[order])
    begins = (ends - sizes[order])[rank]
    out = np.empty(int(ends[-1]), np.uint8)
    done = 0
    for _, frames, _ in groups:
        here = slice(done, done + len(frames))
        time_ns = (tick + rank[here]) * STEP_NS
        _little(frames, 0, START_S + time_ns // 1_000_000_000)
        _little(frames, 4, time_ns % 1_000_000_000)
        out[begins[here, None] + np.arange(frames.shape[1])] = frames
        done += len(frames)
    stream.write(out.tobytes())
    return len(when)


def _frames(line: Line, numbers: npt.NDArray[np.int64]) -> Array:
    """One line of a conversation as each of these connections has it: record header and frame."""
    options = SYN_OPTIONS if line.flags & SYN else OPTIONS
    size = IP_AT - HEADER + 40 + len(options) + line.length
    captured = min(size, SNAPLEN)
    frames = np.zeros((len(numbers), HEADER + captured), np.uint8)
    _little(frames, 8, np.full(len(numbers), captured))
    _little(frames, 12, np.full(len(numbers), size))
    frames[:, HEADER + 12] = 8
    frames[:, IP_AT] = 0x45
    _big(frames, IP_AT + 2, 2, np.full(len(numbers), size - 14))
    frames[:, IP_AT + 8], frames[:, IP_AT + 9] = 64, 6
    client = (10 << 24) + 1 + numbers // PORTS
    server = (192 << 24) + (168 << 16) + 1 + numbers % 20
    client_port, server_port = 10_000 + numbers % PORTS, np.full(len(numbers), 443)
    client_isn, server_isn = numbers * 2_654_435_761 % (1 << 32), numbers * 40_503_000_003 % (1 << 32)
    ours, theirs = (client_isn, server_isn) if line.direction == ">" else (server_isn, client_isn)
    ends = [(client, client_port), (server, server_port)]
    source, destination = ends if line.direction == ">" else ends[::-1]
    _big(frames, IP_AT + 12, 4, source[0])
    _big(frames, IP_AT + 16, 4, destination[0])
    _big(frames, TCP_AT, 2, source[1])
    _big(frames, TCP_AT + 2, 2, destination[1])
    _big(frames, TCP_AT + 4, 4, (ours + (line.seq or 0)) % (1 << 32))
    if line.flags & ACK:
        _big(frames, TCP_AT + 8, 4, (theirs + (line.ack or 0)) % (1 << 32))
    frames[:, TCP_AT + 12] = (20 + len(options)) << 2
    frames[:, TCP_AT + 13] = line.flags
    _big(frames, TCP_AT + 14, 2, np.full(len(numbers), 502))
    frames[:, TCP_AT + 20 : TCP_AT + 20 + len(options)] = np.frombuffer(options, np.uint8)
    return frames


def _big(frames: Array, at: int, size: int, values: npt.NDArray[np.int64]) -> None:
    for byte in range(size):
        frames[:, at + byte] = values >> 8 * (size - 1 - byte) & 0xFF


def _little(frames: Array, at: int, values: npt.NDArray[np.int64]) -> None:
    for byte in range(4):
        frames[:, at + byte] = values >> 8 * byte & 0xFF
