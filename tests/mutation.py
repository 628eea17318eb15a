"""Damages good captures and sees that nothing but `UnreadableInput` comes of it.

`ci/fuzz` does this at length, `tests/test_hostile.py` for a few seconds.  Every mutation comes from a
number: the same number makes the same capture again.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import UnreadableInput
from testbed.explanation import explain
from testbed.render import ladder, svg, terminal
from testbed.wire.pcap import PcapWriter
from testbed.wire.segment import Packet, Segment

from .tcp.conversation import HANDSHAKE, segments

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
LARGEST = 40_000
"""Bytes of a corpus capture that is taken as a seed."""

CONVERSATIONS = (
    HANDSHAKE + "> P. 1:11(10) ack 1\n< P. 1:6(5) ack 11\n> F. 11:11(0) ack 6\n< . 6:6(0) ack 12\n"
    "+3\n< . 5:5(0) ack 12\n> . 12:12(0) ack 6\n< F. 6:6(0) ack 12\n> . 12:12(0) ack 7",
    HANDSHAKE + "> P. 1:11(10) ack 1\n> P. 11:21(10) ack 1\n< . 1:1(0) ack 11\n< . 1:1(0) ack 11\n"
    "< . 1:1(0) ack 11\n> P. 11:21(10) ack 1\n< . 1:1(0) ack 21 win 0\n"
    "+1\n> . 20:20(0) ack 1\n< R. 1:1(0) ack 21",
    (
        "> S 0:0(0)\n< S 0:0(0)\n> S. 0:0(0) ack 1\n< S. 0:0(0) ack 1\n"
        "> F. 1:1(0) ack 1\n< F. 1:1(0) ack 1\n> . 2:2(0) ack 2\n< . 2:2(0) ack 2"
    ),
    "> S 0:0(0)\n< R. 0:0(0) ack 1",
)
OPTIONS = bytes.fromhex("020405b40402080a000000010000000001030307")
TEXT = b"""\
19:37:10.361921 IP localhost.63318 > localhost.snapp: Flags [S], seq 810246547, win 65535, options [mss 16344,nop,wscale 6,nop,nop,TS val 4103777838 ecr 0,sackOK,eol], length 0
19:37:10.361976 IP localhost.snapp > localhost.63318: Flags [S.], seq 4021342427, ack 810246548, win 65535, options [mss 16344,nop,wscale 6,nop,nop,TS val 1548550603 ecr 4103777838,sackOK,eol], length 0
19:37:10.361984 IP localhost.63318 > localhost.snapp: Flags [.], ack 1, win 6379, length 0
19:37:10.362532 IP localhost.63318 > localhost.snapp: Flags [P.], seq 1:105, ack 1, win 6379, length 104
19:37:10.363289 IP localhost.63318 > localhost.snapp: Flags [F.], seq 105, ack 1, win 6375, length 0
19:37:25.364144 IP localhost.snapp > localhost.63318: Flags [.], ack 106, win 6378, length 0
18:19:17.089341 IP6 fe80::1.6378 > fe80::2.33964: Flags [F.], seq 2221282036, ack 81895238, win 227, length 0
2024-01-01 18:19:17.089341 IP 192.168.1.10.6378 > 192.168.1.11.33964: Flags [F.], seq 2221282036, ack 81895238, win 227, options [nop,nop,TS val 2281089934 ecr 3050393501], length 0
\t0x0000:  4500 0034 5f2b 4000 3f06 6db1 0af9 accb  E..4_+@.?.m.....
\t0x0010:  0af9 ac2a 18ea 84ac 8466 12f4 04e1 9f46  ...*.....f.....F
\t0x0020:  8010 00e3 6f0e 0000 0101 080a 87f6 ab8e  ....o...........
\t0x0030:  b5d1 4f9d                                ..O.
"""  # noqa: E501


def _ip(segment: Segment, version: int) -> bytes:
    """The segment in an IP packet, without checksums."""
    options = OPTIONS if segment.flags & 2 else b""
    words = (5 + len(options) // 4) << 12
    tcp = segment.flow[8:12] + struct.pack(
        ">IIHHHH", segment.seq or 0, segment.ack, words | segment.flags, segment.window, 0, 0
    )
    tcp += options + bytes(segment.length)
    source, destination = segment.flow[:4], segment.flow[4:8]
    if version == 6:
        return struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + source * 4 + destination * 4 + tcp
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, source, destination) + tcp


def _pcap(rows: Sequence[tuple[int, bytes]], link_type: int) -> bytes:
    stream = io.BytesIO()
    writer = PcapWriter(stream, link_type)
    for frame, (time_ns, data) in enumerate(rows, 1):
        writer.write(Packet(frame, time_ns, link_type, data, len(data)))
    return stream.getvalue()


def _pcapng(rows: Sequence[tuple[int, bytes]], link_type: int, order: str) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) & 3)
        length = struct.pack(order + "I", len(body) + 12)
        return struct.pack(order + "I", kind) + length + body + length

    raw = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    raw += block(1, struct.pack(order + "HHIHHB3xHH", link_type, 0, 0, 9, 1, 9, 0, 0))
    for time_ns, data in rows:
        high, low = divmod(time_ns, 1 << 32)
        raw += block(6, struct.pack(order + "IIIII", 0, high, low, len(data), len(data)) + data)
    return raw + block(5, struct.pack(order + "IIIHHQ", 0, 0, 0, 5, 8, 3) + bytes(4))


def seeds() -> list[bytes]:
    """Good captures of every format, many link types and encapsulations; the corpus's where it is."""
    made = [TEXT]
    for number, text in enumerate(CONVERSATIONS):
        rows = segments(text)
        v4 = [(row.time_ns, _ip(row, 4)) for row in rows]
        v6 = [(row.time_ns, _ip(row, 6)) for row in rows]
        ether = [(when, bytes(12) + b"\x08\0" + data) for when, data in v4]
        vlan = [(when, bytes(12) + b"\x81\0\0\1\x86\xdd" + data) for when, data in v6]
        cooked = [(when, bytes(14) + b"\x08\0" + data) for when, data in v4]
        tunnel = [
            (when, struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(data), 0, 0, 64, 4, 0, 1, 2) + data)
            for when, data in v4
        ]
        gre = [
            (
                when,
                struct.pack(">BBHHHBBHII", 0x45, 0, 24 + len(data), 0, 0, 64, 47, 0, 1, 2) + b"\0\0\x86\xdd",
            )
            for when, data in v6
        ]
        made += [
            _pcap(ether, 1),
            _pcap(vlan, 1),
            _pcap(cooked, 113),
            _pcap(v6, 101),
            _pcapng(ether, 1, "<"),
            _pcapng(tunnel, 101, ">"),
            _pcap([(when, data + inner) for (when, data), (_, inner) in zip(gre, v6, strict=True)], 101),
        ]
        if not number:
            made.append(gzip.compress(_pcap(ether, 1), mtime=0))
    folder = CORPUS / "captures"
    if folder.is_dir():
        made += [path.read_bytes() for path in sorted(folder.iterdir()) if path.stat().st_size <= LARGEST]
    return made


