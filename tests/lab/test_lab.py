"""The lab: what it starts it ends, what it was not given it asks for, what was seen it keeps."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from pathlib import Path

import psutil
import pytest

from testbed.errors import ExperimentError, UsageError
from testbed.findings import Severity
from testbed.findings.signs import LATE_NS
from testbed.kernel import Sampler
from testbed.lab import Lab, Verdict
from testbed.lab.process import ServerProcess
from testbed.net.private import PrivateNetwork
from testbed.tcp.states import State
from testbed.wire.reader import open_capture


async def test_everything_started_is_ended_when_the_test_raises(network: PrivateNetwork) -> None:
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ZeroDivisionError):
        async with Lab() as lab:
            await lab.serve("echo", process=True)
            await lab.connect()
            raise ZeroDivisionError
    async with asyncio.timeout(30):  # tcpdump is killed, and its ring takes a while to be closed
        while not set(psutil.Process().children(recursive=True)) <= before:
            await asyncio.sleep(0.005)
    assert lab.experiment.connections, "what was seen until then is kept"


async def test_each_connection_has_the_steps_that_were_done_to_it(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        server = lab.listen()
        for data in (b"one", b"three"):
            lab.step(f"before {len(data)}")
            client = await lab.connect()
            accepted = await server.accept()
            await client.send(data)
            await accepted.recv_exactly(len(data))
            client.close()
            await accepted.recv_to_end()
            accepted.close()
            await lab.see_gone("server", client=client)
    steps = [[step.text for step in lab.experiment.steps_of(one)] for one in lab.experiment.connections]
    assert steps == [
        [
            f"before {count}",
            "client.connect()",
            "server.accept()",
            f"client.send({count} bytes)",
            f"server.recv({count} bytes)",
            "client.close()",
            "server.recv() -> EOF",
            "server.close()",
        ]
        for count in (3, 5)
    ]


async def test_a_network_of_its_own_and_back(network: PrivateNetwork) -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    async with Lab(net="private", sysctls={"tcp_fin_timeout": 9}) as lab:
        assert Path("/proc/thread-self/ns/net").readlink() != home
        assert Path("/proc/sys/net/ipv4/tcp_fin_timeout").read_text().strip() == "9"
        await lab.serve("echo", port=2333)
    assert Path("/proc/thread-self/ns/net").readlink() == home


async def test_the_experiment_is_there_only_afterwards(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        with pytest.raises(ExperimentError, match="still running"):
            _ = lab.experiment
    assert lab.experiment.connections == []


async def test_who_holds_the_socket_is_known(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending="never", process=True)
        client = await lab.connect()
        await client.send(b"hello\r\n")
        await client.recv_exactly(18)  # answered, and so accepted: nobody holds what is not
        client.close()
        await lab.see("server", State.CLOSE_WAIT)
        assert isinstance(lab.server, ServerProcess)
        pid = lab.server.pid
    (holder,) = [h for h in lab.experiment.evidence.holders if h.side == "server"]
    assert holder.pid == pid
    assert holder.state == "CLOSE_WAIT"
    assert holder.fd is not None and holder.fd > 2
    assert f"Process {pid}" in lab.experiment.words


@pytest.mark.parametrize(
    ("ending", "more", "code"),
    [("never", b"", "not-closed"), ("deaf", b"", "eof-unread"), ("deaf", b"hello\r\n", "data-unread")],
)
async def test_who_is_late_with_the_close_is_told(
    ending: str, more: bytes, code: str, network: PrivateNetwork
) -> None:
    async with Lab() as lab:
        await lab.serve("echo", ending=ending, process=True)
        client = await lab.connect()
        await client.send(b"hello\r\n")
        await client.recv_exactly(18)
        if more:
            await client.send(more)
        client.half_close()
        await lab.see("client", State.FIN_WAIT_2)
        await lab.see_reading("server", code)
    found = {(f.side, f.code) for f in lab.experiment.findings}
    assert {("server", code), ("client", "half-closed"), ("server", "keepalive-off")} <= found
    assert len({"not-closed", "eof-unread", "data-unread"} & {told for _, told in found}) == 1
    (missing,) = [f for f in lab.experiment.findings if f.code == "missing-fin"]
    assert "(sock_diag)" in missing.text and "or it does not read" not in missing.text
    assert f"warning {code}: " in lab.experiment.words


async def test_silence_lasts_until_the_cut(network: PrivateNetwork) -> None:
    """Not until the last packet: where none comes for a second after the FIN, the server's is missing."""
    async with Lab() as lab:
        await lab.serve("echo", ending="never")
        client = await lab.connect()
        client.half_close()
        await lab.see("client", State.FIN_WAIT_2)
        silent_from = time.time_ns()
        await asyncio.sleep(LATE_NS / 1e9)
    recording = lab.experiment.recording
    assert recording.packets[-1].time_ns < silent_from < recording.cut_ns - LATE_NS
    (missing,) = [f for f in lab.experiment.findings if f.code == "missing-fin"]
    assert missing.severity is Severity.ERROR and "never sent a FIN" in missing.text


