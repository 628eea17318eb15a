"""testbed: did my server close that connection properly?

    testbed.explain(path)   what happened to the connections in a capture file
    testbed.Lab             a live experiment: servers, scripted clients and witnesses
    testbed.verify_server   a conformance suite for how a server says goodbye, in a test

Names are imported when they are first used: `import testbed` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .errors import Error
    from .explanation import Explanation, explain
    from .lab import Client, Experiment, Lab
    from .tcp.connection import Connection
    from .tcp.states import State
    from .verify.testing import verify_server

_HOMES = {
    "Client": "lab",
    "Connection": "tcp.connection",
    "Error": "errors",
    "Experiment": "lab",
    "Explanation": "explanation",
    "Lab": "lab",
    "State": "tcp.states",
    "explain": "explanation",
    "verify_server": "verify.testing",
}

__all__ = [
    "Client",
    "Connection",
    "Error",
    "Experiment",
    "Explanation",
    "Lab",
    "State",
    "__version__",
    "explain",
    "verify_server",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
