"""Rows as sock_diag would show them, made by hand."""

from __future__ import annotations

from typing import Any

from testbed.kernel.diag_socket import AF_INET, DiagSocket, Shut, Timer
from testbed.tcp.states import State

SERVER = ("127.0.0.1", 2333)
CLIENT = ("127.0.0.1", 40000)
ELSEWHERE = ("203.0.113.7", 50000)
SECOND = 1_000_000_000


def row(
    state: State, *, cookie: int = 1, local: Any = SERVER, remote: Any = CLIENT, **fields: Any
) -> DiagSocket:
    """A socket of a program (inode 5), unless the state is one that only a small object has."""
    small = state is State.TIME_WAIT or fields.pop("small", False)
    plain: dict[str, Any] = {
        "timer": Timer.TIME_WAIT if small else Timer.NONE,
        "timer_ms": 60_000 if small else 0,
        "retransmits": 0,
        "rqueue": 0,
        "wqueue": 0,
        "uid": 0,
        "inode": 0 if small else 5,
        "interface": 0,
        "cookie": cookie,
        "shut": None if small else Shut.NOTHING,
    }
    return DiagSocket(family=AF_INET, local=local, remote=remote, state=state, **(plain | fields))


LISTENER = row(State.LISTEN, cookie=99, remote=None, wqueue=128)


def server(state: State, **fields: Any) -> DiagSocket:
    """The server's end."""
    return row(state, **fields)


def client(state: State, **fields: Any) -> DiagSocket:
    """The client's end of the same connection."""
    own: dict[str, Any] = {"cookie": 2, "local": CLIENT, "remote": SERVER}
    if state is not State.TIME_WAIT:
        own["inode"] = 6
    return row(state, **(own | fields))
