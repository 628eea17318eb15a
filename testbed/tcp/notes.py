"""What can be said of one segment beyond its header, in Wireshark's words (`tcp.analysis.*`).

A segment's notes are kept as one integer, a bit for each note, because almost every segment
has none; `names(bits)` spells them out.
"""

from __future__ import annotations

import enum


class Note(enum.IntFlag):
    """The bits; `label` is the name in JSON, in ladders and in Wireshark."""

    RETRANSMISSION = enum.auto()
    FAST_RETRANSMISSION = enum.auto()
    SPURIOUS_RETRANSMISSION = enum.auto()
    OUT_OF_ORDER = enum.auto()
    DUPLICATE_ACK = enum.auto()
    KEEP_ALIVE = enum.auto()
    KEEP_ALIVE_ACK = enum.auto()
    ZERO_WINDOW = enum.auto()
    ZERO_WINDOW_PROBE = enum.auto()
    WINDOW_UPDATE = enum.auto()
    WINDOW_FULL = enum.auto()
    PREVIOUS_SEGMENT_LOST = enum.auto()
    ACKED_LOST_SEGMENT = enum.auto()
    PORT_REUSED = enum.auto()

    @property
    def label(self) -> str:
        """The name as Wireshark writes it: ``keep-alive``."""
        assert self.name is not None  # a single member, never a combination
        return self.name.lower().replace("_", "-")


SENT_AGAIN = Note.RETRANSMISSION | Note.FAST_RETRANSMISSION | Note.SPURIOUS_RETRANSMISSION
"""The three kinds of one thing: what this segment carries had been sent before."""

LABELS: tuple[tuple[int, str], ...] = tuple((int(note), note.label) for note in Note)


def names(bits: int) -> list[str]:
    """The notes set in `bits`, in the order of the table."""
    return [label for bit, label in LABELS if bits & bit] if bits else []
