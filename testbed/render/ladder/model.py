"""The rows of a ladder: what a drawing draws, from the top down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .told import Actor, Mark, Side

Witness = Literal["wire", "kernel"]


@dataclass(frozen=True, slots=True)
class Arrow:
    """A segment, and both ends' states after it ("" where nobody knows).

    notation   with its direction: ``> S 0:0(0)``
    notes      Wireshark's words: ``keep-alive``
    fault      what was done to it on its way, "" nothing
    lost       it never arrived
    frame      its number in the capture; 0: it was not captured
    icmp       it is no segment, but an ICMP error about one: `notation` is what it says
    """

    time_ns: int
    from_client: bool
    notation: str
    notes: tuple[str, ...] = ()
    client_state: str = ""
    server_state: str = ""
    client_witness: Witness = "wire"
    server_witness: Witness = "wire"
    frame: int = 0
    marks: tuple[Mark, ...] = ()
    fault: str = ""
    lost: bool = False
    icmp: bool = False


@dataclass(frozen=True, slots=True)
class StepRow:
    """A program's step, beside its lane (`lab`: between them)."""

    time_ns: int
    side: Actor
    text: str


@dataclass(frozen=True, slots=True)
class StateRow:
    """A state that one end came to with no segment to show for it."""

    time_ns: int
    side: Side
    state: str
    witness: Witness = "kernel"


@dataclass(frozen=True, slots=True)
class GhostArrow:
    """The segment that did not come; its sender is the one to ask."""

    from_client: bool
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing happened for more than `GAP_NS`."""

    duration_ns: int


@dataclass(frozen=True, slots=True)
class Omitted:
    """Segments left out to keep the ladder short."""

    count: int
    duration_ns: int


Row = Arrow | StepRow | StateRow | GhostArrow | Gap | Omitted


@dataclass(frozen=True, slots=True)
class Ladder:
    """Two ends and what was between them.  Times are drawn relative to `start_ns` (None: the first row's)."""

    client: str
    server: str
    title: str
    rows: tuple[Row, ...]
    start_ns: int | None = None

    @property
    def origin_ns(self) -> int:
        """The time that is drawn as 0."""
        if self.start_ns is not None:
            return self.start_ns
        return next((row.time_ns for row in self.rows if isinstance(row, (Arrow, StepRow, StateRow))), 0)
