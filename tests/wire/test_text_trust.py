"""Disagreements in words, and names for display.  Which side is believed is tested in test_text."""

from __future__ import annotations

import pytest

from testbed.wire.segment import Address
from testbed.wire.text_hex import find_header
from testbed.wire.text_line import Tcp
from testbed.wire.text_trust import Disagreement, compare, display_name

from .text_packets import Spec, packet

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
