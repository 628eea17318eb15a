"""On what it ran: processor, memory, kernel and versions; no name of a host, no path."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil


def description() -> list[str]:
    """A line for each thing that a figure depends on."""
    return list(_lines())


def _lines() -> Iterator[str]:
    cores = os.cpu_count() or 1
    yield f"{_processor()}, {cores} core{'s' if cores > 1 else ''}"
    yield f"{psutil.virtual_memory().total / 2**30:.0f} GiB of memory"
    version = re.match(r"[\d.]+", platform.release())
    yield f"{platform.system()} {version[0].rstrip('.') if version else 'of an unknown version'}"
    yield f"{platform.python_implementation()} {platform.python_version()}, psutil {psutil.__version__}"
    if program := shutil.which("ss"):
        told = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=10, check=False)
        if found := re.search(r"iproute2-([\w.]+)", told.stdout):
            yield f"iproute2 {found[1]}"
    yield "as root" if os.geteuid() == 0 else "as an ordinary user"


def load() -> str:
    """How busy it is with other things."""
    running = os.getloadavg()[0]
    busy = running > (os.cpu_count() or 1)
    return f"load {running:.1f} at the start" + (": busy, so that every time is too long" if busy else "")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.machine()
