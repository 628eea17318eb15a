"""Which of a line and the bytes below it is believed: through the reader, and in the parts."""

from __future__ import annotations

import io
from typing import Any

import pytest

from testbed.wire.segment import Address, Segment, endpoints
from testbed.wire.text import TextCapture, read_text
from testbed.wire.text_hex import find_header
from testbed.wire.text_line import Tcp
from testbed.wire.text_trust import Disagreement, compare, display_name

from .text_packets import ACK, FIN, PSH, Spec, packet, printed, rows


def read(text: str) -> tuple[list[Segment], TextCapture]:
    capture = read_text(io.BytesIO(text.encode()), "made")
    return list(capture.segments()), capture


SPEC = Spec(flags=0x18, seq=100, ack=200, window=300, options=b"\1\1\1\0", payload=b"hello")
LINE = Tcp(Address("a", "1"), Address("b", "2"), 0x18, 1, 1, 300, 5, "")


def test_a_disagreement_is_one_sentence() -> None:
    found = Disagreement(3, "flags", "[F.] (FIN, ACK)", "[.] (ACK)", "text", "the TCP checksum f4e0 fits it")
    assert str(found) == (
        "frame 3: the line prints flags [F.] (FIN, ACK), the bytes below it say [.] (ACK); "
        "the line is believed because the TCP checksum f4e0 fits it"
    )


def test_line_and_bytes_that_agree_need_no_checksum() -> None:
    header = find_header(packet(SPEC._replace(checksum="zero")))
    assert header is not None
    believed, differ = compare(1, LINE, 100, 200, b"\1\1\1\0", header)
    assert differ == []
    assert believed == (0x18, 100, 200, 300, 5, b"\1\1\1\0")


def test_padding_of_options_is_no_disagreement() -> None:
    header = find_header(packet(SPEC))
    assert header is not None
    assert compare(1, LINE, 100, 200, b"\1\1\1\1", header)[1] == []
    assert compare(1, LINE, 100, 200, None, header)[1] == []
    assert [each.field for each in compare(1, LINE, 100, 200, b"\2\4\5\xb4", header)[1]] == ["options"]


def test_what_the_line_does_not_print_comes_from_the_bytes() -> None:
    header = find_header(packet(SPEC))
    assert header is not None
    believed, differ = compare(1, LINE._replace(seq=None), None, 200, None, header)
    assert (believed.seq, differ) == (100, [])


def test_several_edits_in_one_header_are_found_together() -> None:
    data = bytearray(packet(SPEC))
    data[27] ^= 1  # seq
    data[33] ^= 1  # FIN
    header = find_header(bytes(data))
    assert header is not None
    believed, differ = compare(1, LINE, 100, 200, None, header)
    assert [(each.field, each.trusted) for each in differ] == [("flags", "text"), ("seq", "text")]
    assert all("so the bytes were edited" in each.why for each in differ)
    assert (believed.flags, believed.seq) == (0x18, 100)


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        (Address("192.168.1.10", "idmgratm"), Address("10.0.0.1", "idmgratm")),
        (Address("localhost", "80"), Address("localhost", "80")),
        (Address("my.host", "http"), Address("my.host", "http")),
        (Address("10.0.0.1", "80"), None),
        (Address("192.168.1.10", "81"), None),
    ],
)
def test_only_names_are_kept_for_display(printed: Address, name: Address | None) -> None:
    assert display_name(printed, Address("10.0.0.1", "80")) == name


# ---- through the reader

SEGMENT = Spec(sport=50_000, dport=6378, flags=PSH | ACK, seq=1000, ack=5000, window=512, payload=b"PING")

EDITS = [
    ({"flags": "F."}, "flags", PSH | ACK, FIN | ACK),
    ({"seq": 1001}, "seq", 1000, 1001),
    ({"ack": 5001}, "ack", 5000, 5001),
    ({"win": 0}, "win", 512, 0),
]


def _value(segment: Segment, field: str) -> object:
    return segment.window if field == "win" else getattr(segment, field)


@pytest.mark.parametrize(("edit", "field", "true", "edited"), EDITS)
def test_an_edited_line_is_not_believed_when_the_checksum_fits_the_bytes(
    edit: dict[str, Any], field: str, true: object, edited: object
) -> None:
    segments, capture = read(printed(SEGMENT, **edit) + rows(packet(SEGMENT)))
    assert _value(segments[0], field) == true
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == (field, "hex")
    assert "fits the bytes" in found.why


