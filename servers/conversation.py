"""The language between a protocol and the connection that carries it: bytes in, commands out.

A `Conversation` is one connection's protocol.  It knows no socket, no clock and no event loop: it is fed
what arrived and yields what to do.  Its iterators are *lazy on purpose*: what follows a `Pause` is
worked out after the pause, so a reply that was under way when the server was told to stop still
learns of it (HTTP then says `Connection: close`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Command", "Conversation", "Hangup", "Pause", "Send"]


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes to the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Let this many seconds go by before the next command."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hangup:
    """The protocol's own reason to end the connection; `why` goes to the log."""

    why: str


Command = Send | Pause | Hangup


class Conversation(ABC):
    """One connection's protocol, without its input and output."""

    __slots__ = ("completed", "last")

    def __init__(self) -> None:
        #: Set by the server when it is told to stop: the reply under way is the last one.
        self.last = False
        #: Requests that have arrived completely.
        self.completed = 0

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[Command]:
        """What to do about `data` (never empty).  The caller exhausts one iterator before the next feed."""

    def eof(self) -> Iterator[Command]:
        """What to do about the client's FIN, before the ending has its say.  Most protocols: nothing."""
        return iter(())

    def overdue(self) -> Iterator[Command]:
        """What to tell a client whose request did not arrive in time.  Most protocols: nothing."""
        return iter(())

    @property
    def mid_request(self) -> bool:
        """A request has begun to arrive and is not complete."""
        return False
