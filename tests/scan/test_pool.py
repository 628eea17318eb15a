"""Captures scanned on a real Dask cluster on loopback, of which one worker is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from testbed.errors import CapabilityError, UnreadableInput
from testbed.explanation import explain
from testbed.net.libc import dying_with_parent
from testbed.scan import pool, workers
from testbed.scan.job import Job
from testbed.scan.output import writing
from testbed.scan.summary import Summary

from ..cli.test_scan import rows_of
from ..tcp.conversation import segments
from .differential import pcap
from .test_differential import STORIES

CAPTURES = 40
START_S = 60


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a process, which end with the test; the address, the workers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "distributed.cli.dask_spec"]
    here = {"host": "127.0.0.1", "dashboard": False}
    scheduler = {"cls": "dask.distributed.Scheduler", "opts": {**here, "port": port}}
    worker = {"cls": "dask.distributed.Worker", "opts": {**here, "nthreads": 1}}
    commands = [
        [*dask, "--spec", json.dumps(scheduler)],
        *([*dask, address, "--spec", json.dumps(worker)] for _ in range(2)),
    ]
    started = []
    try:
        for command in commands:
            started.append(
                subprocess.Popen(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    preexec_fn=dying_with_parent(signal.SIGKILL),
                )
            )
        connect: Any = Client
        with connect(address, timeout=START_S, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=START_S)
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait(timeout=30)


@pytest.fixture
def captures(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(CAPTURES):
        path = tmp_path / f"{number:02}.pcap"
        path.write_bytes(pcap(segments(STORIES[number % len(STORIES)])))
        paths.append(path)
    return paths


def test_a_worker_is_killed_in_the_middle_and_the_table_is_complete(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], captures: list[Path], tmp_path: Path
) -> None:
    address, workers = cluster
    jobs = [Job(str(path), part="csv") for path in captures]
    total, out = Summary(), tmp_path / "table.csv"
    with pool.cluster(address) as executor, writing(out) as table:
        for done, (summary, rows) in enumerate(pool.scan_all(jobs, executor)):
            total += summary
            pool.append(table, rows)
            if done == CAPTURES // 4:
                os.kill(workers[0].pid, signal.SIGKILL)
    assert workers[0].wait(timeout=30) == -signal.SIGKILL
    assert workers[1].poll() is None
    table_rows = rows_of(out)
    assert [row["file"] for row in table_rows] == sorted(str(path) for path in captures for _ in _lives(path))
    assert total.connections == len(table_rows)


def _lives(path: Path) -> range:
    """One for each connection: two stories have more than one."""
    return range(len(explain(path).connections))


def test_nobody_at_that_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(CapabilityError, match="no Dask scheduler answers"), pool.cluster(address):
        pass


def test_a_capture_that_is_none_stops_the_others(captures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "no.pcap").write_bytes(b"no capture at all")
    jobs = [Job(str(path)) for path in (tmp_path / "no.pcap", *captures)]
    with pytest.raises(UnreadableInput, match=r"no\.pcap"), workers.processes(2) as executor:
        list(pool.scan_all(jobs, executor))
