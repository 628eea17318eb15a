"""tcpdump as a child process: its two pipes read by the event loop, its signals, its end.

The child is ended by its own id, whatever happens here, and by the kernel when this process is
killed.  A pipe of a megabyte and the ring behind it bridge an event loop that is busy elsewhere, and the
time between one event loop and the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Final

from ..net.child import end_without_waiting, without_fork_warning
from ..net.libc import dying_with_parent
from .arguments import LISTENING, environment

_CHUNK: Final = 1 << 20
_PIPE_BYTES: Final = 1 << 20  # what an ordinary user may ask for (fs.pipe-max-size)
_DROPPED: Final = re.compile(rb"(\d+) packets? dropped by kernel")


class TcpdumpProcess:
    """A running tcpdump.  `received` is called with each piece of what it writes.

    ended     True once its standard output is closed: it will write no more
    stderr    all that it said so far
    """

    def __init__(self, arguments: Sequence[str], received: Callable[[bytes], None]) -> None:
        self.ended = False
        self.stderr = b""
        self._received = received
        self._waiting: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        with without_fork_warning():
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment(),
                preexec_fn=dying_with_parent(),
            )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out = self._process.stdout.fileno()
        self._err = self._process.stderr.fileno()
        with contextlib.suppress(OSError):  # more than the user's share of pipes: the ring is there
            fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        for descriptor in (self._out, self._err):
            os.set_blocking(descriptor, False)
        self.attach()

    @property
    def pid(self) -> int:
        return self._process.pid

    # ---- its pipes

    def attach(self) -> None:
        """Have the running event loop read them."""
        self._loop = asyncio.get_running_loop()
        for descriptor, reader in ((self._out, self.read), (self._err, self._read_stderr)):
            self._loop.add_reader(descriptor, reader)

    def detach(self) -> None:
        """Have no loop read them; what is written meanwhile waits."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            for descriptor in (self._out, self._err):
                loop.remove_reader(descriptor)

    def read(self) -> None:
        """Take what its standard output holds now, without waiting."""
        while not self.ended:
            try:
                chunk = os.read(self._out, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self._end_of_output()
            else:
                self._received(chunk)
            self._wake()
            if len(chunk) < _CHUNK:
                return

    def _end_of_output(self) -> None:
        self.ended = True
        if self._loop is not None:
            self._loop.remove_reader(self._out)

    def _read_stderr(self) -> None:
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._err, _CHUNK)
            self.stderr += chunk
            if not chunk and self._loop is not None:
                self._loop.remove_reader(self._err)
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            _finish(self._waiting)

    async def changed(self, seconds: float) -> None:
        """Return when anything came through a pipe, or after `seconds`."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    # ---- what it says

    async def listening(self, seconds: float) -> bool:
        """Whether its ring went live within `seconds`; False also when it ended instead."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while LISTENING not in self.stderr or b"\n" not in self.stderr.partition(LISTENING)[2]:
            left = deadline - clock()
            if left <= 0 or self.ended:
                await self.last_words()
                return False
            await self.changed(left)
        return True

    async def last_words(self, seconds: float = 1.0) -> None:
        """Read its standard error to the end, once its output has ended."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while self.ended and self._process.poll() is None and clock() < deadline:
            await self.changed(0.01)
        self._read_stderr()

    async def dropped(self, seconds: float = 1.0) -> int | None:
        """Packets that its ring had no room for since it started; on `lo` it counts some twice."""
        said = len(_DROPPED.findall(self.stderr))
        if self.ended or self._process.poll() is not None:
            return None
        self._process.send_signal(signal.SIGUSR1)
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while len(counts := _DROPPED.findall(self.stderr)) == said:
            left = deadline - clock()
            if left <= 0 or self.ended:
                return None
            await self.changed(left)
        return int(counts[-1])

    # ---- its end

    def stop(self) -> None:
        """End it.  There is nothing it could still flush: it is killed, and nobody waits for it."""
        self.detach()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if not self._process.stdout.closed:
            end_without_waiting(self._process)
            self._process.stdout.close()
            self._process.stderr.close()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
