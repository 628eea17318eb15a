"""Processes that a test, or a command that it ran, has left behind."""

from __future__ import annotations

import time

import psutil

MARK = "TESTBED_TEST_RUN"
"""The environment variable whose value a test's processes carry."""


def marked(value: str) -> list[psutil.Process]:
    """The processes that have our mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def nothing_left(mark: str) -> None:
    """Wait until all of them have gone: a killed parent's children end a moment after it."""
    deadline = time.monotonic() + 20
    while left := marked(mark):
        assert time.monotonic() < deadline, f"still running: {[p.cmdline() for p in left]}"
        time.sleep(0.05)
