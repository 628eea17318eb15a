"""Each step of the scripted client: what it does on the wire, and what it is told."""

from __future__ import annotations

import pytest

from testbed.errors import ExperimentError
from testbed.lab import Client, Lab
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State
from testbed.wire.notation import parse
from testbed.wire.segment import FIN, RST

HELLO = b"hello\r\n"


def flags(lab: Lab) -> list[int]:
    """The control bits of the client's segments that close something."""
    lines = [parse(text) for text in lab.experiment.transcript()]
    return [line.flags & (FIN | RST) for line in lines if line.direction == ">" and line.flags & (FIN | RST)]


async def test_half_close_sends_fin_and_goes_on_reading(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="half-close-aware")
        client = await lab.connect()
        await client.send(HELLO)
        client.half_close()
        data, told = await client.recv_to_end()
        assert (len(data), told) == (18, "EOF")
    assert flags(lab) == [FIN]


async def test_close_sends_fin(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client = await lab.connect()
        client.close()
        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
    assert flags(lab) == [FIN]


async def test_reset_sends_rst(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client = await lab.connect()
        client.reset()
        await lab.see_gone("server")
        await lab.see_gone("client")
    assert flags(lab) == [RST]


async def test_vanish_sends_nothing(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client = await lab.connect()
        client.vanish()
        await lab.see_gone("client")
        await lab.see("server", State.ESTABLISHED)
    assert flags(lab) == []


async def test_send_after_the_peer_has_reset_is_told(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="linger-zero")
        client = await lab.connect()
        await client.send(HELLO)
        await client.recv_exactly(18)
        client.half_close()
        assert await client.recv_to_end() == (b"", "ECONNRESET")
        assert await client.send(HELLO) == "EPIPE"


async def test_recv_exactly_says_what_is_missing(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="server-first")
        client = await lab.connect()
        await client.send(HELLO)
        with pytest.raises(ExperimentError, match="read 19 bytes and got 18, then EOF"):
            await client.recv_exactly(19)


async def test_a_step_that_takes_too_long_is_told(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client = await lab.connect(timeout=0.1)
        assert await client.recv_to_end() == (b"", "no answer in time")


async def test_connect_to_nobody_is_told(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        lab.at("127.0.0.1", 2333)
        client = lab.client()
        assert await client.connect() == "ECONNREFUSED"
        with pytest.raises(ExperimentError, match="ECONNREFUSED"):
            await lab.connect()


async def test_steps_are_in_order_and_have_times(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client: Client = await lab.connect()
        await client.send(HELLO)
        await client.recv_exactly(18)
        client.close()
    texts = [step.text for step in lab.experiment.steps]
    assert texts == ["client.connect()", "client.send(7 bytes)", "client.recv(18 bytes)", "client.close()"]
    times = [step.time_ns for step in lab.experiment.steps]
    assert times == sorted(times)
    first = lab.experiment.connection.start_ns
    assert times[0] <= first <= times[1]
