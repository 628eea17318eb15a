"""A server in a process of its own: started, waited for, and ended whatever happens."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import psutil

from ..errors import ExperimentError
from ..net.interpreter import run_module
from ..net.libc import dying_with_parent

READY = "listening on "


class ServerProcess:
    """`python -m testbed.servers.NAME ...`, ready when it says where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, address: tuple[str, int]) -> None:
        self.process = process
        self.pid = process.pid
        self.address = address

    @classmethod
    async def start(cls, kind: str, arguments: Sequence[str], *, timeout: float = 20.0) -> ServerProcess:
        """Start one of the servers.  ExperimentError when it does not come to listen in time."""
        process = await asyncio.create_subprocess_exec(
            *run_module(f"testbed.servers.{kind}", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=dying_with_parent(),
        )
        assert process.stdout is not None and process.stderr is not None
        try:
            line = (
                (await asyncio.wait_for(process.stdout.readline(), timeout)).decode(errors="replace").strip()
            )
        except TimeoutError:
            line = ""
        if not line.startswith(READY):
            if process.returncode is None:
                process.kill()
            said = (await process.stderr.read()).decode(errors="replace").strip() or line or "nothing"
            await process.wait()
            raise ExperimentError(f"the {kind} server did not come to listen; it said: {said}")
        host, _, port = line.removeprefix(READY).rpartition(":")
        return cls(process, (host.strip("[]"), int(port)))

    def descriptors(self) -> int:
        """How many file descriptors it has open."""
        return psutil.Process(self.pid).num_fds()

    def signal(self, number: int) -> None:
        """Send a signal to it, if it still runs."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def end(self, grace: float = 0.5) -> None:
        """SIGTERM, `grace` seconds, SIGKILL."""
        if self.process.returncode is None:
            self.signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), grace)
            except TimeoutError:
                self.signal(signal.SIGKILL)
                await self.process.wait()
        transport = getattr(self.process, "_transport", None)
        if transport is not None:  # closes the pipes; asyncio offers no public way
            transport.close()
