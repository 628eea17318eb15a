"""The rows about captures too big to be explained, and the others who go through them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from testbed.capture.arguments import find_tcpdump
from testbed.scan.job import Job as Scan
from testbed.scan.job import scan as scan_one
from testbed.scan.output import writing
from testbed.scan.pool import scan_all
from testbed.scan.workers import processes

from .captures import program
from .forged import OPEN, write
from .measure import Contender
from .table import Job, Options

FILES = 8

PROMISED = 200_000_000
"""Bytes of memory whatever the capture; what each open connection may have comes on top."""

PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A small process starts the program: the kernel counts what the one that starts it has as the program's."""


@contextlib.contextmanager
def scan(options: Options) -> Iterator[Job]:
    """One capture, a row of each connection of it."""
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        path, rows = Path(folder) / "big.pcap", Path(folder) / "rows.parquet"
        written = write(path, options.packets)

        def counted() -> int:
            summary = scan_one(Scan(str(path)), lambda rows: None)
            assert summary.connections == written.connections
            return summary.scanned[0].capture.packets

        def with_rows() -> int:
            with writing(rows) as table:
                summary = scan_one(Scan(str(path)), table.write)
            return summary.scanned[0].capture.packets

        command = [sys.executable, "-m", "testbed", "scan", str(path)]
        tcpdump = [find_tcpdump(), "-r", str(path), "-w", "/dev/null"]
        tshark = ["tshark", "-nqr", str(path), "-z", "conv,tcp"]
        packets = written.packets
        yield Job(
            [
                Contender("testbed scan", counted, ours=True, note="in this process, every row judged"),
                Contender("... --out rows.parquet", with_rows, ours=True, note="in this process"),
                program("... as a command", command, packets, is_ours=True),
                program("... with --out", [*command, "--out", str(rows)], packets, is_ours=True),
                program("tcpdump -r -w /dev/null", tcpdump, packets),
                program("tshark -z conv,tcp", tshark, packets),
                program("tcptrace", ["tcptrace", "-n", str(path)], packets),
            ],
            [
                f"{packets:,} packets of {written.connections:,} connections, {path.stat().st_size:,} bytes",
                ", ".join(f"{count:,} {kind}" for kind, count in written.kinds.items()),
            ],
        )


@contextlib.contextmanager
def memory(options: Options) -> Iterator[Job]:
    """One capture at whose end every connection of it is open."""
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        path = Path(folder) / "open.pcap"
        written = write(path, options.open * len(OPEN[0].text.splitlines()), of=OPEN)
        commands = {
            "testbed scan": [sys.executable, "-m", "testbed", "scan", str(path)],
            "... with --out": [
                *(sys.executable, "-m", "testbed", "scan", str(path)),
                *("--out", str(Path(folder) / "rows.parquet")),
            ],
            "tshark -z conv,tcp": ["tshark", "-nqr", str(path), "-z", "conv,tcp"],
        }
        yield Job(
            [
                program(name, command, written.connections, is_ours=command[0] == sys.executable)
                for name, command in commands.items()
            ],
            [
                f"{written.packets:,} packets of {written.connections:,} connections",
                *(_peak(name, command, written.connections) for name, command in commands.items()),
            ],
            rounds=3,
        )


def _peak(name: str, command: list[str], connections: int) -> str:
    """How much memory a program has at its highest, against what is promised, in words."""
    if shutil.which(command[0]) is None:
        return f"{name}: not installed"
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command], stdout=subprocess.PIPE, check=True, timeout=900
    )
    peak = int(done.stdout) * 1024
    each = (peak - PROMISED) / connections
    return f"{name}: {peak / 1e6:,.0f} MB, {each:,.0f} bytes for each connection beyond 200 MB"


@contextlib.contextmanager
def side_by_side(options: Options) -> Iterator[Job]:
    """Several captures, by two processes and by one."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="testbed-bench-"))
        paths = [Path(folder) / f"{number}.pcap" for number in range(FILES)]
        packets = sum(write(path, options.packets).packets for path in paths)
        jobs = [Scan(str(path)) for path in paths]

        def by(count: int) -> Callable[[], int]:
            executor = stack.enter_context(processes(count))
            return lambda: sum(summary.scanned[0].capture.packets for summary, _ in scan_all(jobs, executor))

        command = [sys.executable, "-m", "testbed", "scan", folder, "--jobs"]
        yield Job(
            [
                Contender("two processes", by(2), ours=True, note="they run already"),
                Contender("one process", by(1), ours=True, note="it runs already"),
                program("testbed scan --jobs 2", [*command, "2"], packets, is_ours=True),
                program("testbed scan --jobs 1", [*command, "1"], packets, is_ours=True),
            ],
            [f"{FILES} captures, {packets:,} packets together"],
        )
