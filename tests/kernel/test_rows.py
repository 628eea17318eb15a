"""Sockets decoded when they are looked at."""

from __future__ import annotations

import pytest

from testbed.kernel import rows
from testbed.kernel.diag_socket import DiagSocket
from testbed.kernel.rows import Rows
from testbed.kernel.sock_diag_codec import decode, encode_socket

from .test_readings import QUIET

TOLD = [QUIET._replace(cookie=number, inode=number) for number in range(1, 5)]


def raw(*told: DiagSocket) -> list[bytes]:
    return decode(b"".join(encode_socket(socket, 7) for socket in told), 7).rows


def test_a_sequence_of_sockets() -> None:
    there = Rows(raw(*TOLD))
    assert (len(there), there[0], there[-1], there[1:3]) == (4, TOLD[0], TOLD[3], TOLD[1:3])
    assert list(there) == TOLD
    assert there[2] is there[2]
    assert list(Rows()) == []
    with pytest.raises(IndexError):
        there[4]


def test_what_has_not_changed_is_the_very_same_object() -> None:
    first = Rows(raw(*TOLD))
    before = list(first)
    again = Rows(raw(TOLD[3], TOLD[0]._replace(rqueue=9), TOLD[1]), first)
    assert again[0] is before[3]
    assert list(again) == [TOLD[3], TOLD[0]._replace(rqueue=9), TOLD[1]]
    assert again[2] is before[1]


def test_nothing_is_decoded_until_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def counting(row: bytes) -> DiagSocket:
        decoded.append(row)
        return QUIET

    monkeypatch.setattr(rows, "socket_of", counting)
    there = Rows(raw(*TOLD), Rows(raw(*TOLD)))
    assert len(there) == 4
    assert decoded == []
    assert there[1] == QUIET
    assert decoded == [there.raw[1]]
