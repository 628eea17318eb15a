"""Where a watch is shown: a live table on a terminal, lines in a file or a pipe, or JSON Lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from ..findings.phrases import listed
from . import view
from .connections import End
from .events import SCHEMA, Account, Event, Kind
from .holders import Holders
from .screen import Screen
from .watcher import Watcher

_REDRAW_SECONDS: Final = 0.2


class JsonLines:
    """A line for each event, one before them that says what they are, and the account at the end."""

    def __init__(self, stream: TextIO, subject: str) -> None:
        self._stream = stream
        self._subject = subject

    def begin(self, witnesses: Sequence[str]) -> None:
        self._write({"event": "start", "schema": SCHEMA, "time_ns": time.time_ns(), "what": self._subject,
                     "witnesses": list(witnesses)})  # fmt: skip

    def wants(self, watcher: Watcher) -> Iterable[int]:
        return ()

    def show(self, events: Sequence[Event], watcher: Watcher, holders: Holders) -> None:
        for event in events:
            self._write(event.to_json())

    def end(self, account: Account | None) -> None:
        if account is not None:
            self._write(account.to_json())

    def _write(self, document: dict[str, object]) -> None:
        self._stream.write(json.dumps(document, ensure_ascii=True) + "\n")
        self._stream.flush()


class Lines:
    """A line for each event and a few for the account: for files and pipes."""

    def __init__(self, console: Console, subject: str, *, ascii_only: bool) -> None:
        self._console = console
        self._subject = subject
        self._ascii_only = ascii_only

    def begin(self, witnesses: Sequence[str]) -> None:
        self._print(Text(f"watching {self._subject}, by {listed(witnesses)}"))

    def wants(self, watcher: Watcher) -> Iterable[int]:
        return ()

    def show(self, events: Sequence[Event], watcher: Watcher, holders: Holders) -> None:
        found = sum(event.kind is Kind.FOUND for event in events)
        if found > view.MANY_FOUND:
            self._print(Text(f"{found:,} connections are there already; told are those not in ESTABLISHED"))
        for event in view.condensed(events):
            self._print(view.line(event, ascii_only=self._ascii_only))

    def end(self, account: Account | None) -> None:
        if account is not None:
            for text in view.account(account):
                self._print(text)

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
        self._console.file.flush()


class Table:
    """Events as lines that stay, and below them the connections as they are now.

    everything  TIME_WAIT and listeners too
    """

    def __init__(self, console: Console, subject: str, *, ascii_only: bool, everything: bool) -> None:
        self._console = console
        self._screen = Screen(console.file, console)  # type: ignore[arg-type]  # IO[str] it is
        self._ascii_only = ascii_only
        self._everything = everything
        self._subject = subject
        self._began = time.monotonic()
        self._drawn = 0.0
        self._rows: list[End] = []
        self._more = 0

    def begin(self, witnesses: Sequence[str]) -> None:
        self._began = time.monotonic()

    def wants(self, watcher: Watcher) -> Iterable[int]:
        _, height = self._screen.size
        room = _share(height) - 3 - (len(watcher.listeners) if self._everything else 0)
        self._rows, self._more = view.shown(watcher.ends, max(3, room), everything=self._everything)
        listening = [row.inode for row in watcher.listeners] if self._everything else []
        return [*(end.inode for end in self._rows), *listening]

    def show(self, events: Sequence[Event], watcher: Watcher, holders: Holders) -> None:
        now = time.monotonic()
        if not events and now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        width, height = self._screen.size
        above = [
            piece
            for event in view.condensed(events)
            for piece in view.wrapped(view.line(event, ascii_only=self._ascii_only), width)
        ]
        self._screen.draw(above, self._region(watcher, holders, width)[: _share(height)])

    def _region(self, watcher: Watcher, holders: Holders, width: int) -> list[Text]:
        passed = view.short(int((time.monotonic() - self._began) * 1e9))
        ends = (end for end in watcher.ends if self._everything or end.state != "TIME_WAIT")
        host = view.only_host(self._rows)
        subject = f"{self._subject}{f' on {host}' if host else ''}, {passed}"
        region = [view.heading(subject, ends, width, ascii_only=self._ascii_only)]
        if self._rows:
            region += view.table(self._rows, holders.of, watcher.now_ns, width, ascii_only=self._ascii_only)
        if self._everything:
            region += view.listeners(watcher.listeners, holders.of, width)
        last = "Ctrl-C ends it"
        if self._more:
            last = f"and {self._more:,} more; {last}"
        return [*region, Text(last, "dim")]

    def end(self, account: Account | None) -> None:
        self._screen.close()
        if account is not None:
            for text in view.account(account):
                for piece in view.wrapped(text, self._screen.size[0], 4):
                    self._console.print(piece, soft_wrap=True)


def _share(height: int) -> int:
    """How many of the terminal's lines the table has; the events have the others."""
    return min(height, max(6, 2 * height // 3))
