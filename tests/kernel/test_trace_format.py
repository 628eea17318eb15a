"""The kernel's own descriptions, read: Linux 6.18's as they are, 5.10's (tests/kernel/formats)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from testbed.kernel.events import REASONS
from testbed.kernel.trace_format import (
    Field,
    FormatError,
    Layout,
    PageLayout,
    parse_format,
    parse_page_header,
)

from . import ring

FORMATS = Path(__file__).parent / "formats"


def layout(name: str, kernel: str = "6.18") -> Layout:
    return parse_format((FORMATS / kernel / f"{name}.txt").read_text())


def test_fields_are_where_the_kernel_says() -> None:
    state = layout("inet_sock_set_state")
    assert state.id == 2287
    assert state.fields["common_type"] == Field(0, 2, False)
    assert state.fields["common_pid"] == Field(4, 4, True)
    assert state.fields["skaddr"] == Field(8, 8, False)  # const void *
    assert state.fields["daddr_v6"] == Field(56, 16, False)  # __u8 [16]
    assert len(state.fields) == 15
    assert layout("tcp_send_reset").fields["reason"] == Field(28, 4, False)  # enum sk_rst_reason
    assert layout("tcp_send_reset", "5.10").fields["saddr_v6"] == Field(40, 16, False)


def test_numbers_with_names_are_named() -> None:
    symbols = layout("tcp_send_reset").symbols
    assert symbols["reason"][1] == "NO_SOCKET"
    assert symbols["reason"][25] == "MAX"
    assert len(symbols["reason"]) == 26
    states = layout("inet_sock_set_state").symbols
    assert states["oldstate"] == states["newstate"]
    assert states["newstate"][12] == "TCP_NEW_SYN_RECV"
    assert states["family"] == {2: "AF_INET", 10: "AF_INET6"}


def test_every_reason_that_is_explained_is_one_of_the_kernels() -> None:
    named = set(layout("tcp_send_reset").symbols["reason"].values())
    assert set(REASONS) <= named
    others = {"NOT_SPECIFIED", "ERROR", "MAX"}
    assert {name for name in named - set(REASONS) if not name.startswith("MPTCP_")} == others


def test_names_that_the_kernel_did_not_put_numbers_to_are_none() -> None:
    assert layout("tcp_retransmit_skb", "5.10").symbols["state"] == {}


def test_a_reader_gives_the_fields_in_the_order_asked_for() -> None:
    state = layout("inet_sock_set_state")
    record = struct.pack("<HBBiQiiHHHH", 2287, 0, 0, -7, 1 << 63, -1, 12, 80, 65535, 2, 6) + bytes(40)
    assert state.reader("skaddr", "oldstate", "newstate", "dport")(record) == (1 << 63, -1, 12, 65535)
    assert state.reader("dport", "common_pid", "sport")(record) == (65535, -7, 80)
    assert state.reader("saddr")(record) == (0,)  # 4 bytes: a number
    assert state.reader("saddr_v6")(record) == (bytes(16),)
    assert state.reader()(record) == ()


def test_a_record_that_is_too_short_is_a_struct_error() -> None:
    read = layout("inet_sock_set_state").reader("dport")
    assert read(bytes(28)) == (0,)
    with pytest.raises(struct.error):
        read(bytes(27))


def test_a_field_that_is_not_there_is_named() -> None:
    with pytest.raises(FormatError, match="tracepoint 1234 has no field reason"):
        layout("tcp_send_reset", "5.10").reader("skaddr", "reason")


def test_fields_that_overlap_cannot_be_read_together() -> None:
    with pytest.raises(FormatError, match="overlap"):
        layout("inet_sock_set_state").reader("sport", "sport")


@pytest.mark.parametrize(
    "text", ["", "ID: 3\n", "field:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;"]
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="not the description of a tracepoint"):
        parse_format(text)


def test_the_head_of_a_page() -> None:
    assert parse_page_header((FORMATS / "6.18/header_page.txt").read_text()) == PageLayout(
        Field(8, 8, True), 16
    )
    assert parse_page_header(ring.HEADER_32) == PageLayout(Field(8, 4, True), 12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ring.HEADER.replace("timestamp;\toffset:0;\tsize:8", "timestamp;\toffset:0;\tsize:4"),
        ring.HEADER.replace("commit;\toffset:8;\tsize:8", "commit;\toffset:8;\tsize:2"),
        ring.HEADER.replace("data;\toffset:16", "data;\toffset:24"),
        ring.HEADER.replace("char data", "char other"),
    ],
)
def test_a_head_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="a head that is not understood"):
        parse_page_header(text)