@pytest.mark.parametrize(("edit", "field", "true", "edited"), EDITS)
@pytest.mark.parametrize("checksum", ["partial", "zero"])
def test_an_edited_line_is_believed_when_no_checksum_speaks_for_the_bytes(
    edit: dict[str, Any], field: str, true: object, edited: object, checksum: str
) -> None:
    segments, capture = read(printed(SEGMENT, **edit) + rows(packet(SEGMENT._replace(checksum=checksum))))
    assert _value(segments[0], field) == edited
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == (field, "text")
    assert ("partial sum" if checksum == "partial" else "fits neither") in found.why


@pytest.mark.parametrize("at", [27, 31, 33, 35])  # in seq, ack, flags, window
def test_edited_bytes_are_found_out_by_the_checksum_they_still_carry(at: int) -> None:
    data = bytearray(packet(SEGMENT))
    data[at] ^= 1
    segments, capture = read(printed(SEGMENT) + rows(bytes(data)))
    got = segments[0]
    assert (got.flags, got.seq, got.ack, got.window) == (PSH | ACK, 1000, 5000, 512)
    (found,) = capture.disagreements
    assert found.trusted == "text"
    assert "so the bytes were edited" in found.why


def test_a_length_is_what_the_ip_checksum_proves() -> None:
    segments, capture = read(printed(SEGMENT._replace(checksum="zero"), length=40) + rows(packet(SEGMENT)))
    assert segments[0].length == 4
    assert [(found.field, found.trusted) for found in capture.disagreements] == [("length", "hex")]


def test_addresses_are_the_lines_when_no_checksum_proves_the_bytes() -> None:
    data = bytearray(packet(SEGMENT._replace(checksum="zero")))
    data[10] ^= 0xFF  # the IP header's checksum
    segments, capture = read(printed(SEGMENT, source="192.168.1.1") + rows(bytes(data)))
    assert endpoints(segments[0].flow)[0] == Address("192.168.1.1", "50000")
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == ("addresses", "text")


def test_ipv6_addresses_are_proven_by_the_tcp_checksum() -> None:
    six = SEGMENT._replace(source="::1", destination="fe80::2", checksum="partial")
    segments, capture = read(printed(six, destination="fe80::3") + rows(packet(six)))
    assert segments[0].flow == six.flow
    (found,) = capture.disagreements
    assert (found.field, found.trusted) == ("addresses", "hex")
    assert "pseudo-header" in found.why


def test_a_name_contradicts_no_number_and_is_kept_for_display() -> None:
    segments, capture = read(printed(SEGMENT, source="my.host", dport="snapp") + rows(packet(SEGMENT)))
    assert segments[0].flow == SEGMENT.flow
    assert capture.disagreements == []
    assert capture.names == {
        bytes([10, 0, 0, 1]) + (50_000).to_bytes(2, "big"): Address("my.host", "50000"),
        bytes([10, 0, 0, 2]) + (6378).to_bytes(2, "big"): Address("10.0.0.2", "snapp"),
    }


def test_a_line_whose_bytes_are_missing_stays_in_its_connection() -> None:
    answer = SEGMENT._replace(
        source="10.0.0.2", destination="10.0.0.1", sport=6378, dport=50_000, seq=5000, ack=1004
    )
    text = printed(SEGMENT, source="192.168.1.1") + rows(packet(SEGMENT))
    text += printed(answer, destination="192.168.1.1")
    segments, _ = read(text)
    assert [segment.flow for segment in segments] == [SEGMENT.flow, answer.flow]
    assert segments[1].data == b""


def test_a_replaced_address_is_reported_once() -> None:
    once = printed(SEGMENT, source="192.168.1.1") + rows(packet(SEGMENT))
    segments, capture = read(once * 50)
    assert len(segments) == 50
    assert len(capture.disagreements) == 1


def test_edited_ports_are_seen() -> None:
    segments, capture = read(printed(SEGMENT, dport=6379) + rows(packet(SEGMENT)))
    assert segments[0].flow == SEGMENT.flow
    assert [(found.field, found.text, found.hex) for found in capture.disagreements] == [
        ("ports", "50000 > 6379", "50000 > 6378")
    ]


def test_ports_edited_in_the_bytes_are_found_out() -> None:
    data = bytearray(packet(SEGMENT))
    data[23] ^= 1
    segments, capture = read(printed(SEGMENT) + rows(bytes(data)))
    assert segments[0].flow == SEGMENT.flow
    assert [(found.field, found.trusted) for found in capture.disagreements][:1] == [("ports", "text")]


def test_reserved_bits_that_tcpdump_does_not_print_are_no_disagreement() -> None:
    odd = SEGMENT._replace(flags=PSH | ACK | 0x100)
    segments, capture = read(printed(odd, flags="P.") + rows(packet(odd)))
    assert segments[0].flags == PSH | ACK | 0x100
    assert capture.disagreements == []
