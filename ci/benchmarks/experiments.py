"""The rows about one short experiment, and what others have to do for one.

The experiment: capture on, a connection to an echo server in this process, one echo, close, the client
seen in TIME_WAIT, the capture cut and decoded, the connection judged.  All see 1: a connection that was
closed in order, by both FINs.  Who misses one of its packets sees 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from testbed.capture.arguments import find_tcpdump
from testbed.errors import Error
from testbed.explanation import explain
from testbed.lab import Lab, Verdict
from testbed.net.libc import dying_with_parent
from testbed.net.private import enter_private_network
from testbed.tcp.connection import Ending, Opening
from testbed.tcp.states import State

from .measure import Contender, absent
from .table import Job, Options

REQUEST: Final = b"hello\r\n"
OTHERS_EXPERIMENTS: Final = 100
"""How many experiments another one is asked for where ours does 2,000."""
_PATIENCE: Final = 10.0


@contextlib.contextmanager
def experiment(options: Options) -> Iterator[Job]:
    """One, by everybody."""
    enter_private_network()
    with asyncio.Runner() as runner:
        yield Job(
            [
                ours(
                    runner, "Lab(net='shared')", in_process, "an asyncio server beside it", 50, net="shared"
                ),
                ours(runner, "... with lab.serve('echo')", served, "ours beside it", 50, net="shared"),
                ours(runner, "... process=True", spawned, "ours, and the start of its process", net="shared"),
                ours(runner, "Lab()", in_process, "a tcpdump of its own"),
                ours(runner, "Lab(net='private')", in_process, "and a network of its own", net="private"),
                Contender("tcpdump and time.sleep", slept, note="1 s for it to start, 1 s for it to write"),
                *libraries(1),
            ],
            ["all see 1: a connection closed in order"],
        )


@contextlib.contextmanager
def lost(options: Options) -> Iterator[Job]:
    """Many of them, one after the other; what is seen is how many were whole."""
    enter_private_network()
    with asyncio.Runner() as runner:
        count = options.experiments
        others = min(count, OTHERS_EXPERIMENTS)
        note = f"of {others:,}"
        yield Job(
            [
                Contender(
                    "Lab(net='shared')",
                    lambda: sum(run_ours(runner, in_process, net="shared") for _ in range(count)),
                    ours=True,
                    note=f"of {count:,}, each proved by the interface's count",
                ),
                Contender(
                    "tcpdump, ended when it is over",
                    lambda: sum(stopped_at_once() for _ in range(others)),
                    note=note,
                ),
                Contender(
                    "... with --immediate-mode -U",
                    lambda: sum(stopped_at_once("--immediate-mode", "-U") for _ in range(others)),
                    note=note,
                ),
                *libraries(min(others, 10)),
            ],
            ["seen: experiments in which no packet was missing"],
            rounds=1,
        )


# ---------------------------------------------------------------- ours


async def in_process(lab: Lab) -> None:
    """An echo server as anybody writes one, in the test's own event loop."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    lab.at(*server.sockets[0].getsockname())
    await _talk(lab)
    server.close()


async def served(lab: Lab) -> None:
    """The project's own echo server, in this event loop."""
    await lab.serve("echo", prefix=b"")
    await _talk(lab)


async def spawned(lab: Lab) -> None:
    """The same in a process of its own."""
    await lab.serve("echo", process=True, prefix="")
    await _talk(lab)


async def _talk(lab: Lab) -> None:
    client = await lab.connect()
    await client.send(REQUEST)
    await client.recv_exactly(len(REQUEST))
    client.close()
    await lab.see("client", State.TIME_WAIT)
    await lab.see_gone("server")


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


Script = Callable[[Lab], Awaitable[None]]


def ours(
    runner: asyncio.Runner, name: str, script: Script, note: str, times: int = 1, **settings: Any
) -> Contender:
    """A lab of ours."""
    return Contender(name, lambda: run_ours(runner, script, **settings), ours=True, times=times, note=note)


def run_ours(runner: asyncio.Runner, script: Script, **settings: Any) -> int:
    """One experiment: 1 when it is proved to be whole and was closed in order."""

    async def run() -> int:
        async with Lab(**settings) as lab:
            await script(lab)
        experiment = lab.experiment
        whole = experiment.check_capture().verdict is Verdict.PASS and not experiment.findings
        return int(whole and experiment.connection.closed_in_order)

    return runner.run(run())