async def test_an_orphan_is_counted_down(network: PrivateNetwork) -> None:
    async with Lab(net="private", sysctls={"tcp_fin_timeout": 30}) as lab:
        server = lab.listen()
        client = await lab.connect()
        await server.accept()
        client.close()
        await lab.see("client", State.FIN_WAIT_2)
        await lab.see_reading("client", "orphan-countdown")
    (told,) = [f for f in lab.experiment.findings if f.code == "orphan-countdown"]
    seconds = re.search(r"(\d+\.\d) s to go", told.text)
    assert seconds and 20 < float(seconds[1]) <= 30


async def test_half_open_for_good(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        server = lab.listen()
        client = await lab.connect()
        await server.accept()
        await lab.see("client", State.ESTABLISHED)
        client.vanish()
        await lab.see_gone("client")
    (told,) = [f for f in lab.experiment.findings if f.code == "peer-gone"]
    assert told.side == "server"
    assert "keepalive is not armed" in told.text


async def test_an_orderly_close_has_nothing_to_read(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client = await lab.connect()
        client.close()
        await lab.see("client", State.TIME_WAIT)
        await lab.see_gone("server")
    assert lab.experiment.findings == []


async def test_each_connection_has_findings_of_its_own(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        server = lab.listen()
        for _ in range(2):
            client = await lab.connect()
            accepted = await server.accept()
            client.half_close()
            await lab.see("server", State.CLOSE_WAIT, client=client)
        await accepted.recv_to_end()
        await lab.see_reading("server", "not-closed", client=client)
    codes = [{f.code for f in lab.experiment.findings_on(c)} for c in lab.experiment.connections]
    assert "eof-unread" in codes[0] and "not-closed" not in codes[0]
    assert "not-closed" in codes[1] and "eof-unread" not in codes[1]


async def test_a_reading_not_seen_fails_with_what_was(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        server = lab.listen()
        client = await lab.connect()
        await server.accept()
        client.half_close()
        await lab.see("client", State.FIN_WAIT_2)
        with pytest.raises(AssertionError, match=r"reads orphan-countdown.*it reads half-closed"):
            await lab.see_reading("client", "orphan-countdown", timeout=0.1)


async def test_no_reading_without_sock_diag(network: PrivateNetwork) -> None:
    lab = Lab()
    async with lab:
        server = lab.listen()
        await lab.connect()
        await server.accept()
        sampler, lab.sampler = lab.sampler, Sampler(pids=[os.getpid()], source="psutil")
        async with lab.sampler:
            await lab.see_reading("server", "keepalive-off", timeout=0.1)
        lab.sampler = sampler
    assert [c.verdict for c in lab.checks] == [Verdict.INCONCLUSIVE]


async def test_a_state_not_seen_fails_with_what_was(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        await lab.connect()
        with pytest.raises(AssertionError, match=r"server in CLOSE_WAIT.*ESTABLISHED"):
            await lab.see("server", State.CLOSE_WAIT, timeout=0.2)
    assert [c.verdict for c in lab.checks] == [Verdict.FAIL]


async def test_expect_shows_both_conversations(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client = await lab.connect()
        client.close()
        await lab.see_gone("server")
    with pytest.raises(AssertionError) as failure:
        lab.experiment.expect("> S 0:0(0)\n< S. 0:0(0) ack 1\n> . 1:1(0) ack 1\n> R. 1:1(0) ack 1")
    message = str(failure.value)
    assert "- > R. 1:1(0) ack 1" in message
    assert "+ > F. 1:1(0) ack 1" in message
    assert "FIN_WAIT_1 / CLOSE_WAIT" in message


async def test_what_is_saved_can_be_read(network: PrivateNetwork, tmp_path: Path) -> None:
    async with Lab() as lab:
        await lab.serve("echo")
        client = await lab.connect()
        client.close()
        await lab.see_gone("server")
    files = lab.experiment.save(tmp_path / "kept", "a close")
    with open_capture(files["capture"]) as capture:
        segments = list(capture.segments())
    assert len(segments) == len(lab.experiment.recording.packets)
    assert "a close" in Path(files["ladder"]).read_text()
    assert Path(files["svg"]).read_text().startswith("<svg") or "<svg" in Path(files["svg"]).read_text()


async def test_mistakes_are_told(network: PrivateNetwork) -> None:
    async with Lab() as lab:
        with pytest.raises(ExperimentError, match="no server yet"):
            lab.client()
        with pytest.raises(UsageError, match="gopher"):
            await lab.serve("gopher")
        with pytest.raises(UsageError, match="no ending called"):
            await lab.serve("echo", ending="rude")
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            with pytest.raises(ExperimentError, match="cannot listen"):
                await lab.serve("echo", port=port)
            with pytest.raises(ExperimentError, match="did not come to listen"):
                await lab.serve("echo", port=port, process=True)
    with pytest.raises(UsageError, match="private network only"):
        async with Lab(sysctls={"tcp_fin_timeout": 9}):
            pass
