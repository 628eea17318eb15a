"""TIME_WAIT: who closed first remembers the connection for 2 MSL, 60 s on Linux (RFC 9293 section 3.6.1)."""

import errno
import socket
import time

from ...lab import Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5
NOMINAL = 60.0  # TCP_TIMEWAIT_LEN, include/net/tcp.h


async def play(lab: Lab) -> None:
    address = await lab.serve("echo", port=9502, ending="server-first")
    client = await lab.connect()
    await client.send(b"hello\r\n")
    await client.recv_to_end()
    client.close()
    await lab.see("server", State.TIME_WAIT)
    began = time.monotonic()
    await lab.see_gone("client")
    await lab.stop_listening()
    lab.told(
        "bind() to the server's port fails, though nobody listens", _bind(address, reuse=False), "EADDRINUSE"
    )
    lab.told("bind() with SO_REUSEADDR succeeds", _bind(address, reuse=True), "bound")
    lab.step(f"waits for TIME_WAIT to end: {NOMINAL:g} s")
    await lab.see_gone("server", timeout=NOMINAL + 10)
    lasted = time.monotonic() - began
    # The timer wheel rounds up, by an eighth of the level at worst (kernel/time/timer.c).
    lab.hold(
        check(
            "kernel",
            f"TIME_WAIT lasted {NOMINAL:g} s, and no more than the timer wheel adds",
            NOMINAL - 1 <= lasted <= NOMINAL * 1.125,
            f"it lasted {lasted:.1f} s",
        )
    )
    lab.step(f"TIME_WAIT lasted {lasted:.1f} s")


def _bind(address: tuple[str, int], *, reuse: bool) -> str:
    with socket.socket() as probe:
        if reuse:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "bound"


SCENARIO = Scenario(
    name="time-wait",
    title="TIME_WAIT lasts 60 s and holds the port",
    rfc="RFC 9293 section 3.6.1",
    play=play,
    transcript="""
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        < F. 19:19(0) ack 8
        > F. 8:8(0) ack 20
        < . 20:20(0) ack 9
    """,
    lesson="TIME_WAIT is no leak: it keeps late segments of this connection from being taken for the "
    "next one's, and answers a FIN whose last ACK was lost.",
    seconds=62,
)
