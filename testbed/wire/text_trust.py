"""Where a printed line and the bytes below it disagree: which of the two is believed, and why.

Both come from one packet, so a difference means that somebody edited one of them.  Checksums are
what a hand that edits does not think of; they decide, field by field:

field                what decides
addresses, ports     The bytes, when the IP header's checksum fits (or TCP's, which covers the
                     addresses too): it proves that these are the addresses the packet had.
                     Otherwise the line.
length               The bytes, when one of these checksums fits: both cover the packet's length.
flags, seq, ack,     The bytes, when the TCP checksum fits them.  Otherwise the line; and when the
win, options         checksum fits once the line's values are put in the header, the bytes are
                     proven to be the edited ones.

A checksum that fits neither way may be no checksum yet: a sender that leaves the sum to its network
card writes the sum over the pseudo-header there, and a capture on that sender shows it.  It is
recognised exactly, and proves addresses and length, nothing else.

What the line does not print (the sequence number of a segment without data) and the bytes show, is
taken from the bytes; a name (``localhost``, ``snapp``) contradicts no number.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Literal, NamedTuple

from .notation import flag_letters, flag_names
from .segment import Address, endpoints
from .text_hex import Header, Proof
from .text_line import Tcp

MAX_HOSTS: Final = 10_000
"""Pairs of addresses that are remembered, so that each is reported once."""

Side = Literal["text", "hex"]

_PRINTED_FLAGS: Final = 0x0FF  # tcpdump 4.99 has no letter for AE and the reserved bits


class Disagreement(NamedTuple):
    """One field in which a line and the bytes below it differ.

    frame      the packet's number in the text, from 1
    field      addresses, ports, flags, seq, ack, win, length or options
    text, hex  what each of the two says, for a reader
    trusted    which of them is believed
    why        a clause that follows "because"
    """

    frame: int
    field: str
    text: str
    hex: str
    trusted: Side
    why: str

    def __str__(self) -> str:
        believed = "the bytes are" if self.trusted == "hex" else "the line is"
        return (
            f"frame {self.frame}: the line prints {self.field} {self.text}, the bytes below it say "
            f"{self.hex}; {believed} believed because {self.why}"
        )


class Believed(NamedTuple):
    """The values of a segment that both tell of, after `compare`."""

    flags: int
    seq: int | None
    ack: int
    window: int
    length: int
    options: bytes


def compare(
    frame: int, tcp: Tcp, seq: int | None, ack: int | None, options: bytes | None, header: Header
) -> tuple[Believed, list[Disagreement]]:
    """What to believe of a segment, and where its line and its bytes differ (addresses apart).

    tcp         as printed
    seq, ack    its numbers made absolute, None where none is printed
    options     rebuilt from the line; None where they cannot be compared
    """
    flags = tcp.flags | header.flags & ~_PRINTED_FLAGS
    line = Believed(
        flags=flags,
        seq=header.seq if seq is None else seq,
        ack=header.ack if ack is None else ack,
        window=tcp.window,
        length=tcp.length,
        options=header.options if options is None or _same_options(options, header.options) else options,
    )
    shown = Believed(header.flags, header.seq, header.ack, header.window, header.length, header.options)
    if line == shown:
        return shown, []
    side, why = _verdict(line, header)
    differ = []
    for field, text, bytes_, printed in (
        ("flags", line.flags, shown.flags, _flags),
        ("seq", line.seq, shown.seq, str),
        ("ack", line.ack, shown.ack, str),
        ("win", line.window, shown.window, str),
        ("options", line.options, shown.options, _hex),
    ):
        if text != bytes_:
            differ.append(Disagreement(frame, field, printed(text), printed(bytes_), side, why))
    length = line.length
    if length != shown.length:
        proven = header.addresses_proven
        reason = (
            f"{_which_checksum(header)} fits, and it covers the length"
            if proven
            else f"no checksum proves it: {why}"
        )
        trusted: Side = "hex" if proven else "text"
        differ.append(Disagreement(frame, "length", str(length), str(shown.length), trusted, reason))
        length = shown.length if proven else length
    believed = shown if side == "hex" else line
    return believed._replace(length=length), differ


def _verdict(line: Believed, header: Header) -> tuple[Side, str]:
    checksum = f"the TCP checksum {header.checksum:04x}"
    if header.proof is Proof.FITS:
        return "hex", f"{checksum} fits the bytes as they are"
    if header.fits_with(line.seq or 0, line.ack, line.flags, line.window, line.options):
        return "text", f"{checksum} fits what the line prints and not the bytes, so the bytes were edited"
    if header.proof is Proof.PARTIAL:
        partial = "is only an offload's partial sum over the pseudo-header, which proves nothing of the rest"
        return "text", f"{checksum} {partial}"
    if header.proof is Proof.CUT:
        return "text", f"{checksum} cannot be verified, as not all of the segment is shown"
    return "text", f"{checksum} fits neither of the two"


def _which_checksum(header: Header) -> str:
    if header.ip_fits:
        return "the IP header's checksum"
    return f"the {'TCP' if header.proof is Proof.FITS else 'pseudo-header'} checksum {header.checksum:04x}"


def _flags(flags: int | bytes | None) -> str:
    assert isinstance(flags, int)
    return f"[{flag_letters(flags)}] ({flag_names(flags)})"


def _hex(raw: int | bytes | None) -> str:
    return raw.hex(" ", 4) or "none" if isinstance(raw, bytes) else str(raw)


def _same_options(rebuilt: bytes, raw: bytes) -> bool:
    """Whether the options are the same but for what pads them."""
    return rebuilt == raw or (rebuilt.rstrip(b"\0\1") == raw.rstrip(b"\0\1") and len(rebuilt) == len(raw))


class Hosts:
    """Decides whose addresses to believe, and says once for each pair that they were replaced."""

    def __init__(self) -> None:
        self._reported: set[tuple[tuple[str, str], ...]] = set()
        self._printed: dict[str, str] = {}  # by the bytes' host, the one that was printed for it first

    def decide(self, frame: int, tcp: Tcp, header: Header) -> tuple[bytes | None, list[Disagreement]]:
        """The flow that the bytes tell of, None when the line's addresses are to be believed; and in
        what the two differ."""
        source, destination = endpoints(header.flow)
        differ: list[Disagreement] = []
        proven = header.addresses_proven
        hosts = ((tcp.source.host, source.host), (tcp.destination.host, destination.host))
        ports = ((tcp.source.port, source.port), (tcp.destination.port, destination.port))
        wrong_hosts = any(_contradict_hosts(*pair) for pair in hosts)
        wrong_ports = any(_contradict_ports(*pair) for pair in ports)
        if not (wrong_hosts or wrong_ports):
            return header.flow, differ
        trusted: Side = "hex" if proven else "text"
        why = f"{_which_checksum(header)} fits" if proven else "no checksum in the bytes fits"
        if wrong_hosts and self._is_news(tuple(sorted(set(hosts)))):
            differ.append(_replaced(frame, "addresses", hosts, trusted, why + self._notes(hosts)))
        true_ports = header.ports
        if wrong_ports:
            printed_ports = _printed_ports(tcp, header)
            if proven and header.proof is not Proof.FITS and header.fits_with_ports(printed_ports):
                true_ports = printed_ports
                trusted = "text"
                why = f"the TCP checksum {header.checksum:04x} fits the line's, so the bytes were edited"
            if self._is_news(tuple(sorted({*ports, ("port", trusted)}))):
                differ.append(_replaced(frame, "ports", ports, trusted, why))
        return header.addresses + true_ports if proven else None, differ

    def _is_news(self, pair: tuple[tuple[str, str], ...]) -> bool:
        if pair in self._reported or len(self._reported) >= MAX_HOSTS:
            return False
        self._reported.add(pair)
        return True

    def _notes(self, hosts: tuple[tuple[str, str], ...]) -> str:
        """What makes a replaced address worse than replaced: it names two hosts, or two name one."""
        notes = ""
        (source, true_source), (destination, true_destination) = hosts
        if source == destination and true_source != true_destination:
            notes = f" (the line calls both ends {source})"
        for printed, true in hosts:
            before = self._printed.get(true, printed)
            if before != printed:
                notes += f" ({true} was called {before} before)"
            elif len(self._printed) < MAX_HOSTS:
                self._printed[true] = printed
        return notes


def _replaced(
    frame: int, field: str, pairs: tuple[tuple[str, str], ...], trusted: Side, why: str
) -> Disagreement:
    (source, true_source), (destination, true_destination) = pairs
    return Disagreement(
        frame, field, f"{source} > {destination}", f"{true_source} > {true_destination}", trusted, why
    )


def _printed_ports(tcp: Tcp, header: Header) -> bytes:
    """The line's ports as they would stand in the header; a name's is the one in the bytes."""
    ports = b""
    for at, printed in enumerate((tcp.source.port, tcp.destination.port)):
        number = int(printed) if printed.isdecimal() and len(printed) < 6 else -1
        ports += number.to_bytes(2, "big") if 0 <= number <= 0xFFFF else header.ports[2 * at : 2 * at + 2]
    return ports


def _contradict_hosts(printed: str, true: str) -> bool:
    if printed == true:
        return False
    try:
        return str(ipaddress.ip_address(printed)) != true
    except ValueError:
        return False  # a name


def _contradict_ports(printed: str, true: str) -> bool:
    return printed != true and printed.isdecimal()


def display_name(printed: Address, true: Address) -> Address | None:
    """What a line calls an endpoint: its name for the host, the service, or both; None for neither."""
    try:
        ipaddress.ip_address(printed.host)
        host = true.host
    except ValueError:
        host = printed.host
    port = true.port if printed.port.isdecimal() else printed.port
    return Address(host, port) if (host, port) != tuple(true) else None
