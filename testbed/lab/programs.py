"""The machine's own programs in an experiment: telnet, curl, a server that somebody else wrote.

Each gets a /tmp of its own, in memory, that is gone with its last process: whatever it writes there, and
however it ends, nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final

from ..errors import CapabilityError, ExperimentError
from ..findings.table import Side
from ..kernel import Sampler
from ..net.libc import dying_with_parent, own_tmp
from ..tcp.states import State

GRACE_SECONDS: Final = 5.0


class Program:
    """One that runs: what it prints is in `printed`, standard error among it.

    stamp  writes a step down
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, stamp: Callable[[str], None]) -> None:
        self.name = name
        self.process = process
        self.pid = process.pid
        self.printed = b""
        self._stamp = stamp
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name=f"what {name} prints")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(65536):
            self.printed += data
            self._more.set()

    async def type(self, text: str) -> None:
        """Write to its standard input, as a person would type."""
        assert self.process.stdin is not None
        self._stamp(f"{self.name}: types {_shown(text)!r}")
        self.process.stdin.write(text.encode())
        await self.process.stdin.drain()

    def end_of_input(self) -> None:
        """End its standard input, as a person does with Ctrl-D."""
        assert self.process.stdin is not None
        self._stamp(f"{self.name}: end of input")
        self.process.stdin.close()

    async def all_read(self) -> None:
        """Wait a little until what it had printed when it ended has been read."""
        if self.process.returncode is not None:
            await asyncio.wait([self._reading], timeout=GRACE_SECONDS)

    async def until_printed(self, words: bytes, *, timeout: float = 10.0) -> None:
        """Wait until it has printed them.  ExperimentError, with what it printed, when it does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while words not in self.printed and not self._reading.done():
                    self._more.clear()
                    more = asyncio.create_task(self._more.wait())
                    await asyncio.wait([more, self._reading], return_when=asyncio.FIRST_COMPLETED)
                    more.cancel()
        if words not in self.printed:
            raise ExperimentError(
                f"{self.name} did not print {words.decode()!r}; it printed {self.printed.decode()!r}"
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        self._stamp(f"{number.name} to {self.name}")
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def ended(self, *, timeout: float = 10.0) -> int:
        """Wait for its end: its exit status, or less 0 the signal that ended it."""
        try:
            status = await asyncio.wait_for(self.process.wait(), timeout)
        except TimeoutError:
            raise ExperimentError(f"{self.name} still runs after {timeout:g} s") from None
        await asyncio.wait([self._reading], timeout=GRACE_SECONDS)
        self._stamp(f"{self.name} -> exit status {status}")
        return status

    async def end(self) -> None:
        """SIGTERM, so that it can end what it started itself; SIGKILL to whatever is left of its group."""
        if self.process.returncode is None:
            self.process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.process.wait()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        transport = getattr(self.process, "_transport", None)
        if transport is not None:  # closes the pipes; asyncio offers no public way
            transport.close()


class Programs:
    """What a lab can start; it ends with the lab."""

    sampler: Sampler
    step: Callable[..., None]
    _stack: contextlib.AsyncExitStack

    async def start(self, *command: str, package: str, side: Side = "client", file: str = "") -> Program:
        """Start a program of the machine's.  CapabilityError naming the Debian package where it is absent.

        file  the text of a file in memory, for whose path ``{file}`` stands in `command`
        """
        path = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
        if path is None:
            raise CapabilityError(f"{command[0]} is not installed", f"apt-get install {package}")
        private_tmp, die = own_tmp(), dying_with_parent()

        def before() -> None:
            die()
            private_tmp()

        given = os.memfd_create(package)
        try:
            with open(given, "w", closefd=False, encoding="utf-8") as stream:  # noqa: ASYNC230 - in memory
                stream.write(file)
            process = await asyncio.create_subprocess_exec(
                path,
                *(word.replace("{file}", f"/proc/self/fd/{given}") for word in command[1:]),
                pass_fds=(given,),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=before,
                cwd="/",
            )
        except subprocess.SubprocessError:
            raise CapabilityError(
                "a program cannot be given a /tmp of its own", "run as root, or under `testbed exec`"
            ) from None
        finally:
            os.close(given)
        program = Program(command[0], process, lambda text: self.step(text, side))
        self._stack.push_async_callback(program.end)
        self.step(f"starts {_shown(' '.join(command))}", side)
        return program

    async def until_listening(self, program: Program, port: int, *, timeout: float = 20.0) -> None:
        """Wait until the kernel shows a listener at `port`: asking it by a connection would be one more."""
        deadline = time.monotonic() + timeout
        while not any(
            sample.state is State.LISTEN and sample.local[1] == port for sample in self.sampler.sample()
        ):
            if program.process.returncode is not None or time.monotonic() > deadline:
                await program.all_read()
                said = program.printed.decode(errors="replace").strip() or "nothing"
                raise ExperimentError(f"{program.name} did not come to listen at {port}; it printed: {said}")
            await asyncio.sleep(0.005)


def _shown(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else f"{words[:57]}..."
