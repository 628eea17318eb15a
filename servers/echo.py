"""The echo server of the 9502 experiment: 7 bytes out, 18 back.

Whatever one recv() returned is sent back behind a prefix of 11 bytes, so `hello\\r\\n` draws
`server got:hello\\r\\n`.  TCP has no messages: bytes sent together may be read apart and then carry two
prefixes.  With an empty prefix (`--plain`) that cannot be told, and what goes out is what came in.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .command import run_command
from .conversation import Command, Conversation, Send
from .listener import Server

__all__ = ["PREFIX", "EchoConversation", "EchoServer", "main"]

PREFIX = b"server got:"


class EchoConversation(Conversation):
    """Each chunk back behind the prefix."""

    __slots__ = ("_prefix",)

    def __init__(self, prefix: bytes) -> None:
        super().__init__()
        self._prefix = prefix

    def feed(self, data: bytes) -> Iterator[Command]:
        # One Send, so that prefix and echo leave in one segment.
        yield Send(self._prefix + data)


@dataclass(eq=False)
class EchoServer(Server):
    """A `Server` that echoes.  `prefix` goes before each chunk; b"" echoes unchanged."""

    usual_port: ClassVar[int] = 9502

    _: KW_ONLY
    prefix: bytes = PREFIX

    def converse(self) -> Conversation:
        return EchoConversation(self.prefix)

    @classmethod
    def add_own_options(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--prefix", default=PREFIX.decode(), help="goes before each chunk")
        parser.add_argument("--plain", action="store_true", help="echo unchanged: no prefix")

    @classmethod
    def own_arguments(cls, options: argparse.Namespace) -> dict[str, Any]:
        return {"prefix": b"" if options.plain else options.prefix.encode()}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    return run_command(EchoServer, argv)


if __name__ == "__main__":
    sys.exit(main())
