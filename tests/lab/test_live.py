"""What a live connection answers in one call, with real sockets; with tracepoints and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from testbed.errors import CapabilityError
from testbed.lab import Lab
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State


@asynccontextmanager
async def echoed(ending: str, **options: Any) -> AsyncIterator[Lab]:
    """A connection on which one line was echoed."""
    async with Lab() as lab:
        await lab.serve("echo", ending=ending, **options)
        client = await lab.connect()
        await client.send(b"hello\r\n")
        await client.recv_exactly(18)
        yield lab


async def test_a_close_in_order(network: PrivateNetwork) -> None:
    async with echoed("polite") as lab:
        lab.clients[0].close()
        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
    connection = lab.experiment.connection
    assert connection.closed_by == "client"
    assert connection.closed_in_order
    assert connection.reset_reason is None
    assert connection.reset_reason_in_words == ""
    assert connection.held_by() == []
    assert connection.states("client")[-1] == "TIME_WAIT"
    if connection.saw_every_state:
        assert connection.states("server") == [
            "SYN_RECEIVED",
            "ESTABLISHED",
            "CLOSE_WAIT",
            "LAST_ACK",
            "CLOSED",
        ]


async def test_the_side_that_closed_first(network: PrivateNetwork) -> None:
    async with echoed("server-first") as lab:
        assert await lab.clients[0].recv_to_end() == (b"", "EOF")
        lab.clients[0].close()
        await lab.see("server", State.TIME_WAIT)
    assert lab.experiment.connection.closed_by == "server"


async def test_a_reset_and_why(network: PrivateNetwork) -> None:
    """RFC 1122 section 4.2.2.13: close() with data unread is an abort."""
    async with echoed("unread") as lab:
        await lab.clients[0].send(b"never read\r\n")
        _, told = await lab.clients[0].recv_to_end()
        assert told == "ECONNRESET"
    connection = lab.experiment.connection
    assert connection.closed_by == "server"
    assert not connection.closed_in_order
    if lab.tracepoints is None:
        with pytest.raises(CapabilityError, match="did not tell why"):
            _ = connection.reset_reason
    else:
        assert connection.reset_reason == "TCP_ABORT_ON_CLOSE"
        assert "closed the socket with data unread" in lab.experiment.words


async def test_who_still_holds_it(network: PrivateNetwork) -> None:
    async with echoed("never", process=True) as lab:
        lab.clients[0].close()
        await lab.see("server", State.CLOSE_WAIT)
        pid = lab.server_process.pid
    connection = lab.experiment.connection
    assert [holder.pid for holder in connection.held_by("server")] == [pid]
    assert connection.held_by("client") == []
    assert connection.held_by() == connection.held_by("server")


async def test_nobody_has_closed(network: PrivateNetwork) -> None:
    async with echoed("polite") as lab:
        await lab.cut()
    connection = lab.experiment.connection
    assert connection.closed_by is None
    assert {holder.side for holder in connection.held_by()} == {"client", "server"}


async def test_the_timeline_has_every_witness_in_order_of_time(network: PrivateNetwork) -> None:
    async with echoed("polite") as lab:
        lab.clients[0].close()
        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
    moments = lab.experiment.timeline()
    assert [m.time_ns for m in moments] == sorted(m.time_ns for m in moments)
    witnesses = {moment.witness for moment in moments}
    assert {"program", "wire", "sock_diag"} <= witnesses
    told = [f"{moment.who} {moment.what}" for moment in moments]
    assert any("client > F. 8:8(0) ack 19" in line for line in told)
    assert any("client is in TIME_WAIT, a small object that nobody holds" in line for line in told)
    if lab.tracepoints is None:
        return
    events = [moment.what for moment in moments if moment.witness == "tracepoint" and moment.who == "client"]
    assert events[:3] == ["CLOSED -> SYN_SENT", "SYN_SENT -> ESTABLISHED", "ESTABLISHED -> FIN_WAIT_1"]
    assert events[-1] == "FIN_WAIT_2 -> CLOSED: the socket; a small object stays"
    # a call comes before its change of state, and that before its segment
    order = [told.index(line) for line in told if "client.close()" in line or "-> FIN_WAIT_1" in line]
    order.append(next(i for i, line in enumerate(told) if "> F. 8:8(0)" in line))
    assert order == sorted(order)
