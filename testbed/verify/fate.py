"""What became of a request on which the server closed: read and dropped, or never read.

Linux answers a close() with RST where bytes lie unread in the socket (tcp_close(); RFC 2525, 2.17), and so
does a listener that is closed for what it had not handed over (inet_csk_listen_stop()).  A FIN alone says
that the program had taken all that had come, be it to throw it away (a lingering close).
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from .seen import Mark, Seen


class Fate(enum.Enum):
    """Of a request without a whole reply."""

    OPEN = enum.auto()
    """Its connection is open still."""
    TOO_LATE = enum.auto()
    """The close was on its way before it came."""
    READ = enum.auto()
    """FIN and no RST: it was read, and dropped."""
    UNREAD = enum.auto()
    """RST: it lay unread, in a queue or in a socket; or the program aborts what it closes."""
    CLOSED_ON = enum.auto()
    """FIN, and RST right behind it: the connection had been accepted, and the request lay unread."""


class Words(NamedTuple):
    """What is told of a fate; "" where a check's own words fit."""

    what: str
    hurts: str = ""
    change: str = ""


WORDS: Final = {
    Fate.OPEN: Words("", "its client waits for a reply that never comes"),
    Fate.TOO_LATE: Words("before it came"),
    Fate.READ: Words(
        "it was read (no RST), and dropped",
        "the request may have been executed, and its client is not told: it cannot know whether to send a "
        "POST again",
        "answer what has been read before its connection is closed: nothing is idle from the first byte of a "
        "request to the last of its reply",
    ),
    Fate.UNREAD: Words("it lay unread, or was aborted (SO_LINGER {1, 0})"),
    Fate.CLOSED_ON: Words(
        "it lay unread on an accepted connection",
        change="look for a request once more before an accepted connection is closed, and answer it",
    ),
}


def fate(seen: Seen, position: int, *, unread: bool = False) -> Fate:
    """Of the request that begins at `position` of what the client sent.

    unread  the server's kernel still had bytes of it when all was over, so that a FIN says nothing:
            shutdown() alone sends no RST
    """
    end, rst, request = seen.server_end, seen.server_rst, seen.byte(position, by_client=True)
    if end is None:
        return Fate.OPEN
    if request is None or end.frame < request.frame:
        return Fate.TOO_LATE
    if end == rst:
        return Fate.UNREAD
    return Fate.CLOSED_ON if rst is not None or unread else Fate.READ


def end_of(seen: Seen) -> tuple[str, tuple[Mark, ...]]:
    """How the server ended it, and with which packets: ``FIN``, ``RST``, ``FIN and RST behind it``."""
    fin, rst = seen.server_fin, seen.server_rst
    if rst is not None and (fin is None or rst == seen.server_end):
        return "RST", (rst,)
    if fin is None:
        return "nothing", ()
    return ("FIN", (fin,)) if rst is None else ("FIN and RST behind it", (fin, rst))
