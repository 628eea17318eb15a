"""One line of tcpdump's text: is it a packet, and what does it say of a TCP segment?

    [number] [time] [interface In|Out] [link header] IP[6] [(tos 0x0, ...)] SOURCE > DESTINATION:
        Flags [P.], [cksum ...,] [seq 1:105,] [ack 1,] win 6379, [urg 1,] [options [...],] length 104

An endpoint is a host, a dot and a port; hosts have dots too, so that the last one counts.  Either
may be a name, and stays one: nothing is ever looked up.  With -v the addresses of an IPv4 packet
stand on the next line, after four blanks (`MORE`).

tcpdump 3 wrote ``S 123:123(0) ack 2 win 5840 <mss 1460>`` after the addresses; that is read too.
Segments that -q prints (``tcp 104``: no flags) say nothing of a life cycle and are not read.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import Final, Literal, NamedTuple

from .notation import LETTERS
from .segment import ACK, URG, Address
from .seq import MASK
from .text_time import STAMP, Stamp, stamp

MAX_LENGTH: Final = 1 << 24
"""Bytes of payload beyond which a printed length is nonsense (the largest super-segments are 512 KiB)."""


MAX_ARROWS: Final = 8
"""Places in a line where its addresses are looked for."""


class Tcp(NamedTuple):
    """A TCP segment as printed: numbers absolute or relative, just as they stand there.

    seq      None where none is printed; ack None without the ACK flag
    options  what stands between the brackets
    remark   how the line contradicts itself, usually ""
    """

    source: Address
    destination: Address
    flags: int
    seq: int | None
    ack: int | None
    window: int
    length: int
    options: str
    remark: str = ""


class NotTcp(NamedTuple):
    """A packet of another kind, by name."""

    protocol: str


class Nonsense(NamedTuple):
    """A line that begins as a packet but does not go on as one."""

    why: str


class More(enum.Enum):
    """The addresses and all that follows stand on the next line (-v)."""

    MORE = "more"


MORE: Final = More.MORE

Body = Tcp | NotTcp | Nonsense | Literal[More.MORE]


class _Pair(NamedTuple):
    """Two addresses, and where what follows them begins."""

    source: str
    destination: str
    at: int


class Summary(NamedTuple):
    """The first line of a packet."""

    stamp: Stamp | None
    body: Body


# blanks before the time: pasted text may be indented, but a tab would be a payload shown by -v
_HEAD = re.compile(rf"(?P<blanks> {{0,8}})(?:\d{{1,9}}  (?P<again> ?))?{STAMP}\s+", re.ASCII)
_NUMBER = re.compile(r" {0,4}\d{1,9}  (?=\S)", re.ASCII)

# What a packet's line begins with after its time, or at all when it has none (-t)
_MAC = r"(?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2}"
_PACKET = re.compile(
    rf"""\ {{0,3}}(?:\S{{1,32}}\s+)?(?:In|Out|B|M|P)\s+(?:IP6?|ARP|ifindex|{_MAC}|unknown)\b
       | IP6?\s | ip6?:\s | ethertype\s | AF\s\S | {_MAC}\s
       | A?RP[,\s] | RARP[,\s] | LLDP[,\s] | STP\s | LLC[,\s] | LACP | EAPOL | EAP\s | PPPoE | MPLS | IPX
       | 802\.[13] | Loopback | CDPv | IS-IS | \[\|""",
    re.VERBOSE | re.ASCII,
)

_TAIL = re.compile(
    r"""(?P<flags>[^\]\s]{1,16})\]
        (?:,\ cksum\ 0x[0-9a-f]{1,4}\ \([^)]{0,40}\))?
        (?:,\ seq\ (?P<seq>\d{1,10})(?::(?P<end>\d{1,10}))?)?
        (?:,\ ack\ (?P<ack>\d{1,10}))?
        (?:,\ win\ (?P<win>\d{1,5}))?
        (?:,\ urg\ \d{1,5})?""",
    re.VERBOSE | re.ASCII,
)
_LENGTH = re.compile(r",\s*length:? (\d{1,10})", re.ASCII)

_OLD = re.compile(
    r"""(?P<flags>\.|[SFRPWE]{1,6}),?
        (?:\ \[[^\]]{0,60}\]|\ cksum\ 0x[0-9a-f]{1,4}\ \([^)]{0,40}\),)?
        (?:\ (?P<seq>\d{1,10}):(?P<end>\d{1,10})\((?P<length>\d{1,10})\))?
        (?:\ ack\ (?P<ack>\d{1,10}))?
        \ win\ (?P<win>\d{1,5})
        (?P<urg>\ urg\ \d{1,5})?
        (?:\ <(?P<options>[^>]{0,400})>)?""",
    re.VERBOSE | re.ASCII,
)

_PROTOCOL = re.compile(r"(?:proto:?|next-header) ([A-Za-z][\w-]{0,20}|unknown) \((\d{1,3})\)", re.ASCII)
_ETHERTYPE = re.compile(r"ethertype ([A-Za-z][\w.-]{0,20})", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,20}", re.ASCII)

_BARE_HOST = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}:[0-9a-f:]*:[0-9a-f]{0,4}", re.ASCII)

_BITS: Final = {letter: 1 << bit for bit, letter in enumerate(LETTERS[:9])}

# tcpdump's words for what follows the addresses, by the names that the binary decoder uses
_NAMES: Final = {
    "UDP": "UDP", "ICMP": "ICMP", "ICMP6": "ICMPv6", "ICMPv6": "ICMPv6", "IGMP": "IGMP", "igmp": "IGMP",
    "GREv0": "GRE", "GREv1": "GRE", "GRE": "GRE", "ESP": "ESP", "AH": "AH", "EIGRP": "EIGRP",
    "OSPFv2": "OSPF", "OSPFv3": "OSPF", "OSPF": "OSPF", "VRRPv2": "VRRP", "VRRPv3": "VRRP", "VRRP": "VRRP",
    "PIMv1": "PIM", "PIMv2": "PIM", "PIM": "PIM", "RSVPv1": "RSVP", "RSVP": "RSVP", "sctp": "SCTP",
    "SCTP": "SCTP", "DCCP": "DCCP", "L2TP": "L2TP", "ARP": "ARP", "RARP": "RARP", "LLDP": "LLDP",
    "EAPOL": "EAPOL",
}  # fmt: skip


def read_summary(line: str) -> Summary | None:
    """The packet that `line` is the first line of; None when it is no such line."""
    head = _HEAD.match(line)
    if head is None:
        number = _NUMBER.match(line)
        rest = line[number.end() :] if number else line
        return Summary(None, _body(rest)) if _PACKET.match(rest) else None
    blank = head["again"] if head["again"] is not None else head["blanks"]
    time = stamp(head, spaced=blank == " ")
    rest = line[head.end() :]
    if time is None:
        return None
    body = _body(rest)
    if type(body) is NotTcp and not (_PACKET.match(rest) or " > " in rest or _LENGTH.search(rest)):
        return None  # some program's log
    return Summary(time, body)


def read_addresses(line: str) -> Body | None:
    """The second line of a packet that -v prints on two; None when `line` is none."""
    return _body(line) if line.startswith("    ") and " > " in line else None


def _body(rest: str) -> Body:
    at = rest.find(": Flags [")
    if at > 0:
        arrow = rest.rfind(" > ", 0, at)
        if arrow > 0:
            return _new_style(rest, rest[rest.rfind(" ", 0, arrow) + 1 : arrow], rest[arrow + 3 : at], at + 9)
    pair = _pair(rest)
    if pair is not None:
        old = _OLD.match(rest, pair.at)
        if old is not None:
            return _old_style(pair.source, pair.destination, old)
    return _other(rest, pair)


def _pair(rest: str) -> _Pair | None:
    """The first ``A > B: ``; a link header's addresses (-e) are followed by a comma.

    Without a regular expression, because one would take quadratic time on a hostile line.
    """
    arrow = -1
    for _ in range(MAX_ARROWS):
        arrow = rest.find(" > ", arrow + 1)
        if arrow < 0:
            return None
        colon = rest.find(": ", arrow)
        destination = rest[arrow + 3 : colon]
        source = rest[rest.rfind(" ", 0, arrow) + 1 : arrow]
        if colon > 0 and source and destination and " " not in destination:
            at = colon + 2
            return _Pair(source, destination, at + (rest[at : at + 1] == " "))
    return None


@functools.lru_cache(maxsize=8192)
def _endpoint(text: str) -> Address | None:
    host, dot, port = text.rpartition(".")
    return Address(host, port) if dot and host and port and text.isprintable() else None


def _new_style(rest: str, source: str, destination: str, at: int) -> Tcp | Nonsense:
    tail = _TAIL.match(rest, at)
    if tail is None:
        return Nonsense("its flags make no sense")
    flags = 0
    if tail["flags"] != "none":
        for letter in tail["flags"]:
            bit = _BITS.get(letter)
            if bit is None:
                return Nonsense(f"{letter!r} is no flag of tcpdump's")
            flags |= bit
    at, options = tail.end(), ""
    if rest.startswith(", options [", at):
        # an option may have brackets of its own; the list ends where the length begins
        end = rest.find("], length ", at)
        options = rest[at + 11 : end] if end > 0 else rest[at + 11 :].rstrip().removesuffix("]")
        at = end + 1 if end > 0 else len(rest)
    length = _LENGTH.match(rest, at)
    return _tcp(source, destination, flags, tail, length[1] if length else None, options)


def _old_style(source: str, destination: str, old: re.Match[str]) -> Tcp | Nonsense:
    flags = 0 if old["flags"] == "." else sum(_BITS[letter] for letter in set(old["flags"]))
    # tcpdump 3 had no letter for these two: it printed their fields
    flags |= (ACK if old["ack"] else 0) | (URG if old["urg"] else 0)
    return _tcp(source, destination, flags, old, old["length"], old["options"] or "")


def _tcp(
    source: str, destination: str, flags: int, found: re.Match[str], length: str | None, options: str
) -> Tcp | Nonsense:
    here, there = _endpoint(source), _endpoint(destination)
    if here is None or there is None:
        return Nonsense(f"{(destination if here else source)[:80]!r} is no host and port")
    seq = None if found["seq"] is None else int(found["seq"])
    end = None if found["end"] is None else int(found["end"])
    ack = None if found["ack"] is None else int(found["ack"])
    if found["win"] is None:
        return Nonsense("no window is printed")
    window = int(found["win"])
    if max(seq or 0, end or 0, ack or 0) > MASK or window > 0xFFFF:
        return Nonsense("a number is larger than its field")
    if (ack is None) == bool(flags & ACK):
        return Nonsense(
            "the ACK flag is there without 'ack N'" if ack is None else "'ack N' without the ACK flag"
        )
    counted = (end - seq) & MASK if seq is not None and end is not None else None
    size = int(length) if length is not None else counted or 0
    if size > MAX_LENGTH:
        return Nonsense(f"a length of {size} bytes")
    remark = (
        f"seq {seq}:{end} is {counted} bytes, the length says {size}" if (counted or size) != size else ""
    )
    return Tcp(here, there, flags, seq, ack, window, size, options, remark)


def _other(rest: str, pair: _Pair | None) -> NotTcp | Nonsense | Literal[More.MORE]:
    """What a packet is that prints no TCP flags."""
    said = _PROTOCOL.search(rest)
    text = rest[pair.at :] if pair else rest
    if said is not None and said[2] == "6" and pair is None:
        return MORE
    if "[|tcp]" in text:
        return NotTcp("TCP header cut")
    if "[bad hdr length" in text:
        return NotTcp("malformed TCP")
    if pair is not None and text[:4].lower() == "tcp ":
        return NotTcp("TCP without flags (tcpdump -q)")
    if ": Flags [" in rest:
        return Nonsense("flags without addresses before them")
    if said is not None:
        return NotTcp(_NAMES.get(said[1]) or f"IP protocol {said[2]}")
    if text.startswith("ip-proto-"):
        return NotTcp("IP protocol " + text[9:12].split(" ")[0])
    if " [|ip" in rest:
        return NotTcp("undecodable")
    word = _WORD.match(text)
    ethertype = _ETHERTYPE.search(rest)
    if pair is None or not _has_ports(pair):
        name = ethertype[1] if ethertype and pair is None else word[0] if word else "unknown"
        return NotTcp(_NAMES.get(name) or name)
    # with ports, and no TCP: what tcpdump prints of DNS, NTP and the like does not name UDP
    return NotTcp(_NAMES.get(word[0], "UDP") if word else "UDP")


def _has_ports(pair: _Pair) -> bool:
    """Whether the endpoints have ports: an IPv4 address of four numbers has none."""
    return not any(_BARE_HOST.fullmatch(end) for end in (pair.source, pair.destination))
