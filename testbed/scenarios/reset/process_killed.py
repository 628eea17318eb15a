"""SIGKILL: the kernel closes for the process. FIN where all was read, RST where something was not."""

import signal

from ...lab import Lab
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 5


async def play(lab: Lab) -> None:
    await lab.serve("echo", port=9502, ending="deaf", process=True)
    idle = await lab.connect()
    await idle.send(b"hello\r\n")
    await idle.recv_exactly(18)
    unread = await lab.connect()
    await unread.send(b"hello\r\n")
    await unread.recv_exactly(18)
    await unread.send(b"never read\r\n")
    await lab.see("server", State.ESTABLISHED, client=unread)
    await lab.pause(0.2, "in which a server that reads would have read")
    lab.server_process.signal(signal.SIGKILL)
    lab.step("server is killed (SIGKILL)")
    lab.told("where all was read: EOF", await idle.recv_to_end(), (b"", "EOF"))
    lab.told("where something was not: ECONNRESET", await unread.recv_to_end(), (b"", "ECONNRESET"))
    idle.close()
    await lab.see("server", State.TIME_WAIT)
    await lab.see_gone("client", client=unread)


SCENARIO = Scenario(
    name="process-killed",
    title="SIGKILL: FIN where all was read, RST where something was not",
    rfc="RFC 1122 section 4.2.2.13",
    play=play,
    transcript=(
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        < F. 19:19(0) ack 8
        > F. 8:8(0) ack 20
        < . 20:20(0) ack 9
        """,
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > P. 1:8(7) ack 1
        < P. 1:19(18) ack 8
        > P. 8:20(12) ack 19
        < R. 19:19(0) ack 20
        """,
    ),
    connections=2,
    reset=("TCP_ABORT_ON_CLOSE",),
    lesson="A killed process still says goodbye: its kernel closes its descriptors. Only a host that dies is "
    "silent.",
)
