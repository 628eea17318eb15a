"""Relative and absolute numbers: what the real tcpdump prints is tested in test_text_tcpdump; here
is what a text can be besides, because a hand left lines out."""

from __future__ import annotations

import pytest

from testbed.wire.segment import Address, reverse, text_flow
from testbed.wire.text_numbers import Known, Numbers

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
THERE = text_flow(Address("client", "1"), Address("server", "2"))
BACK = reverse(THERE)
C, S = 810246547, 4021342427  # the ISNs of the published RPC transcript


class Reading:
    """Feeds segments to `Numbers` as the reader does."""

    def __init__(self) -> None:
        self.numbers = Numbers()

    def __call__(
        self,
        flow: bytes,
        flags: int,
        seq: int | None = None,
        ack: int | None = None,
        length: int = 0,
        known: Known | None = None,
    ) -> tuple[int | None, int | None]:
        found = self.numbers.absolute(flow, flags, seq, ack, known or Known())
        self.numbers.learn(flow, flags, found.seq, found.ack, length)
        return found.seq, found.ack


@pytest.fixture
def read() -> Reading:
    return Reading()


def test_relative_numbers_after_a_handshake(read: Reading) -> None:
    assert read(THERE, SYN, C) == (C, None)
    assert read(BACK, SYN | ACK, S, C + 1) == (S, C + 1)
    assert read(THERE, ACK, None, 1) == (None, S + 1)
    assert read(THERE, PSH | ACK, 1, 1, 104) == (C + 1, S + 1)
    assert read(BACK, ACK, 254, 105, 1) == (S + 254, C + 105)
    assert read(BACK, ACK, 2**32 - 1, 105, 1) == (S - 1, C + 105)  # before its own ISN


def test_absolute_numbers_after_a_handshake(read: Reading) -> None:
    read(THERE, SYN, C)
    read(BACK, SYN | ACK, S, C + 1)
    assert read(THERE, ACK, None, S + 1) == (None, S + 1)
    assert read(THERE, PSH | ACK, C + 1, S + 1, 104) == (C + 1, S + 1)


def test_each_connection_is_judged_by_itself(read: Reading) -> None:
    other = text_flow(Address("client", "3"), Address("server", "2"))
    read(THERE, SYN, C)
    read(BACK, SYN | ACK, S, C + 1)
    assert read(THERE, ACK, None, 1) == (None, S + 1)
    read(other, SYN, 77_000_000)
    read(reverse(other), SYN | ACK, 99_000_000, 77_000_001)
    assert read(other, ACK, None, 99_000_001) == (None, 99_000_001)
    assert read(THERE, FIN | ACK, 1, 1) == (C + 1, S + 1)


def test_the_answer_to_the_syn_was_left_out(read: Reading) -> None:
    read(THERE, SYN, C)
    assert read(THERE, ACK, None, 1) == (None, 1)
    assert read(THERE, PSH | ACK, 1, 1, 104) == (C + 1, 1)
    assert read(THERE, FIN | ACK, 105, 255) == (C + 105, 255)


def test_the_answer_to_the_syn_was_not_captured(read: Reading) -> None:
    """tcpdump then prints the first segment with ACK absolute, and takes it for the base."""
    read(THERE, SYN, C)
    assert read(THERE, PSH | ACK, C + 1, S + 1, 104) == (C + 1, S + 1)
    assert read(THERE, PSH | ACK, 104, 1, 4) == (C + 105, S + 1)


def test_the_beginning_was_left_out(read: Reading) -> None:
    """Numbers that were relative to a line that is gone are right relative to each other."""
    assert read(THERE, PSH | ACK, 1, 1, 104) == (1, 1)
    assert read(BACK, ACK, None, 105) == (None, 105)
    assert read(BACK, PSH | ACK, 1, 105, 254) == (1, 105)
    assert read(THERE, FIN | ACK, 105, 255) == (105, 255)


def test_the_beginning_was_left_out_but_the_bytes_are_there(read: Reading) -> None:
    assert read(THERE, PSH | ACK, 1, 1, 104, Known(C + 1, S + 1)) == (C + 1, S + 1)
    assert read(BACK, PSH | ACK, 1, 105, 254, Known(S + 1, C + 105)) == (S + 1, C + 105)
    # and an edited number is not explained away
    assert read(THERE, FIN | ACK, 105, 256, 0, Known(C + 105, S + 255)) == (C + 105, S + 256)


def test_an_rst_without_ack_is_absolute(read: Reading) -> None:
    read(THERE, SYN, C)
    read(BACK, SYN | ACK, S, C + 1)
    read(THERE, ACK, None, 1)
    assert read(THERE, RST, C + 1) == (C + 1, None)


def test_an_rst_of_a_side_whose_base_was_never_printed_cannot_be_related(read: Reading) -> None:
    read(THERE, ACK, None, S)  # the first line: C's base is not printed
    assert read(THERE, PSH | ACK, 1, 1, 104) == (1, S)
    assert read(THERE, RST, C + 105) == (None, None)


def test_edges_of_sack(read: Reading) -> None:
    read(THERE, SYN, C)
    read(BACK, SYN | ACK, S, C + 1)
    read(THERE, ACK, None, 1)
    assert read.numbers.absolute(BACK, ACK, None, 1).edge(50) == C + 50
    fresh = Numbers()  # in a first segment the numbers are absolute, the edges are not
    first = fresh.absolute(BACK, ACK, None, C + 1)
    assert (first.ack, first.edge(50)) == (C + 1, C + 50)
    assert first.edge(C + 50) == C + 50  # with -S they are


def test_a_connection_to_itself_does_no_harm(read: Reading) -> None:
    here = text_flow(Address("a", "1"), Address("a", "1"))
    assert read(here, SYN, C) == (C, None)
    assert read(here, SYN | ACK, C, C + 1) == (C, C + 1)
