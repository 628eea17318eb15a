"""A terminal with a command on it, as a user has one: what it shows, and the keys."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 60
"""Seconds."""


class Terminal:
    """A pseudo-terminal; `seen` is all that was written to it since the last key.

    descriptor  the user's end of it
    pid         the command's
    """

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.descriptor = descriptor
        self._process = process
        self.pid = process.pid
        self.seen = ""

    def until(self, *words: str) -> None:
        """Read on until all of `words` were shown since the last key, colours and line breaks left out."""
        deadline = time.monotonic() + PATIENCE
        while not all(word in " ".join(plain(self.seen).split()) for word in words):
            left = deadline - time.monotonic()
            assert left > 0, f"waited for {words}, saw: {self.seen[-3000:]}"
            assert self._read(left), f"it ended; waited for {words}, saw: {self.seen[-3000:]}"

    def press(self, key: str) -> None:
        """What comes now is the answer to it."""
        self.seen = ""
        os.write(self.descriptor, key.encode())

    def resize(self, columns: int, lines: int) -> None:
        """The program is told of it by SIGWINCH."""
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def ended(self) -> int:
        """The exit status, once it has ended by itself; all that it wrote until then is in `seen`."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            assert time.monotonic() < deadline, f"it did not end, saw: {self.seen[-3000:]}"
            self._read(0.05)
        while self._read(0):
            pass
        return self._process.returncode

    def _read(self, seconds: float) -> bool:
        """Whether the other end is open still."""
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return seconds > 0
        try:
            self.seen += os.read(self.descriptor, 65536).decode(errors="replace")
        except OSError:  # EIO: nobody is at the other end any longer
            return False
        return True


@contextmanager
def terminal(*arguments: str, columns: int = 80, lines: int = 24, **options: Any) -> Iterator[Terminal]:
    """`testbed` with these arguments, on a terminal of its own, which it may be interrupted from."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        **options,
    )
    screen = Terminal(ours, process)
    screen.resize(columns, lines)
    try:
        os.close(theirs)
        yield screen
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours)


def plain(text: str) -> str:
    """Without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)
