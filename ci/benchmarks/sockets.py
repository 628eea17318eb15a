"""Tens of thousands of connections in this network, held by several processes, as on a busy machine.

    python -m ci.benchmarks.sockets HOST CONNECTIONS KEEPALIVE    one of those processes

Each holds both ends of its connections, and a listener, on an address of its own, so that neither the
limit of descriptors of one process nor the ports of one address are the limit.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from testbed.errors import CapabilityError
from testbed.net.libc import dying_with_parent

PORT: Final = 2000
SPARE: Final = 64
"""Descriptors that a process needs for other things than sockets."""
LEAST_PROCESSES: Final = 4
MOST_PROCESSES: Final = 64
_PATIENCE: Final = 120
"""Seconds for one process to open its connections."""


class Population(NamedTuple):
    """What is open.

    sockets    both ends of each connection, and the listeners
    processes  that hold them
    short      why there are fewer than were asked for; "" where there are not
    """

    sockets: int
    processes: int
    short: str


def planned(wanted: int, descriptors: int) -> tuple[list[int], str]:
    """How many connections each process opens for `wanted` sockets, and why it is fewer in all."""
    most = (descriptors - SPARE - 1) // 2
    connections = max(1, wanted // 2)
    processes = max(LEAST_PROCESSES, -(-connections // most))
    short = ""
    if processes > MOST_PROCESSES:
        processes, connections = MOST_PROCESSES, MOST_PROCESSES * most
        short = (
            f"{wanted:,} were asked for; a process may open {descriptors:,} descriptors here (ulimit -Hn), "
            f"and there are {MOST_PROCESSES} processes at most"
        )
    each, more = divmod(connections, processes)
    return [each + (number < more) for number in range(processes)], short


@contextlib.contextmanager
def opened(wanted: int, *, keepalive: bool = False) -> Iterator[Population]:
    """`wanted` sockets, as far as this user's limits go; all are gone at the end.

    keepalive  with SO_KEEPALIVE on both ends: then a timer of each runs, and no row stays as it was

    Error handling: CapabilityError where a process cannot open its share.
    """
    shares, short = planned(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(_process(f"127.0.{number // 250}.{number % 250 + 2}", share, keepalive))
            for number, share in enumerate(shares)
        ]
        for process in running:
            _wait_until_ready(process)
        yield Population(2 * sum(shares) + len(shares), len(shares), short)


@contextlib.contextmanager
def _process(host: str, connections: int, keepalive: bool) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", f"{__package__}.sockets", host, str(connections), str(int(keepalive))]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=dying_with_parent(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
    said = process.stdout.readline().strip() if ready else f"nothing in {_PATIENCE} s"
    if said != "ready":
        raise CapabilityError(
            f"a process could not open its connections: {said}", "ask for fewer: ci/bench --sockets 1000"
        )


def _hold(host: str, connections: int, keepalive: bool) -> None:
    """In the process: open them, say so, and keep them until standard input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    with socket.create_server((host, PORT)) as listener:
        for _ in range(connections):
            client = socket.create_connection((host, PORT))
            server, _ = listener.accept()
            for end in (client, server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(keepalive))
            held += [client, server]
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    try:
        _hold(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1")
    except OSError as error:
        print(error.strerror or error, flush=True)
        sys.exit(3)
