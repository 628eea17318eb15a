"""Reads what tcpdump printed: summary lines, with or without the bytes below them.

    capture = read_text(stream, name)
    for segment in capture.segments():
        ...
    print(capture.packets, capture.other, capture.problems, capture.disagreements)

    bytes --> lines --> summary (`text_line`, `text_time`) --> absolute numbers (`text_numbers`)
                    \\-> bytes shown (`text_hex`) ----------> which to believe (`text_trust`) --> Segment

Understood: the default output and -n, -S, -x, -X, -xx, -XX, -t to -ttttt, -v, -e, -#, -i any; IPv4
and IPv6; hosts and services by name; tcpdump 3's lines; UTF-8 and what PowerShell redirects (UTF-16).
-A's characters are passed over where they begin as an IP header's do; a payload that contains a
line of tcpdump's cannot be told from one.

A text is often edited by hand before it is published.  Where the line and the bytes below it
differ, each difference is a `Disagreement`; which of the two is believed, and why, is said in
`text_trust`.  When the bytes prove the addresses, the segment's flow is the one in the bytes, so
that an address edited in one line does not split a connection.

The segments of a line without bytes: `data` is b"" and `seq` is None where none is printed.
"""

from __future__ import annotations

import codecs
import itertools
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from ..errors import UnreadableInput
from .segment import Address, Segment, endpoints, reverse, text_flow
from .text_hex import MAX_BYTES, Header, find_header, read_row
from .text_line import MORE, Body, Nonsense, NotTcp, Summary, Tcp, read_addresses, read_summary
from .text_numbers import UNKNOWN, Known, Numbers
from .text_options import rebuild
from .text_time import Clock, Stamp, goes_back, is_delta
from .text_trust import Disagreement, Hosts, compare, display_name

CHUNK: Final = 1 << 16
"""Bytes asked for at once."""

MAX_LINE: Final = 1 << 14
"""Characters of a line that are looked at; tcpdump's have a few hundred."""

MAX_PROBLEMS: Final = 20
"""Lines that are told one by one; more are counted."""

MAX_DISAGREEMENTS: Final = 1000
"""Disagreements that are kept; more are counted in a problem's line."""

MAX_NAMES: Final = 100_000
"""Names of endpoints, and flows that names stand for, that are kept."""

MAX_PROTOCOLS: Final = 100
"""Protocols that are counted by name; what comes after is "other"."""

LOOK_AHEAD: Final = 500
"""Lines by which -ttt is told from -ttttt."""

# What tcpdump and a shell print around packets
_BANNER: Final = re.compile(
    r"tcpdump: |reading from file |(?:tcpdump: )?listening on |dropped privs |Warning: |data link type "
    r"|\^C|\d+ packets? (?:captured|received by filter|dropped by (?:kernel|interface))"
    r"|[$#%>]? ?(?:sudo )?tcpdump[ \t]|```"
)
_DROPPED: Final = re.compile(r"(?:\^C)?(\d{1,18}) packets? dropped by (kernel|interface)", re.ASCII)


def looks_like_text(head: bytes) -> bool:
    """Whether the first few kilobytes of a file are tcpdump's text: some line in it is a packet's,
    or one that tcpdump prints before the first."""
    for line in _decoder(head).decode(head, True).split("\n")[:200]:
        line = line[:MAX_LINE].rstrip()
        if line.startswith(("tcpdump: ", "listening on ", "reading from file ")):
            return True
        summary = read_summary(line)
        if summary is not None and (summary.stamp or " > " in line or line.startswith(("IP (tos ", "ARP, "))):
            return True
    return False


def read_text(stream: BinaryIO, name: str) -> TextCapture:
    """The capture that a binary stream of tcpdump's text holds.  `name` is for error messages."""
    return TextCapture(stream, name)


class _Packet:
    """A packet whose lines are being collected."""

    __slots__ = ("body", "broken", "data", "frame", "last", "line", "text", "time_ns")

    def __init__(self, frame: int, line: int, text: str, time_ns: int, body: Body) -> None:
        self.frame = frame
        self.line = line
        self.last = line  # the last line that told something of it
        self.text = text
        self.time_ns = time_ns
        self.body = body
        self.data = bytearray()
        self.broken = False


