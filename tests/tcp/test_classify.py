from __future__ import annotations

import pytest

from testbed.tcp.connection import names

from .conversation import HANDSHAKE, track

SENT = HANDSHAKE + "> P. 1:11(10) ack 1\n"

CASES = {
    # name: (conversation, notes of its last segment)
    "nothing": (SENT, []),
    "retransmission": (SENT + "+0.3\n> P. 1:11(10) ack 1", ["retransmission"]),
    "SYN again": ("> S 0:0(0)\n+1\n> S 0:0(0)", ["retransmission"]),
    "FIN again": (HANDSHAKE + "> F. 1:1(0) ack 1\n+0.3\n> F. 1:1(0) ack 1", ["retransmission"]),
    "spurious": (SENT + "< . 1:1(0) ack 11\n> P. 1:11(10) ack 1", ["spurious-retransmission"]),
    "fast": (
        SENT
        + "> P. 11:21(10) ack 1\n> P. 21:31(10) ack 1\n> P. 31:41(10) ack 1\n"
        + "< . 1:1(0) ack 11\n< . 1:1(0) ack 11\n< . 1:1(0) ack 11\n> P. 11:21(10) ack 1",
        ["fast-retransmission"],
    ),
    "lost before": (SENT + "> P. 21:31(10) ack 1", ["previous-segment-lost"]),
    "out of order": (
        "> S 0:0(0)\n+0.05\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n> P. 11:21(10) ack 1\n> P. 1:11(10) ack 1",
        ["out-of-order"],
    ),
    "acked what was not captured": (SENT + "< . 1:1(0) ack 99", ["acked-lost-segment"]),
    "duplicate ACK": (SENT + "< . 1:1(0) ack 11\n< . 1:1(0) ack 11", ["duplicate-ack"]),
    "window update": (SENT + "< . 1:1(0) ack 11\n< . 1:1(0) ack 11 win 900", ["window-update"]),
    "zero window": (SENT + "< . 1:1(0) ack 11 win 0", ["zero-window"]),
    "keepalive": (SENT + "< . 1:1(0) ack 11\n+15\n> . 10:10(0) ack 1", ["keep-alive"]),
    "keepalive with a byte": (SENT + "< . 1:1(0) ack 11\n+15\n> . 10:11(1) ack 1", ["keep-alive"]),
    "answer to it": (
        SENT + "< . 1:1(0) ack 11\n+15\n> . 10:10(0) ack 1\n< . 1:1(0) ack 11",
        ["keep-alive-ack"],
    ),
    # FACTS: a probe to a peer whose window is 0 is a window probe, with the same looks
    "window probe": (SENT + "< . 1:1(0) ack 11 win 0\n+0.2\n> . 10:10(0) ack 1", ["zero-window-probe"]),
    "window probe with a byte": (
        SENT + "< . 1:1(0) ack 11 win 0\n+0.2\n> . 11:12(1) ack 1",
        ["zero-window-probe"],
    ),
    # sent before the FIN that took its number, captured after it; a probe waits longer
    "an ACK overtaken by a FIN": (HANDSHAKE + "> F. 1:1(0) ack 1\n> . 1:1(0) ack 1", []),
    "a probe after a FIN": (HANDSHAKE + "> F. 1:1(0) ack 1\n+15\n> . 1:1(0) ack 1", ["keep-alive"]),
    # a single byte sent again while unacknowledged is a retransmission, whatever tshark calls it
    "one byte again": (HANDSHAKE + "> P. 1:2(1) ack 1\n+0.3\n> P. 1:2(1) ack 1", ["retransmission"]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("isn", [1_000, 0xFFFFFFF8])
def test_notes(name: str, isn: int) -> None:
    text, expected = CASES[name]
    connection = track(text, client_isn=isn, server_isn=isn)
    assert connection.exchanges is not None
    assert names(connection.exchanges[-1].notes) == expected


def test_window_full() -> None:
    scale_0 = bytes([3, 3, 0, 0])
    c = track("> S 0:0(0)\n< S. 0:0(0) ack 1 win 10\n> . 1:1(0) ack 1\n> P. 1:11(10) ack 1", options=scale_0)
    assert c.exchanges is not None and names(c.exchanges[-1].notes) == ["window-full"]


def test_both_ends_probe() -> None:
    # what two Linux ends with SO_KEEPALIVE do to a half-closed connection, in one of its orders
    c = track(
        HANDSHAKE
        + "> F. 1:1(0) ack 1\n< . 1:1(0) ack 2\n+15\n"
        + "< . 0:0(0) ack 2\n> . 1:1(0) ack 1\n> . 2:2(0) ack 1\n< . 1:1(0) ack 2"
    )
    assert c.exchanges is not None
    assert [names(e.notes) for e in c.exchanges[-4:]] == [
        ["keep-alive"],
        ["keep-alive"],
        ["keep-alive-ack"],
        ["keep-alive-ack"],
    ]
