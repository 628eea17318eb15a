"""A lab between two hosts: both ends seen by the kernel, either end captured, every fault a row."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from testbed.errors import UsageError
from testbed.lab import Lab
from testbed.lab.lab import CaptureAt
from testbed.net.private import PrivateNetwork
from testbed.render import svg, terminal
from testbed.tcp.states import State
from testbed.wire.decode import Decoder
from testbed.wire.notation import parse_transcript
from testbed.wire.reader import open_capture

pytestmark = pytest.mark.usefixtures("live", "network")
CLOSE = """
    > S 0:0(0)
    < S. 0:0(0) ack 1
    > . 1:1(0) ack 1
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
"""


async def close(lab: Lab) -> None:
    """A connection opened and closed, the client first."""
    server = lab.listen(9502)
    client = await lab.connect()
    accepted = await server.accept()
    client.close()
    assert await accepted.recv_to_end() == (b"", "EOF")
    accepted.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


@pytest.mark.parametrize("link", [None, ()])
@pytest.mark.parametrize("end", ["client", "server", "both"])
async def test_a_conversation_between_two_hosts(end: CaptureAt, link: tuple[str, ...] | None) -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    async with Lab(net="hosts", link=link, capture_at=end) as lab:
        await close(lab)
    assert Path("/proc/thread-self/ns/net").readlink() == home
    experiment = lab.experiment
    experiment.expect(CLOSE)
    assert experiment.recording.complete is True
    assert [str(a) for a in experiment.connection.addresses][1] == "192.0.2.2:9502"
    assert experiment.faults == []
    if end == "both":
        assert experiment.far is not None and experiment.far.complete is True
        assert len(experiment.far.segments()) == len(experiment.recording.segments())
    else:
        assert experiment.far is None


async def test_both_ends_of_the_wire_tell_what_became_of_a_segment(tmp_path: Path) -> None:
    async with Lab(net="hosts", link=["drop > F. #1"], capture_at="both") as lab:
        await close(lab)
    experiment = lab.experiment
    assert experiment.far is not None
    near, far = ([s for s in r.segments() if s.flags & 1] for r in (experiment.recording, experiment.far))
    assert (len(near), len(far)) == (3, 2), "the client sent its FIN twice, and one of them arrived"
    files = experiment.save(tmp_path)
    with open_capture(files["far-capture"]) as capture:
        assert len(list(capture.segments())) == len(experiment.far.packets)


DROPPED = "> F. 1:1(0) ack 1  # dropped here"


@pytest.mark.parametrize("end", ["client", "server"])
async def test_a_dropped_segment_is_a_row_wherever_was_captured(end: CaptureAt) -> None:
    async with Lab(net="hosts", link=["drop > F. #1"], capture_at=end) as lab:
        await close(lab)
    experiment = lab.experiment
    experiment.expect(CLOSE)
    transcript = experiment.transcript()
    assert transcript[3:5] == [DROPPED, "> F. 1:1(0) ack 1"]
    assert parse_transcript("\n".join(transcript)), "it is still the notation"
    (fault,) = experiment.faults
    assert (fault.lost, fault.frame) == (True, 4 if end == "client" else None)
    drawn = terminal.plain(experiment.ladder())
    (line,) = [line for line in drawn.splitlines() if "dropped here" in line]
    assert "✗" in line and "▶" not in line
    assert "did not arrive" in drawn
    assert "dropped here" in svg.draw(experiment.ladder())


@pytest.mark.parametrize("end", ["client", "server"])
async def test_what_else_is_done_is_told_at_its_segment(end: CaptureAt) -> None:
    rules = ["duplicate < S.", "inject < . 1:1(0) ack 1 after > . #1"]
    async with Lab(net="hosts", link=rules, capture_at=end) as lab:
        await lab.link.hold("> F. #1")
        closing = asyncio.create_task(close(lab))
        await lab.link.until_held("> F.")
        await lab.link.release()
        await closing
    told = {fault.notation: fault.what for fault in lab.experiment.faults}
    assert told["< . 1:1(0) ack 1"] == "forged"
    assert told["> F. 1:1(0) ack 1"].startswith("held ")
    answers = [line for line in lab.experiment.transcript() if line.startswith("< S.")]
    if end == "client":
        assert answers == ["< S. 0:0(0) ack 1  # doubled here", "< S. 0:0(0) ack 1  # the copy"]
    else:
        assert answers == ["< S. 0:0(0) ack 1  # doubled here"]
    captured = [line for line in lab.experiment.transcript() if "forged" in line]
    assert len(captured) == 1, "drawn, whether or not it passed the place of the capture"


async def test_a_cut_wire_and_a_restored_one() -> None:
    for link in (None, ()):
        async with Lab(net="hosts", link=link) as lab:
            server = lab.listen(9502)
            client = await lab.connect()
            accepted = await server.accept()
            await lab.cut_wire()
            await client.send(b"late")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(accepted.recv_exactly(4), 0.3)
            await lab.restore_wire()
            assert await accepted.recv_exactly(4) == b"late"


async def test_the_mtu_may_change_on_the_way() -> None:
    async with Lab(net="hosts", mtu=1280) as lab:
        server = lab.listen(9502)
        for mtu in (None, 576):
            if mtu is not None:
                lab.set_mtu(mtu)
            client = await lab.connect()
            accepted = await server.accept()
            await client.send(b"x" * 5000)
            assert len(await accepted.recv_exactly(5000)) == 5000
    first, second = lab.experiment.connections
    assert (first.client.mss, first.server.mss) == (1240, 1240)
    assert (second.client.mss, second.server.mss) == (536, 536)
    segments = Decoder().segments(lab.experiment.recording.packets)
    assert max(s.length for s in segments) == 1240 - 12
    assert max(s.length for s in segments if s.flow == second.client_flow) == 536 - 12


async def test_a_server_in_a_process_of_its_own_is_on_its_host() -> None:
    async with Lab(net="hosts") as lab:
        address = await lab.serve("echo", port=9502, process=True)
        assert address == ("192.0.2.2", 9502)
        client = await lab.connect()
        await client.send(b"hello\r\n")
        assert await client.recv_exactly(18) == b"server got:hello\r\n"
        assert client.local[0] == "192.0.2.1"


async def test_settings_are_both_hosts() -> None:
    async with Lab(net="hosts", sysctls={"tcp_fin_timeout": 9}) as lab:
        assert lab.hosts is not None
        for host in (lab.hosts.client, lab.hosts.server):
            with host.enter():
                assert Path("/proc/sys/net/ipv4/tcp_fin_timeout").read_text().strip() == "9"


async def test_mistakes_are_told() -> None:
    with pytest.raises(UsageError, match="between two hosts"):
        Lab(link=[])
    with pytest.raises(UsageError, match="column 1"):
        async with Lab(net="hosts", link=["dorp > F."]):
            pass
    async with Lab() as lab:
        with pytest.raises(UsageError, match="no link"):
            _ = lab.link
        with pytest.raises(UsageError, match="no wire"):
            await lab.cut_wire()


async def test_a_failed_entry_leaves_the_thread_at_home(network: PrivateNetwork) -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(UsageError):
        async with Lab(net="hosts", sysctls={"no_such_setting": 1}):
            pass
    assert Path("/proc/thread-self/ns/net").readlink() == home


async def test_a_forged_address_is_answered_where_there_is_a_route() -> None:
    async with Lab(net="hosts", link=[], capture_at="server") as lab:
        lab.listen(9502)
        await lab.link.inject("> S 0:0(0)", ports=(40001, 9502), client="198.51.100.1")
        lab.route_to_client("198.51.100.0", 24)
        await lab.link.inject("> S 0:0(0)", ports=(40002, 9502), client="198.51.100.2")
        assert await lab.see_many(State.SYN_RECEIVED, 1) == 1
    lonely, answered = lab.experiment.connections
    assert (lonely.addresses[0].host, lonely.server.packets) == ("198.51.100.1", 0)
    assert (answered.addresses[0].host, answered.server.packets) == ("198.51.100.2", 1)
    assert lab.experiment.transcript() == ["> S 0:0(0)  # forged"]


async def test_each_host_counts_for_itself() -> None:
    async with Lab(net="hosts", link=["drop > S #1"]) as lab:
        client, server = lab.counters("client"), lab.counters()
        await close(lab)
        await lab.see_counted(client, {"TCPTimeouts": 1}, side="client")
        with pytest.raises(AssertionError, match="TCPTimeouts 0"):
            await lab.see_counted(server, {"TCPTimeouts": 1}, timeout=0.05)


async def test_a_setting_changes_while_the_experiment_goes_on() -> None:
    async with Lab(net="hosts") as lab:
        lab.set_sysctl("tcp_window_scaling", 0)
        await close(lab)
        with pytest.raises(UsageError, match="tcp_no_such"):
            lab.set_sysctl("tcp_no_such", 1)
    assert lab.experiment.connection.client.scale >= 0
    assert lab.experiment.connection.server.scale < 0
    assert "tcp_window_scaling is 0 on the server's host" in [step.text for step in lab.experiment.steps]
