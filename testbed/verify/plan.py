"""What is to be verified, and how: everything that a user may say, in one row that a worker can be sent."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import UsageError
from .profiles import Profile

PORT: Final = 8000
"""The port in the private network, where nobody else can have it."""

PLACEHOLDER: Final = "{port}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One server, and how to treat it.

    command       with `{port}` where the port belongs; empty when attached to one that runs (`connect`)
    host, port    where it listens; the host is found out unless attached
    protocol      how to talk: http, rpc, tcp, none
    request       the bytes of a request, instead of the protocol's own
    slow_request  of one that takes a while
    path          HTTP: a page with a short reply; `slow_path` one that takes a while, `large_path` one with a
                  reply of a megabyte or more; `body` what is POSTed to `path` for a request that is kept
                  under way, b"" for none
    stop          the signal that asks it to stop
    grace         seconds from there to its end
    idle          seconds for which its own timeouts are waited for
    start         seconds from its start until it listens
    tls           the client speaks TLS, and believes any certificate
    env, cwd      its environment (beside PORT) and directory
    out           where captures and ladders go
    """

    command: tuple[str, ...]
    profile: Profile
    port: int = PORT
    connect: str | None = None
    protocol: str = "http"
    request: bytes | None = None
    slow_request: bytes | None = None
    path: str = "/"
    slow_path: str | None = None
    large_path: str | None = None
    body: bytes | None = None
    stop: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    idle: float = 15.0
    start: float = 30.0
    tls: bool = False
    env: tuple[tuple[str, str], ...] = ()
    cwd: Path = Path()
    out: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.connect):
            raise UsageError(
                "say which server: a command after --, such as: testbed verify -- ./server --port {port}; "
                "or --connect HOST:PORT for one that runs"
            )
        if not 1 <= self.port <= 65535:
            raise UsageError(f"{self.port} is no port; it must be 1 to 65535")
        for name, value in (("grace", self.grace), ("idle", self.idle), ("start", self.start)):
            if not 0 < value <= 3600:
                raise UsageError(f"--{name} must be more than 0 and at most 3600 seconds, not {value:g}")
        for name, path in (
            ("path", self.path),
            ("slow-path", self.slow_path),
            ("large-path", self.large_path),
        ):
            if path is not None and (not path.startswith("/") or not path.isprintable() or " " in path):
                raise UsageError(f"--{name} must be printable, begin with / and have no blanks, not {path!r}")

    @property
    def argv(self) -> tuple[str, ...]:
        """The command with its port."""
        return tuple(word.replace(PLACEHOLDER, str(self.port)) for word in self.command)

    @property
    def attached(self) -> bool:
        """Whether the server was running before, and is nobody's to stop."""
        return self.connect is not None

    @property
    def shown(self) -> str:
        """The command as it is told, or where it is attached."""
        return shlex.join(self.argv) if self.command else f"the server at {self.connect}"