INTERESTING = (0, 1, 2, 3, 4, 6, 17, 41, 47, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000)
BIG = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutate(rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """One damaged capture."""
    raw = bytearray(rng.choice(pool))
    squeezed = raw[:2] == b"\x1f\x8b" and rng.random() < 0.5
    if squeezed:
        raw = bytearray(gzip.decompress(raw))
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8, 20))):
        if not raw:
            break
        # headers matter more than what follows
        at = rng.randrange(min(len(raw), 120) if rng.random() < 0.3 else len(raw))
        match rng.randrange(9):
            case 0:
                raw[at] ^= 1 << rng.randrange(8)
            case 1:
                raw[at] = rng.randrange(256)
            case 2:
                raw[at] = rng.choice(INTERESTING) & 0xFF
            case 3:
                size, form = rng.choice(((2, "H"), (4, "I")))
                value = rng.choice(INTERESTING + BIG) & ((1 << 8 * size) - 1)
                raw[at : at + size] = struct.pack(rng.choice("<>") + form, value)
            case 4:
                del raw[at : at + rng.choice((1, 2, 4, 8, 16, 60))]
            case 5:
                raw[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 16)))
            case 6:
                size = rng.choice((4, 16, 54, 70, 200))
                raw[at:at] = raw[at : at + size] * rng.choice((1, 1, 1, 30))
            case 7:
                other = rng.choice(pool)
                start = rng.randrange(len(other))
                raw[at : at + rng.choice((0, 8, 40))] = other[start : start + rng.choice((4, 40, 400))]
            case _:
                if rng.random() < 0.2:
                    del raw[at:]
                else:
                    raw[at] = ord(rng.choice("\n\r\t\x1b\0 <>&\"'.:[](),-9"))
    return gzip.compress(raw, 1, mtime=0) if squeezed else bytes(raw)


def read_all(raw: bytes) -> int:
    """Explain it in every way there is; returns how many connections it holds."""
    explanation = explain(io.BytesIO(raw), segments=True)
    json.dumps(explanation.to_json(segments=True), allow_nan=False)
    explanation.to_text()
    for explained in explanation.connections[:2]:
        drawn = ladder.from_connection(explained.connection, findings=explained.findings, limit=40)
        terminal.plain(drawn, 80)
        svg.draw(drawn)
    return len(explanation.connections)


def attempt(raw: bytes) -> str:
    """What came of it: ``read``, ``empty`` (no connection in it), or ``refused``."""
    try:
        return "read" if read_all(raw) else "empty"
    except UnreadableInput as error:
        assert "\n" not in str(error), "the message is one line"
        return "refused"
