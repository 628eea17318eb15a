"""Sampling, by each of the witnesses: what holds for one holds for both."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import pytest

from testbed.errors import CapabilityError, UsageError, WitnessTimeout
from testbed.kernel import Sampler, SocketSample, look, psutil_witness, readings
from testbed.kernel.owners import Owner, command_of, owners, sockets_of
from testbed.kernel.sampler import Source
from testbed.kernel.sock_diag import SockDiag
from testbed.net.hosts import TwoHosts
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State

from .conftest import PORT, Pair


@pytest.fixture(params=["sock_diag", "psutil"])
def source(request: pytest.FixtureRequest) -> Source:
    named: Source = request.param
    return named


def states(samples: Sequence[SocketSample], local: object) -> list[State | None]:
    return [sample.state for sample in samples if sample.local == local]


async def test_the_states_of_a_close(source: Source, pair: Pair) -> None:
    async with Sampler(pids=(os.getpid(),), source=source) as kernel:
        there = ("127.0.0.1", PORT)
        pair.client.shutdown(socket.SHUT_WR)
        half = await kernel.wait_for(pair.address, there, state=State.FIN_WAIT_2)
        owned = kernel.owner(half)
        assert (owned.pid, owned.fd) == (os.getpid(), pair.client.fileno())
        assert owned[:4] == half[:4]
        late = await kernel.wait_for(PORT, pair.address, state=State.CLOSE_WAIT)
        assert kernel.owner(late).pid == os.getpid()
        holder = kernel.holder_of(PORT, pair.address)
        pair.server.close()
        last = await kernel.wait_for(pair.address, state={State.TIME_WAIT, State.CLOSED})
        assert last.state is State.TIME_WAIT
        await kernel.wait_gone(PORT, pair.address)
        assert kernel.owner(last).pid is None
    assert holder is not None
    assert holder.pid == os.getpid()
    walked = states(kernel.changes, pair.address)
    assert [state for state in walked if state is not State.FIN_WAIT_1] == [
        State.ESTABLISHED,
        State.FIN_WAIT_2,
        State.TIME_WAIT,
    ]
    assert kernel.samples >= 4
    assert {change.witness for change in kernel.changes} == {source} == {kernel.witness}
    served = [change.state for change in kernel.changes if change.remote == pair.address]
    assert served[-1] is None
    assert [state for state in served if state is not State.LAST_ACK] == [
        State.ESTABLISHED,
        State.CLOSE_WAIT,
        None,
    ]


async def test_a_descriptor_left_open_does_not_hide_time_wait(source: Source, pair: Pair) -> None:
    # the kernel's small TIME_WAIT object and the socket that the descriptor still holds, both in the tables
    async with Sampler(source=source) as kernel:
        pair.client.shutdown(socket.SHUT_RDWR)
        pair.server.close()
        assert await kernel.wait_for(pair.address, PORT, state=State.TIME_WAIT)
        assert states(kernel.current, pair.address) == [State.TIME_WAIT]
        holder = kernel.holder_of(pair.address)
    assert holder is not None
    assert holder.fd == pair.client.fileno()


async def test_a_wait_in_vain_tells_what_was_seen(source: Source, pair: Pair) -> None:
    async with Sampler(source=source) as kernel:
        with pytest.raises(WitnessTimeout) as late:
            await kernel.wait_for(pair.address, PORT, state=State.LAST_ACK, timeout=0.05)
        with pytest.raises(WitnessTimeout, match=r"no such socket was seen at all in \d+ samples"):
            await kernel.wait_for(("127.0.0.9", 1), state=State.LAST_ACK, timeout=0.01)
        with pytest.raises(WitnessTimeout, match=r"still there .* went ESTABLISHED"):
            await kernel.wait_gone(pair.address, timeout=0.01)
    client = f"127.0.0.1:{pair.address[1]}"
    assert str(late.value).startswith(f"{client} -> *:{PORT} was not seen in LAST_ACK within 0.05 s: ")
    assert f"{client} -> 127.0.0.1:{PORT} went ESTABLISHED (" in str(late.value)


async def test_what_fails_in_the_background_is_told(
    source: Source, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Sampler(interval=0.001, source=source)
    with pytest.raises(CapabilityError, match="no table"):
        async with looking:

            def fail(*_: object, **__: object) -> list[SocketSample]:
                raise CapabilityError("no table", "none")

            monkeypatch.setattr(psutil_witness, "sockets", fail)
            monkeypatch.setattr(SockDiag, "rows", fail)
            await looking.wait_for(pair.address, state=State.LAST_ACK)


async def test_the_port_is_at_either_end(source: Source, pair: Pair) -> None:
    async with Sampler(port=pair.address[1], source=source) as kernel:
        assert len(kernel.sample()) == 2
        assert len(kernel.current) == 2


async def test_what_only_sock_diag_tells(pair: Pair) -> None:
    async with Sampler(source="sock_diag") as kernel:
        pair.client.shutdown(socket.SHUT_WR)
        late = await kernel.wait_for(PORT, pair.address, state=State.CLOSE_WAIT)
    assert late.diag is not None
    assert (late.diag.rqueue, late.inode) == (1, os.fstat(pair.server.fileno()).st_ino)
    assert [reading.code for reading in readings(late.diag)] == ["eof-unread", "keepalive-off"]


async def test_psutil_is_the_floor(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sampler() as kernel:
        assert kernel.witness == "sock_diag"

    def refuse() -> SockDiag:
        raise CapabilityError("no sock_diag", "none")

    monkeypatch.setattr(look, "SockDiag", refuse)
    async with Sampler() as kernel:
        assert kernel.witness == "psutil"
        assert {sample.witness for sample in kernel.sample()} == {"psutil"}
    with pytest.raises(CapabilityError, match="no sock_diag"):
        async with Sampler(source="sock_diag"):
            pass


async def test_every_holder_is_named(source: Source, pair: Pair) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[pair.server.fileno()]
    ) as child:
        try:
            async with Sampler(source=source, pids=(child.pid,)) as kernel:
                there = next(s for s in kernel.sample() if (s.local[1], s.remote) == (PORT, pair.address))
                named = list(kernel.holders(there))
                first = kernel.owner(there)
        finally:
            child.communicate(b"\n")
    assert named[0] == Owner(child.pid, pair.server.fileno(), first.command)
    assert (first.pid, first.fd) == named[0][:2]
    if source == "sock_diag":  # psutil names one
        assert [owner.pid for owner in named] == [child.pid, os.getpid()]


def test_a_process_holds_its_own_sockets_and_not_others() -> None:
    with socket.socket() as sock:
        inode = os.fstat(sock.fileno()).st_ino
        assert inode in sockets_of(os.getpid())
        assert inode not in sockets_of(os.getppid())
    assert inode not in sockets_of(os.getpid())


def test_nobody_holds_what_has_no_inode() -> None:
    assert list(owners(0)) == []
    assert list(owners(2**40, [os.getpid(), 2**22 + 1])) == []
    assert command_of(2**22 + 1) is None


async def test_before_it_is_entered() -> None:
    with pytest.raises(UsageError, match="enter the Sampler first"):
        Sampler().sample()
    with pytest.raises(UsageError, match="enter the Sampler first"):
        _ = Sampler().witness


def test_an_interval_that_is_none() -> None:
    with pytest.raises(UsageError, match="interval"):
        Sampler(interval=0)


async def test_two_networks_are_looked_at_together(network: PrivateNetwork) -> None:
    with TwoHosts() as hosts:
        async with Sampler(networks=[hosts.client.enter, hosts.server.enter], source="sock_diag") as kernel:
            with hosts.server.enter(), socket.create_server((hosts.server.address, 0)) as listener:
                with hosts.client.enter():
                    client = socket.create_connection(listener.getsockname(), timeout=10)
                server, there = listener.accept()
            with client, server:
                ends = (client.getsockname(), client.getpeername())
                assert there == ends[0]
                kernel.sample()
                seen = {(one.local, one.remote): one.state for one in kernel.current}
                assert seen[ends] is seen[ends[::-1]] is State.ESTABLISHED
                client.close()
            gone = await kernel.wait_for(local=ends[0], remote=ends[1], state=State.TIME_WAIT)
            assert gone.local[0] == hosts.client.address
