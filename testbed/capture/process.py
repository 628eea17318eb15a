"""tcpdump as a child process: its two pipes read by the event loop, its signals, its end.

The child is ended by its own id, whatever happens here, and by the kernel when this process is
killed.  A pipe of a megabyte and the ring behind it bridge an event loop that is busy elsewhere.
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

from ..net.child import without_fork_warning
from ..net.libc import dying_with_parent
from .arguments import LISTENING, environment

_CHUNK: Final = 1 << 20
_PIPE_BYTES: Final = 1 << 20  # what an ordinary user may ask for (fs.pipe-max-size)
_END_SECONDS: Final = 5.0
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
        self._loop = asyncio.get_running_loop()
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
        for descriptor, reader in ((self._out, self.read), (self._err, self._read_stderr)):
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, reader)

    @property
    def pid(self) -> int:
        return self._process.pid

    # ---- its pipes

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
        self._loop.remove_reader(self._out)

    def _read_stderr(self) -> None:
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._err, _CHUNK)
            self.stderr += chunk
            if not chunk:
                self._loop.remove_reader(self._err)
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            _finish(self._waiting)

    async def changed(self, seconds: float) -> None:
        """Return when anything came through a pipe, or after `seconds`."""
        self._waiting = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    # ---- what it says

    async def listening(self, seconds: float) -> bool:
        """Whether its ring went live within `seconds`; False also when it ended instead."""
        deadline = self._loop.time() + seconds
        while LISTENING not in self.stderr or b"\n" not in self.stderr.partition(LISTENING)[2]:
            left = deadline - self._loop.time()
            if left <= 0 or self.ended:
                await self.last_words()
                return False
            await self.changed(left)
        return True

    async def last_words(self, seconds: float = 1.0) -> None:
        """Read its standard error to the end, once its output has ended."""
        deadline = self._loop.time() + seconds
        while self.ended and self._process.poll() is None and self._loop.time() < deadline:
            await self.changed(0.01)
        self._read_stderr()

    async def dropped(self, seconds: float = 1.0) -> int | None:
        """Packets that its ring had no room for since it started; on `lo` it counts some twice."""
        said = len(_DROPPED.findall(self.stderr))
        if self.ended or self._process.poll() is not None:
            return None
        self._process.send_signal(signal.SIGUSR1)
        deadline = self._loop.time() + seconds
        while len(counts := _DROPPED.findall(self.stderr)) == said:
            left = deadline - self._loop.time()
            if left <= 0 or self.ended:
                return None
            await self.changed(left)
        return int(counts[-1])

    # ---- its end

    async def stop(self) -> None:
        """End it and wait until it is gone.  There is nothing it could still flush: it is killed."""
        for descriptor in (self._out, self._err):
            self._loop.remove_reader(descriptor)
        self._process.kill()
        try:
            await self._gone()
        finally:
            self._process.wait(timeout=_END_SECONDS)
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                pipe.close()

    async def _gone(self) -> None:
        """Wait for its end without holding up the loop: closing a packet ring takes 20 ms."""
        with contextlib.suppress(OSError, AttributeError):
            descriptor = os.pidfd_open(self.pid)
            try:
                end: asyncio.Future[None] = self._loop.create_future()
                self._loop.add_reader(descriptor, _finish, end)
                await asyncio.wait_for(end, _END_SECONDS)
            finally:
                self._loop.remove_reader(descriptor)
                os.close(descriptor)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
