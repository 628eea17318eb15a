"""tcpdump for real, in private networks.

The number of packets of each experiment follows from what was done: three for the handshake, a
data segment and its acknowledgment each way, FIN and ACK of the one side and of the other, with
the second FIN carrying the first ACK.  A machine that is busy for 40 ms adds a delayed
acknowledgment: ten is the least, and the interface's count says how many there were.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from testbed.capture import Recording, Tcpdump
from testbed.capture.tcpdump import RESEND_SECONDS
from testbed.errors import CapabilityError, ExperimentError, UsageError
from testbed.net import links
from testbed.net.hosts import INTERFACE, Side, TwoHosts
from testbed.net.private import PrivateNetwork
from testbed.wire import ACK, FIN, RST, SYN

ROOT = Path(__file__).parents[2]
TEN = 10


SIDES: tuple[Side, ...] = ("client", "server")


def ten_packets(server: socket.socket) -> None:
    """One connection: open, 100 bytes there, 50 bytes back, close, both ends final."""
    with socket.create_connection(server.getsockname(), timeout=10) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(bytes(100))
            accepted.recv(1000)
            accepted.sendall(bytes(50))
            client.recv(1000)
            client.close()
            assert accepted.recv(1) == b""


def datagrams(count: int, size: int = 32) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as itself:
        itself.bind(("127.0.0.1", 0))
        for number in range(count):
            itself.sendto(number.to_bytes(4, "big") + bytes(size - 4), itself.getsockname())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what comes soon, but not at once: a killed tcpdump takes 20 ms to close its ring."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)


def proven(recording: Recording, packets: int) -> bool:
    return whole(recording) and len(recording.packets) == packets


def whole(recording: Recording) -> bool:
    return (
        recording.complete is True
        and recording.dropped == 0
        and len(recording.packets) == recording.interface_packets
    )


def from_syn_to_last_ack(recording: Recording) -> bool:
    """Whether it holds one connection, its first segment and its last."""
    flags = [segment.flags & (SYN | FIN | RST | ACK) for segment in recording.segments()]
    return (
        len(flags) == len(recording.packets) >= TEN
        and flags[:3] == [SYN, SYN | ACK, ACK]
        and flags.count(FIN | ACK) >= 2
        and flags[-1] == ACK
    )


async def test_two_thousand_experiments_lose_nothing(network: PrivateNetwork) -> None:
    bad: list[Recording] = []
    packets = 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = links.passed_packets("lo")
        async with Tcpdump() as capture:
            for _ in range(2000):
                ten_packets(server)
                recording = await capture.cut()
                packets += len(recording.packets)
                if not (whole(recording) and from_syn_to_last_ack(recording)):
                    bad.append(recording)
            assert capture._sentinel is not None
            sentinels = capture._sentinel.sent
    assert not bad
    # and once more by an independent sum: all that lo received is the experiments and the sentinels
    assert links.passed_packets("lo") - before == packets + sentinels


async def test_experiments_with_a_tcpdump_each(network: PrivateNetwork) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(30):
            async with Tcpdump() as capture:
                ten_packets(server)
                recording = await capture.cut()
                assert whole(recording)
                assert from_syn_to_last_ack(recording)


async def test_one_recording_is_a_capture_of_its_own(network: PrivateNetwork, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with Tcpdump() as capture:
            ten_packets(server)
            await capture.cut()
            begun = time.time_ns()
            ten_packets(server)
            recording = await capture.cut()
            between = time.time_ns()
            nothing = await capture.cut()
    assert [packet.frame for packet in recording.packets] == list(range(1, len(recording.packets) + 1))
    assert recording.link_type == 1
    times = [packet.time_ns for packet in recording.packets]
    assert times == sorted(times)
    assert begun <= times[0] <= times[-1] <= recording.cut_ns <= between
    assert between <= nothing.cut_ns <= time.time_ns(), "where nothing passed, too"
    assert from_syn_to_last_ack(recording)
    assert {segment.length for segment in recording.segments()} == {0, 50, 100}
    assert proven(nothing, 0)
    recording.save(tmp_path / "saved.pcap")
    read = subprocess.run(
        ["tcpdump", "-n", "-r", tmp_path / "saved.pcap"], capture_output=True, text=True, check=True
    )
    assert len(read.stdout.splitlines()) == len(recording.packets)


async def test_what_another_thread_sent_before_the_cut_is_in_it(network: PrivateNetwork) -> None:
    # packets of another CPU may pass the tap after the sentinel, though they were sent before it
    async with Tcpdump() as capture:
        for _ in range(100):
            thread = threading.Thread(target=datagrams, args=(50,))
            thread.start()
            thread.join()
            assert proven(await capture.cut(), 50)


async def test_a_busy_event_loop_loses_nothing(network: PrivateNetwork) -> None:
    async with Tcpdump() as capture:
        datagrams(5000)  # nobody reads the pipe meanwhile
        recording = await capture.cut()
    assert proven(recording, 5000)
    numbers = [int.from_bytes(packet.data[42:46], "big") for packet in recording.packets]
    assert numbers == list(range(5000))


async def test_traffic_that_goes_on_does_not_hold_up_a_cut(network: PrivateNetwork) -> None:
    stop = threading.Event()

    def keep_sending() -> None:
        while not stop.is_set():
            datagrams(10)

    thread = threading.Thread(target=keep_sending)
    thread.start()
    try:
        async with Tcpdump() as capture:
            recordings = [await capture.cut() for _ in range(20)]
            stop.set()
            thread.join()
            recordings.append(await capture.cut())
    finally:
        stop.set()
        thread.join()
    assert all(recording.dropped == 0 for recording in recordings[1:])


async def test_losses_are_counted_and_do_not_taint_what_follows(network: PrivateNetwork) -> None:
    async with Tcpdump(buffer_kib=64) as capture:
        os.kill(capture.pid, signal.SIGSTOP)
        try:
            datagrams(3000)
        finally:
            os.kill(capture.pid, signal.SIGCONT)
        lossy = await capture.cut()
        datagrams(3)
        whole = await capture.cut()
    assert (lossy.complete, lossy.interface_packets) == (False, 3000)
    assert lossy.dropped == 3000 - len(lossy.packets) > 0
    assert proven(whole, 3)


async def test_with_a_filter_nothing_is_proven_but_losses_still_show(network: PrivateNetwork) -> None:
    async with Tcpdump(filter=["udp and", "greater", "100"], buffer_kib=64) as capture:
        datagrams(5, size=32)
        datagrams(5, size=200)
        filtered = await capture.cut()
        os.kill(capture.pid, signal.SIGSTOP)
        try:
            datagrams(3000, size=200)
        finally:
            os.kill(capture.pid, signal.SIGCONT)
        lossy = await capture.cut()
    assert (len(filtered.packets), filtered.interface_packets) == (5, None)
    assert (filtered.complete, filtered.dropped) == (None, 0)
    assert (lossy.complete, lossy.interface_packets) == (False, None)
    assert lossy.dropped is not None
    assert lossy.dropped > 0
    assert len(lossy.packets) < 3000


async def test_a_network_that_others_use_proves_nothing() -> None:
    if links.in_private_network():
        pytest.skip("this whole run is in a private network")
    try:
        async with Tcpdump() as capture:
            datagrams(3)
            recording = await capture.cut()
    except CapabilityError as error:
        pytest.skip(str(error))
    assert len(recording.packets) >= 3
    assert (recording.complete, recording.interface_packets, recording.dropped) == (None, None, 0)


async def test_an_interface_that_is_a_wire(network: PrivateNetwork) -> None:
    subprocess.run(["ip", "link", "add", "dev", "a", "type", "veth", "peer", "name", "b"], check=True)
    subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "a"], check=True)
    links.raise_link("a")
    links.raise_link("b")
    async with Tcpdump("a", filter=["icmp"]) as capture:
        recording = await capture.cut()
    assert (recording.packets, recording.complete, recording.dropped) == ([], None, 0)


@pytest.mark.parametrize("side", SIDES)
async def test_either_end_of_a_wire_is_captured_whole(side: Side, network: PrivateNetwork) -> None:
    """From outside of it: what is sent and what is received, as many packets as the interface counted."""
    with TwoHosts() as hosts:
        async with Tcpdump(INTERFACE, inside=hosts.host(side).enter) as capture:
            for _ in range(3):
                with hosts.server.enter(), socket.create_server((hosts.server.address, 0)) as listener:
                    with hosts.client.enter():
                        client = socket.create_connection(listener.getsockname(), timeout=10)
                    server, _ = listener.accept()
                with client, server:
                    client.sendall(b"x" * 50_000)
                    assert server.recv(50_000, socket.MSG_WAITALL) == b"x" * 50_000
                    server.sendall(b"y")
                    assert client.recv(1) == b"y"
                    recording = await capture.cut()
                assert (recording.complete, recording.dropped) == (True, 0)
                assert recording.interface_packets == len(recording.packets)
                sent = {(s.flow, s.seq): s.length for s in recording.segments()}
                assert sum(sent.values()) == 50_001
                closing = await capture.cut()
                assert closing.complete is True


async def test_cut_packets_say_so(network: PrivateNetwork) -> None:
    async with Tcpdump(snaplen=128) as capture:
        datagrams(1, size=1000)
        [packet] = (await capture.cut()).packets
    assert (len(packet.data), packet.original_length) == (128, 14 + 20 + 8 + 1000)


# ---- what goes wrong


@pytest.mark.parametrize(
    "words", [["tcp", "prt", "80"], ["tcp ) or ( udp"], ["-w", "{file}"], ["("], ["--", "-z", "sh"]]
)
async def test_a_filter_that_is_none(network: PrivateNetwork, tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "written"
    with pytest.raises(UsageError, match="filter"):
        async with Tcpdump(filter=[word.format(file=file) for word in words]):
            pass
    assert not file.exists()


async def test_an_interface_that_is_none(network: PrivateNetwork) -> None:
    with pytest.raises(UsageError, match=r"no interface 'eth7' .* there are: lo"):
        async with Tcpdump("eth7"):
            pass


async def test_arguments_that_are_none() -> None:
    with pytest.raises(UsageError, match="sequence of words"):
        Tcpdump(filter="tcp port 80")
    with pytest.raises(UsageError, match="snap length"):
        Tcpdump(snaplen=64)
    with pytest.raises(UsageError, match="buffer"):
        Tcpdump(buffer_kib=0)
    with pytest.raises(UsageError, match="not entered"):
        await Tcpdump().cut()


async def test_no_tcpdump_no_capture(network: PrivateNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testbed.capture.arguments.shutil.which", lambda *_, **__: None)
    with pytest.raises(CapabilityError, match="apt-get install tcpdump"):
        async with Tcpdump():
            pass


async def test_one_that_will_not_start_is_told_in_its_words(
    network: PrivateNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "tcpdump"
    program.write_text("#!/bin/sh\necho 'tcpdump: lo: Operation not permitted' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("testbed.capture.tcpdump.find_tcpdump", lambda: str(program))
    with pytest.raises(CapabilityError, match=r"Operation not permitted; run as root .*setcap"):
        async with Tcpdump():
            pass


async def test_a_tcpdump_that_died_is_told(network: PrivateNetwork) -> None:
    async with Tcpdump() as capture:
        os.kill(capture.pid, signal.SIGTERM)
        with pytest.raises(ExperimentError, match=r"^tcpdump on lo ended: \d+ packets? captured"):
            for _ in range(1000):  # it may still answer while it ends
                await capture.cut()
                await asyncio.sleep(RESEND_SECONDS)


# ---- nothing is left behind


async def test_it_ends_with_its_block_whatever_happens(network: PrivateNetwork) -> None:
    descriptors = set(Path("/proc/self/fd").iterdir())
    capture = Tcpdump()
    with pytest.raises(KeyError):
        async with capture:
            pid = capture.pid
            raise KeyError
    await until(lambda: is_gone(pid))
    assert set(Path("/proc/self/fd").iterdir()) == descriptors
    with pytest.raises(UsageError, match="already"):
        await capture.__aenter__()


async def test_it_ends_when_cancelled_at_any_moment(network: PrivateNetwork) -> None:
    descriptors = set(Path("/proc/self/fd").iterdir())
    children = set(psutil.Process().children())  # other tests' helpers, such as multiprocessing's forkserver
    started: list[int] = []

    async def cuts() -> None:
        async with Tcpdump() as capture:
            started.append(capture.pid)
            while True:
                await capture.cut()

    for milliseconds in (0, 1, 3, 8, 15, 20, 25, 40, None):  # and once it cuts
        task = asyncio.create_task(cuts())
        if milliseconds is not None:
            await asyncio.sleep(milliseconds / 1000)
        else:
            async with asyncio.timeout(30):
                while not started:
                    await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: set(psutil.Process().children()) <= children)
    assert started
    assert set(Path("/proc/self/fd").iterdir()) == descriptors


def test_it_ends_when_its_starter_is_killed(network: PrivateNetwork) -> None:
    code = """if 1:
        import asyncio, os, signal
        from testbed.capture import Tcpdump

        async def main():
            async with Tcpdump() as capture:
                print(capture.pid, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
