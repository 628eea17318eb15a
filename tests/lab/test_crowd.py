"""Many clients at once: all that open are open, and each is told what it is told."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys

import pytest

from testbed.errors import CapabilityError, ExperimentError
from testbed.kernel import SockDiag
from testbed.lab import Lab
from testbed.lab.census import Census, counted, is_due
from testbed.lab.descriptors import SPARE, allow
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State

REQUEST, REPLY = b"hello\r\n", 18


async def test_all_are_open_at_once_and_all_end(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        address = await lab.serve("echo")
        crowd = lab.crowd()
        await crowd.open(300, REQUEST, REPLY)
        with SockDiag() as kernel:
            open_now = kernel.dump(states={State.ESTABLISHED})
        assert len([s for s in open_now if s.remote == address]) == 300
        assert len({member.socket.getsockname() for member in crowd.members}) == 300
        assert {member.received for member in crowd.members} == {REPLY}
        assert await crowd.half_close_and_read() == {"EOF": 300}
    assert len(lab.experiment.connections) == 300
    assert all(connection.closed_in_order for connection in lab.experiment.connections)


async def test_what_each_is_told_is_counted(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="linger-zero")
        crowd = lab.crowd()
        await crowd.open(20, REQUEST, REPLY)
        assert await crowd.half_close_and_read() == {"ECONNRESET": 20}


async def test_a_server_that_never_closes_is_not_waited_for_for_ever(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="never")
        crowd = lab.crowd(timeout=0.5)
        await crowd.open(5, REQUEST, REPLY)
        assert await crowd.half_close_and_read() == {"no answer in time": 5}


async def test_nobody_listens(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        lab.at("127.0.0.1", 9)
        with pytest.raises(ExperimentError, match="ECONNREFUSED at client 1, with 0 open"):
            await lab.crowd().open(1, REQUEST, REPLY)


async def test_less_than_the_reply(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="server-first")
        with pytest.raises(ExperimentError, match="19 bytes and got 18, then EOF"):
            await lab.crowd().open(1, REQUEST, REPLY + 1)


async def test_nobody_answers(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        lab.listen()
        with pytest.raises(ExperimentError, match=r"after 0.3 s 0 of 3 clients were served"):
            await lab.crowd(timeout=0.3).open(3, REQUEST, REPLY)
        assert asyncio.all_tasks() - {asyncio.current_task()}, "the lab goes on"


async def test_it_needs_a_server(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        with pytest.raises(ExperimentError, match="no server yet"):
            lab.crowd()


# ---------------------------------------------------------------- how many were in which state


async def test_states_are_counted_by_side(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="never")
        lab.count_states()
        crowd = lab.crowd()
        await crowd.open(7, REQUEST, REPLY)
        await crowd.half_close()
        await lab.see_many(State.CLOSE_WAIT, 7)
        await lab.see_many(State.FIN_WAIT_2, 7, side="client")
    assert (lab.census[0].clients, lab.census[0].servers) == ({}, {})
    assert lab.census[-1].clients == {State.FIN_WAIT_2: 7}
    assert lab.census[-1].servers == {State.CLOSE_WAIT: 7}


async def test_other_servers_sockets_are_not_counted(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        await lab.connect()
        assert counted(lab.sampler.sample(), ("127.0.0.1", 9))[1:] == ({}, {})


def test_once_a_second() -> None:
    so_far = [Census(10_000_000_000, {}, {})]
    assert is_due([], 0)
    assert not is_due(so_far, 10_500_000_000)
    assert is_due(so_far, 11_000_000_000)


# ---------------------------------------------------------------- descriptors


def in_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_the_soft_limit_is_raised_as_far_as_it_may_be() -> None:
    code = """if 1:
        import resource
        from testbed.lab.descriptors import allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 2000))
        allow(1000)
        print(resource.getrlimit(resource.RLIMIT_NOFILE))
        allow(10)
        print(resource.getrlimit(resource.RLIMIT_NOFILE))
    """
    assert in_process(code).stdout.splitlines() == [f"({1000 + SPARE}, 2000)"] * 2


def test_beyond_the_hard_limit_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """root may have raised it: so the kernel's refusal is put in its place."""

    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 2000))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(CapabilityError) as told:
        allow(10_000)
    assert "10,000 connections at once need 10,100 descriptors" in told.value.what
    assert "may open 2,000" in told.value.what
    assert "ulimit -Hn 10100" in told.value.remedy and "1,900 connections" in told.value.remedy
