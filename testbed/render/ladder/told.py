"""What a ladder is told besides the segments: by the programs, the kernel, the link, and the rules."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

Side = Literal["client", "server"]
Actor = Literal["client", "server", "lab"]


class Step(NamedTuple):
    """Something a program or the lab did: ``client.shutdown(SHUT_WR)``.

    port  the client's, of the connection that it was done to; 0: of none in particular
    """

    time_ns: int
    side: Actor
    text: str
    port: int = 0


WitnessOfState = Literal["psutil", "sock_diag", "tracepoint"]


class StateMark(NamedTuple):
    """One end's state as the kernel told it."""

    time_ns: int
    side: Side
    state: str
    witness: WitnessOfState


class Ghost(NamedTuple):
    """A segment that should have come after `after_frame` (None: at the end) and did not."""

    after_frame: int | None
    from_client: bool
    notation: str
    why: str


class Fault(NamedTuple):
    """What was done to a segment on its way.

    what    in words: ``dropped here``
    lost    whether it never arrived
    frame   which of the captured segments it is; None: the capture has it not, and it is drawn for itself
    """

    time_ns: int
    from_client: bool
    notation: str
    what: str
    lost: bool = False
    frame: int | None = None


class Mark(NamedTuple):
    """A finding that points at a segment."""

    code: str
    severity: str


class Found(Protocol):
    """What a ladder needs of a finding (`testbed.findings.Finding`)."""

    @property
    def code(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def frame(self) -> int | None: ...
