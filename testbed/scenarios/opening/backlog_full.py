"""A full accept queue: the SYN is dropped without a word, and the client tries again after a second."""

import asyncio
from pathlib import Path

from ...lab import Lab
from ...lab.judgement import check
from ...tcp.states import State
from ..scenario import Scenario

ORDER = 4
COUNTERS = ("ListenOverflows", "ListenDrops")


async def play(lab: Lab) -> None:
    server = lab.listen(9502, backlog=0)
    first = await lab.connect()
    await lab.see("server", State.ESTABLISHED)
    before = _counters()
    second = lab.client()
    connecting = asyncio.create_task(second.connect())
    await asyncio.sleep(0)
    await lab.see("client", State.SYN_SENT, client=second)
    moved = {name: count - before[name] for name, count in _counters().items()}
    lab.hold(
        check(
            "kernel",
            "ListenOverflows and ListenDrops count it",
            all(moved.values()),
            f"they moved by {moved}",
        )
    )
    (await server.accept()).close()
    lab.told("after an accept() there is room, and the repeated SYN gets in", await connecting, "connected")
    await lab.see("client", State.ESTABLISHED, client=second)
    first.close()
    second.close()
    (await server.accept()).close()
    await lab.see("server", State.TIME_WAIT)
    await lab.see_gone("server", client=second)


def _counters() -> dict[str, int]:
    """The TcpExt counters of this network."""
    lines = Path("/proc/thread-self/net/netstat").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
    table = dict(zip(names, values, strict=True))
    return {name: int(table[name]) for name in COUNTERS}


SCENARIO = Scenario(
    name="backlog-full",
    title="a full accept queue drops the SYN; the client tries again",
    rfc="listen(2); tcp(7), tcp_abort_on_overflow",
    play=play,
    transcript=(
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        < F. 1:1(0) ack 1
        > F. 1:1(0) ack 2
        < . 2:2(0) ack 2
        """,
        """
        > S 0:0(0)
        < S. 0:0(0) ack 1
        > . 1:1(0) ack 1
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2
        > . 2:2(0) ack 2
        """,
    ),
    connections=2,
    seconds=1.2,
    lesson="A queue of N takes N + 1 connections. To the next client the server looks slow or unreachable, "
    "though it runs: its application does not accept.",
)