class TextCapture:
    """A transcript being read; `segments()` goes through it once.

    packets        packets met so far, of whatever protocol; frames are numbered by it, from 1
    other          those that are not TCP, or of which nothing of TCP is printed, by protocol
    problems       lines that make no sense, and what else is wrong: at most about 20 lines
    disagreements  where a line and the bytes below it differ
    names          what lines call an endpoint whose number their bytes prove: from its address and
                   port in bytes (6 or 18) to a host and a service of which at least one is a name
    drops          packets that tcpdump says it lost; None where it says nothing

    Memory: one small record a connection, whatever the size of the text.

    Error handling: what is wrong inside is told in `problems`.  `UnreadableInput` is raised only
    when the stream fails before there was any packet.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.packets = 0
        self.other: dict[str, int] = {}
        self.problems: list[str] = []
        self.disagreements: list[Disagreement] = []
        self.names: dict[bytes, Address] = {}
        self.drops: int | None = None
        self._stream = stream
        self._name = name
        self._clock = Clock(None)
        self._numbers = Numbers()
        self._hosts = Hosts()
        self._flows: dict[tuple[Address, Address], bytes] = {}
        self._proven: set[tuple[Address, Address]] = set()
        self._timed = False
        self._wrong = 0
        self._differ = 0

    def segments(self) -> Iterator[Segment]:
        """The TCP segments, in the text's order."""
        lines = self._lines()
        ahead, self._clock = _clock(lines)
        packet: _Packet | None = None
        characters = False  # inside -A's characters
        for number, line in itertools.chain(ahead, lines):
            if not line or line.isspace():
                continue
            if line[0] in " \t0" and packet is not None and self._continue(packet, number, line):
                continue
            summary = read_summary(line)
            if summary is None or (summary.stamp is None and self._timed):
                characters |= packet is not None and packet.last == number - 1 and line[0] in "E`"
                if not characters:
                    self._not_a_packet(number, line, packet)
                continue
            characters = False
            if packet is not None:
                segment = self._finish(packet)
                if segment is not None:
                    yield segment
            packet = self._start(number, line, summary)
        if packet is not None:
            segment = self._finish(packet)
            if segment is not None:
                yield segment

    # ---- lines

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines, with their numbers from 1; never more of one than `MAX_LINE` characters."""
        read = getattr(self._stream, "read1", self._stream.read)
        decoder: codecs.IncrementalDecoder | None = None
        number, rest, skipping, more = 0, "", False, True
        while more:
            try:
                chunk = read(CHUNK) or b""
            except (OSError, EOFError, ValueError, zlib.error) as error:
                said = getattr(error, "strerror", None) or error
                if not number:
                    raise UnreadableInput(f"{self._name}: cannot be read: {said}") from None
                self._problem(f"after line {number}: reading failed: {said}")
                chunk = b""
            more = bool(chunk)
            decoder = decoder or _decoder(chunk)
            lines = (rest + decoder.decode(chunk, not more)).split("\n")
            rest = lines.pop() if more else ""
            for line in lines:
                number += not skipping
                if not skipping:
                    yield number, self._cut(number, line)
                skipping = False
            if len(rest) > MAX_LINE:
                number += not skipping
                if not skipping:
                    yield number, self._cut(number, rest)
                rest, skipping = "", True

    def _cut(self, number: int, line: str) -> str:
        if len(line) > MAX_LINE:
            self._problem(f"line {number} is longer than {MAX_LINE} characters: the rest of it was not read")
            return line[:MAX_LINE]
        return line[:-1] if line.endswith("\r") else line

    def _not_a_packet(self, number: int, line: str, packet: _Packet | None) -> None:
        dropped = _DROPPED.match(line)
        if dropped is not None:
            self.drops = (self.drops or 0) + int(dropped[1])
            if self.drops and int(dropped[1]):
                self._problem(
                    f"line {number}: tcpdump says that {dropped[1]} packets were dropped by the {dropped[2]}"
                )
        elif line[0] in " \t" and packet is not None:
            packet.last = number  # more of what -v says of it
        elif not _BANNER.match(line):
            self._problem(f"line {number} is no line of tcpdump's: {_quoted(line)}")

    # ---- packets

    def _start(self, number: int, line: str, summary: Summary) -> _Packet:
        self.packets += 1
        self._timed = self._timed or summary.stamp is not None
        return _Packet(self.packets, number, line, self._clock.at(summary.stamp), summary.body)

    def _continue(self, packet: _Packet, number: int, line: str) -> bool:
        """Whether `line` goes on about `packet`: its addresses (-v), or its bytes."""
        if packet.body is MORE and line[0] == " ":
            body = read_addresses(line)
            if body is not None:
                packet.body = body
                packet.text = line
                packet.last = number
                return True
        row = read_row(line)
        if row is None:
            return False
        if packet.broken:
            return True
        if row.data is None:
            why = "its words are damaged"
        elif row.offset != len(packet.data):
            why = f"it begins at byte {row.offset} where byte {len(packet.data)} should follow"
        elif len(packet.data) < MAX_BYTES:
            packet.data += row.data
            return True
        else:
            why = f"more than {MAX_BYTES} bytes"
        packet.broken = True
        self._problem(f"line {number}: the bytes of frame {packet.frame} break off here: {why}")
        return True

    def _finish(self, packet: _Packet) -> Segment | None:
        """The segment that a packet's lines tell of, None when it is none."""
        body = packet.body
        if isinstance(body, Tcp):
            if body.remark:
                self._problem(f"line {packet.line}: {body.remark}")
            header = find_header(bytes(packet.data)) if packet.data else None
            return self._from_line(packet, body) if header is None else self._from_both(packet, body, header)
        if isinstance(body, NotTcp):
            name = body.protocol
            if name not in self.other and len(self.other) >= MAX_PROTOCOLS:
                name = "other"
            self.other[name] = self.other.get(name, 0) + 1
            return None
        why = body.why if isinstance(body, Nonsense) else "the line with its addresses is missing"
        self._problem(f"line {packet.line} makes no sense ({why}): {_quoted(packet.text)}")
        return None

    def _from_line(self, packet: _Packet, tcp: Tcp) -> Segment:
        key = tcp.source, tcp.destination
        flow = self._flows.get(key)
        if flow is None:
            flow = text_flow(*key)
            self._remember(key, flow)
        numbers = self._numbers.absolute(flow, tcp.flags, tcp.seq, tcp.ack)
        self._numbers.learn(flow, tcp.flags, numbers.seq, numbers.ack, tcp.length)
        options = rebuild(tcp.options, numbers.edge).raw
        return Segment(
            packet.frame,
            packet.time_ns,
            flow,
            tcp.flags,
            numbers.seq,
            numbers.ack or 0,
            tcp.window,
            tcp.length,
            options,
            b"",
            0,
        )

    def _from_both(self, packet: _Packet, tcp: Tcp, header: Header) -> Segment:
        proven, differ = self._hosts.decide(packet.frame, tcp, header)
        key = tcp.source, tcp.destination
        flow = proven or self._flows.get(key) or text_flow(*key)
        if proven is not None and key not in self._proven and len(self._proven) < MAX_NAMES:
            # a later line of this connection whose bytes are missing is the same connection
            self._proven.add(key)
            self._remember(key, proven)
            self._remember(key[::-1], reverse(proven))
            self._name_endpoints(tcp, proven)
        known = Known(header.seq, header.ack) if tcp.ack is not None else UNKNOWN._replace(seq=header.seq)
        numbers = self._numbers.absolute(flow, tcp.flags, tcp.seq, tcp.ack, known)
        options = rebuild(tcp.options, numbers.edge)
        believed, fields = compare(
            packet.frame, tcp, numbers.seq, numbers.ack, options.raw if options.exact else None, header
        )
        for each in (*differ, *fields):
            self._disagree(each)
        self._numbers.learn(flow, believed.flags, believed.seq, believed.ack, believed.length)
        return Segment(packet.frame, packet.time_ns, flow, *believed, header.data, header.tcp_at)

    def _remember(self, key: tuple[Address, Address], flow: bytes) -> None:
        if len(self._flows) < MAX_NAMES:
            self._flows[key] = flow

    def _name_endpoints(self, tcp: Tcp, flow: bytes) -> None:
        size = (len(flow) - 4) // 2
        printed = tcp.source, tcp.destination
        for at, true in enumerate(endpoints(flow)):
            name = display_name(printed[at], true)
            if name is not None and len(self.names) < MAX_NAMES:
                port = 2 * size + 2 * at
                self.names.setdefault(flow[at * size : (at + 1) * size] + flow[port : port + 2], name)

    # ---- what is wrong

    def _problem(self, text: str) -> None:
        self._wrong += 1
        if self._wrong <= MAX_PROBLEMS:
            self.problems.append(text)
        else:
            more = self._wrong - MAX_PROBLEMS
            self.problems[MAX_PROBLEMS:] = [
                f"and {more} more {'problem' if more == 1 else 'problems'} like these"
            ]

    def _disagree(self, disagreement: Disagreement) -> None:
        self._differ += 1
        if self._differ <= MAX_DISAGREEMENTS:
            self.disagreements.append(disagreement)
        elif self._differ == MAX_DISAGREEMENTS + 1:
            self._problem(f"more than {MAX_DISAGREEMENTS} disagreements: the ones after them are not kept")


def _decoder(head: bytes) -> codecs.IncrementalDecoder:
    """UTF-8 whatever it holds, or what PowerShell's redirection writes."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return codecs.getincrementaldecoder(encoding)("replace")


def _clock(lines: Iterator[tuple[int, str]]) -> tuple[list[tuple[int, str]], Clock]:
    """How to read the times, and the lines taken for it: no more than the first packet's, so that a
    pipe is read as it comes, unless its times are deltas."""
    ahead: list[tuple[int, str]] = []
    stamps: list[Stamp] = []
    for item in itertools.islice(lines, LOOK_AHEAD):
        ahead.append(item)
        summary = read_summary(item[1])
        if summary is not None and summary.stamp is not None:
            stamps.append(summary.stamp)
        if summary is not None and not (stamps and is_delta(stamps[0])):
            return ahead, Clock(None)
    return ahead, Clock(goes_back(stamps) if stamps else None)


def _quoted(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= 60 else line[:57] + "...")