# ---------------------------------------------------------------- others


def exchange() -> int:
    """The same connection by plain sockets, both ends here; the server's port."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=_PATIENCE) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            client.sendall(REQUEST)
            accepted.sendall(accepted.recv(1000))
            client.recv(1000)
            client.shutdown(socket.SHUT_WR)
            accepted.recv(1000)
        client.recv(1000)
        return int(server.getsockname()[1])


def slept() -> int:
    """The script that people write."""
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        path = Path(folder) / "capture.pcap"
        process = _tcpdump(path)
        time.sleep(1)
        exchange()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        process.wait()
        return closed_in_order(path)


def stopped_at_once(*options: str) -> int:
    """Without its sleeps: as soon as tcpdump says that it listens, and ended when the experiment is over."""
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        path = Path(folder) / "capture.pcap"
        process = _tcpdump(path, *options)
        assert process.stderr is not None
        process.stderr.readline()
        exchange()
        process.send_signal(signal.SIGINT)
        process.communicate()
        return closed_in_order(path)


def _tcpdump(path: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [find_tcpdump(), *options, "-i", "lo", "-w", str(path), "-Z", "root", "tcp"],
        stderr=subprocess.PIPE,
        preexec_fn=dying_with_parent(signal.SIGKILL),
    )


def closed_in_order(path: Path) -> int:
    """Whether the capture shows one connection, opened and closed by both ends."""
    try:
        (told,) = explain(path).connections
    except (Error, ValueError):  # nothing was written, or no connection
        return 0
    return int(told.connection.ending is Ending.ORDERLY and told.connection.opening is Opening.HANDSHAKE)


def libraries(experiments: int) -> Iterator[Contender]:
    """Python libraries that capture, where they are installed."""
    for module, name, once, note in (
        ("scapy.all", "scapy AsyncSniffer", by_scapy, "stopped when it is over"),
        ("scapy.all", "... and time.sleep", by_scapy_asleep, "0.1 s for it to catch up"),
        ("pyshark", "pyshark LiveCapture", by_pyshark, "2 s for it to start, 1 s to catch up"),
    ):
        try:
            library = importlib.import_module(module)
        except ImportError:
            yield absent(name, "it is not installed")
            continue
        run = _times(once, library, experiments)
        yield Contender(name, run, note=f"of {experiments:,}" if experiments > 1 else note)


def _times(once: Callable[[ModuleType], int], library: ModuleType, experiments: int) -> Callable[[], int]:
    return lambda: sum(once(library) for _ in range(experiments))


def by_scapy_asleep(scapy: ModuleType) -> int:
    """The same with a pause before it is told to stop."""
    return by_scapy(scapy, pause=0.1)


def by_scapy(scapy: ModuleType, pause: float = 0.0) -> int:
    """From the callback that says that it has begun until it is told to stop."""
    begun = threading.Event()
    sniffer = scapy.AsyncSniffer(iface="lo", filter="tcp", started_callback=begun.set)
    sniffer.start()
    begun.wait(_PATIENCE)
    port = exchange()
    if pause:
        time.sleep(pause)
    ends = [(p.sport, p.dport, str(p.flags)) for p in (packet[scapy.TCP] for packet in sniffer.stop())]
    return _has_both_ends(port, ends)


def by_pyshark(pyshark: ModuleType) -> int:
    """tshark's packets; it does not say when it has begun, so two seconds are waited for."""
    sys.unraisablehook = lambda _: None  # its processes' transports outlive their event loop, and complain
    capture = pyshark.LiveCapture(interface="lo", bpf_filter="tcp")
    ports: list[int] = []
    talk = threading.Timer(2.0, lambda: ports.append(exchange()))
    talk.start()
    capture.sniff(timeout=3.0)
    talk.join()
    ends = [(int(t.srcport), int(t.dstport), str(t.flags_str)) for t in (p.tcp for p in capture._packets)]
    capture.close()
    return _has_both_ends(ports[0], ends)


def _has_both_ends(port: int, ends: Sequence[tuple[int, int, str]]) -> int:
    """Whether a SYN and both FINs are among packets, each with its ports and the letters of its flags."""
    ours = [(source, flags) for source, destination, flags in ends if port in (source, destination)]
    fins = {source for source, flags in ours if "F" in flags}
    return int(any("S" in flags for _, flags in ours) and len(fins) == 2)
