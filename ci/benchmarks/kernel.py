"""The rows about the kernel's socket tables, and the others who read them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil

from testbed.kernel import Sampler, SockDiag
from testbed.kernel.sample import SocketAddress
from testbed.net.private import enter_private_network

from .measure import Contender, absent
from .sockets import PORT, opened
from .table import Job, Options

LOOKUPS: Final = 2000
"""Exact look-ups for one figure."""


@contextlib.contextmanager
def sample(options: Options, *, keepalive: bool = False) -> Iterator[Job]:
    """All TCP sockets of a network at once."""
    enter_private_network()
    with (
        opened(options.sockets, keepalive=keepalive) as population,
        SockDiag() as kernel,
        sampling() as sampler,
    ):
        yield Job(
            [
                Contender(
                    "Sampler.sample", lambda: len(sampler.sample()), ours=True, note="what changed noted"
                ),
                Contender("... and every row looked at", lambda: len(list(sampler.sample())), ours=True),
                Contender("SockDiag.dump", lambda: len(kernel.dump()), ours=True, note="every row decoded"),
                Contender("psutil.net_connections", by_psutil, note="with pid and fd"),
                ss("ss -tan", ["-tanH"]),
                Contender("/proc/net/tcp in Python", by_proc, note="without who holds them"),
            ],
            [
                f"{population.sockets:,} sockets, listeners included, of {population.processes} processes",
                *([population.short] if population.short else []),
            ],
        )


@contextlib.contextmanager
def lookup(options: Options) -> Iterator[Job]:
    """One socket among all of them, by its two ends."""
    enter_private_network()
    with opened(options.sockets) as population, SockDiag() as kernel:
        established = [s for s in kernel.dump() if s.remote is not None and s.remote[1] == PORT]
        local, remote = established[len(established) // 2][1:3]
        assert remote is not None
        ends = local, remote
        yield Job(
            [
                Contender(
                    "SockDiag.lookup",
                    lambda: int(kernel.lookup(*ends) is not None),
                    ours=True,
                    times=LOOKUPS,
                    note="with queues and timer",
                ),
                ss("ss with a filter", ["-tanH", "src", _at(ends[0]), "dst", _at(ends[1])]),
            ],
            [f"one of {population.sockets:,} sockets; all see 1"],
        )


def _at(address: SocketAddress) -> str:
    return f"{address[0]}:{address[1]}"


@contextlib.contextmanager
def sampling() -> Iterator[Sampler]:
    """A sampler that looks only when it is told to."""
    with asyncio.Runner() as runner:
        sampler = Sampler(interval=3600, source="sock_diag")
        runner.run(sampler.__aenter__())
        try:
            yield sampler
        finally:
            runner.run(sampler.__aexit__(None, None, None))


# ---------------------------------------------------------------- others


def by_psutil() -> int:
    """psutil's way: /proc/net/tcp{,6}, and the descriptors of every process."""
    return len(psutil.net_connections("tcp"))


def ss(name: str, arguments: Sequence[str]) -> Contender:
    """iproute2's: the same netlink conversation in C, printed."""
    program = shutil.which("ss")
    if program is None:
        return absent(name, "ss is not installed (iproute2)")

    def run() -> int:
        told = subprocess.run([program, *arguments], capture_output=True, check=True, timeout=120)
        return told.stdout.count(b"\n")

    return Contender(name, run, note="with the start of its process")


def by_proc() -> int:
    """/proc/net/tcp and tcp6 read line by line: both ends, state, queues, uid and inode of each."""
    found = []
    for path, family in (
        ("/proc/thread-self/net/tcp", socket.AF_INET),
        ("/proc/thread-self/net/tcp6", socket.AF_INET6),
    ):
        with contextlib.suppress(FileNotFoundError), Path(path).open(encoding="ascii") as lines:
            next(lines)
            for line in lines:
                _, local, remote, state, queues, _, _, uid, _, inode, *_ = line.split()
                sent, received = queues.split(":")
                found.append(
                    (
                        _address(family, local),
                        _address(family, remote),
                        int(state, 16),
                        int(sent, 16),
                        int(received, 16),
                        int(uid),
                        int(inode),
                    )
                )
    return len(found)


def _address(family: int, text: str) -> tuple[str, int]:
    """``0100007F:0016`` in words of the machine's byte order."""
    host, port = text.split(":")
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words)), int(port, 16)
