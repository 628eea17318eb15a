"""The row about a capture file, and the others who read one.

The capture is made here, by the project's own echo server: short connections, some ten segments each,
which is the hardest case for whoever keeps an account of connections.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from testbed.capture.arguments import find_tcpdump
from testbed.explanation.survey import Survey
from testbed.net.libc import dying_with_parent
from testbed.net.private import enter_private_network
from testbed.wire.pcap import PcapWriter
from testbed.wire.reader import open_capture

from .measure import Contender, absent
from .table import Job, Options

PORT: Final = 2333
ADDRESS_HOLDS: Final = 20_000
"""Connections of one local address, each from a port of its own."""

ANALYSIS: Final = (
    "tcp.stream",
    "tcp.seq",
    "tcp.ack",
    "tcp.completeness",
    "tcp.analysis.retransmission",
    "tcp.analysis.duplicate_ack",
    "tcp.analysis.keep_alive",
    "tcp.analysis.zero_window",
)


@contextlib.contextmanager
def explain(options: Options) -> Iterator[Job]:
    """One capture, each connection of it judged."""
    enter_private_network()
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        path = Path(folder) / "echo.pcap"
        record(path, options.connections)
        with open_capture(path) as capture:
            segments = sum(len(some) for _, some in capture.pieces())
        fields = [word for name in ANALYSIS for word in ("-e", name)]
        yield Job(
            [
                Contender("testbed explain", lambda: surveyed(path), ours=True, note="in this process"),
                program("... as a command", ours(path), segments, is_ours=True),
                program("tshark -z conv,tcp", ["tshark", "-nqr", str(path), "-z", "conv,tcp"], segments),
                program("tshark -T fields", ["tshark", "-nr", str(path), "-T", "fields", *fields], segments),
                library("dpkt", path, by_dpkt),
                library("scapy.all", path, by_scapy, part=10),
                library("pyshark", path, by_pyshark, part=50),
            ],
            [f"{segments:,} segments of {options.connections:,} connections, {path.stat().st_size:,} bytes"],
        )


def surveyed(path: Path) -> int:
    """What `testbed explain` does for its text summary."""
    with Survey(limit=20) as survey:
        survey.read(path)
        return sum(capture.tcp_segments for capture in survey.captures)


def ours(path: Path) -> list[str]:
    return [sys.executable, "-m", "testbed", "explain", str(path)]


# ---------------------------------------------------------------- the capture


def record(path: Path, connections: int) -> None:
    """Capture calls to an echo server, one after the other."""
    dying = dying_with_parent(signal.SIGKILL)
    with contextlib.ExitStack() as stack:
        for command in (
            [
                find_tcpdump(),
                "-i",
                "lo",
                "-s",
                "256",
                "-B",
                "131072",
                "-U",
                "-w",
                str(path),
                "-Z",
                "root",
                "tcp",
            ],
            [sys.executable, "-m", "servers.echo", "--port", str(PORT), "--ending", "polite"],
        ):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=dying
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)  # tcpdump writes what it has
        _wait_for_both(path)
        for number in range(connections):
            _call(f"127.1.{number // ADDRESS_HOLDS}.1")
        time.sleep(1.5)  # its block timer is a second


def _wait_for_both(path: Path) -> None:
    for _ in range(3000):
        if path.exists() and path.stat().st_size:
            with contextlib.suppress(ConnectionRefusedError):
                return _call("127.0.0.1")
        time.sleep(0.01)
    raise TimeoutError("tcpdump or the echo server was not ready within 30 s")


def _call(source: str) -> None:
    with socket.create_connection(("127.0.0.1", PORT), source_address=(source, 0)) as client:
        client.sendall(b"hello\n")
        client.recv(100)
        client.shutdown(socket.SHUT_WR)
        while client.recv(100):
            pass


# ---------------------------------------------------------------- others


def program(name: str, command: Sequence[str], segments: int, *, is_ours: bool = False) -> Contender:
    """A program that reads the capture; that it has seen all of it is taken from its exit status."""
    if shutil.which(command[0]) is None:
        return absent(name, f"{command[0]} is not installed")

    def run() -> int:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=900)
        return segments

    return Contender(name, run, ours=is_ours, note="with the start of its process")


def library(name: str, path: Path, read: Callable[[ModuleType, Path], int], *, part: int = 1) -> Contender:
    """A Python library, where it is installed; a slow one reads a part of the capture."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return absent(name.partition(".")[0], "it is not installed")
    note = "each packet an object"
    if part > 1:
        path = first_part(path, part)
        note += f"; 1/{part} of the capture, times {part}"
    return Contender(name.partition(".")[0], lambda: read(module, path), part=part, note=note)


def first_part(path: Path, part: int) -> Path:
    """A capture of the first 1/part of the packets, one at the least."""
    cut = path.with_suffix(f".{part}.pcap")
    with open_capture(path) as capture:
        packets = list(capture)
    with cut.open("wb") as stream:
        writer = PcapWriter(stream, packets[0].link_type)
        for packet in packets[: max(1, len(packets) // part)]:
            writer.write(packet)
    return cut


def by_dpkt(dpkt: ModuleType, path: Path) -> int:
    """dpkt's objects, and nothing made of them."""
    with path.open("rb") as stream:
        return sum(
            isinstance(dpkt.ethernet.Ethernet(data).data.data, dpkt.tcp.TCP)
            for _, data in dpkt.pcap.Reader(stream)
        )


def by_scapy(scapy: ModuleType, path: Path) -> int:
    """scapy's objects, and nothing made of them."""
    with scapy.PcapReader(str(path)) as packets:
        return sum(scapy.TCP in packet for packet in packets)


def by_pyshark(pyshark: ModuleType, path: Path) -> int:
    """tshark's packets as objects."""
    with pyshark.FileCapture(str(path), keep_packets=False) as packets:
        return sum("TCP" in packet for packet in packets)
