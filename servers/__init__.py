"""The servers under study: echo, RPC and HTTP, each with every way of ending a connection.

    python -m servers.rpc --port 2333 --ending never --keepalive-idle 15 --keepalive-interval 15
    python -m servers.echo --port 9502 --ending unread
    python -m servers.http --port 4000 --idle-timeout 5
    python -m servers.rpc --list-endings

or in the process that studies them, `testbed.servers` being the same package:

    async with RpcServer(ending="slow", delay=0.5) as server: ...

bytes -> conversation (echo, rpc, http: pure) -> connection (socket) -> listener -> command (process)
                                                     |
                                                  endings

They stand alone: the standard library and h11, nothing of the testbed.  Bound to loopback unless told.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import ConnectionInfo, Phase
    from .echo import EchoServer
    from .endings import ENDINGS, Ending, find_ending
    from .http import HttpServer
    from .listener import Server
    from .options import KeepAlive, Limits
    from .rpc import RpcServer, query_call

__all__ = [
    "ENDINGS",
    "ConnectionInfo",
    "EchoServer",
    "Ending",
    "HttpServer",
    "KeepAlive",
    "Limits",
    "Phase",
    "RpcServer",
    "Server",
    "find_ending",
    "query_call",
]

# Loaded on first use: `python -m servers.rpc` would else find itself imported already (a RuntimeWarning),
# and an echo server has no need of h11.
_HOMES = {
    "ENDINGS": "endings",
    "ConnectionInfo": "connection",
    "EchoServer": "echo",
    "Ending": "endings",
    "HttpServer": "http",
    "KeepAlive": "options",
    "Limits": "options",
    "Phase": "connection",
    "RpcServer": "rpc",
    "Server": "listener",
    "find_ending": "endings",
    "query_call": "rpc",
}


def __getattr__(name: str) -> object:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value
