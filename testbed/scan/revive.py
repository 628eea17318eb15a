"""Between the records of `layout` and the pure core's `tcp.Connection`, in both directions.

`revived` makes of records a connection that goes on as one that was followed from its beginning would,
and of which each rule finds the same: codes, severities, sides.  Frames and times that the records do
not hold are made up so that this is so; no text is ever made of such a connection.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..tcp.connection import Connection
from ..tcp.endpoint import Endpoint
from ..tcp.facts import Noted, Successor
from ..tcp.notes import LABELS, SENT_AGAIN, Note
from ..tcp.states import Event, State
from ..tcp.walk import FRAMES_KEPT, DoubtfulReset
from ..wire.segment import RST, SYN, Segment
from .layout import STATE, STATES, Array, At, Gone, Of

_SOME_FRAME: Final = 1


class Record(NamedTuple):
    """One connection: its CONNECTION, both ENDs and both RARE records, as numpy has them."""

    of: Any
    ends: Array
    rare: Array
    gone: int = Gone.FINISHED
    until: int = 0
    successor: int = 0


def client_flow(of: Any) -> bytes:
    """The flow from the client, as `Segment.flow` has it."""
    low, high = (_address(of["bits"], of[end]) for end in ("low", "high"))
    ports = int(of["ports"])
    low_port, high_port = (ports >> 16).to_bytes(2, "big"), (ports & 0xFFFF).to_bytes(2, "big")
    if of["bits"] & Of.CLIENT_IS_HIGH:
        return high + low + high_port + low_port
    return low + high + low_port + high_port


def _address(bits: int, halves: Array) -> bytes:
    if bits & Of.V6:
        return int(halves[0]).to_bytes(8, "big") + int(halves[1]).to_bytes(8, "big")
    return int(halves[1]).to_bytes(4, "big")


# ---- to the pure core


def revived(record: Record, frame: int) -> Connection:
    """The connection of a record; `frame` is one that no segment of it has reached."""
    of = record.of
    bits = int(of["bits"])
    flow = client_flow(of)
    mid_stream = bool(bits & Of.MID_STREAM)
    first = Segment(
        int(of["first_frame"]), int(of["start_ns"]), flow, 0 if mid_stream else SYN, 0, 0, 0, 0, b"", b"", 0
    )
    c = Connection(
        int(of["number"]),
        flow,
        first,
        roles="inferred" if bits & Of.INFERRED else "syn",
        keep=False,
        port_reused=bool(bits & Of.PORT_REUSED),
    )
    for end, own, rare in zip((c.client, c.server), record.ends, record.rare, strict=True):
        _revive_end(end, own, rare)
    last_by_server = bool(bits & Of.LAST_BY_SERVER)
    c.client.last_frame, c.server.last_frame = frame - 1 - last_by_server, frame - 2 + last_by_server
    c.last_frame, c.last_time_ns, c.last_from_client = frame - 1, int(of["last_ns"]), not last_by_server
    c.last_syn_ns, c.rtt_ns = int(of["last_syn_ns"]), int(of["rtt_ns"])
    c.server.syn_time = int(of["server_syn_ns"])
    c.established, c.ended = bool(bits & Of.ESTABLISHED), bool(bits & Of.ENDED)
    c.watch, c.saw_synack = bool(bits & Of.WATCH), bool(bits & Of.SAW_SYNACK)
    c.refused, c.crossed = bool(bits & Of.REFUSED), bool(bits & Of.CROSSED)
    c.answers_syn = _SOME_FRAME if bits & Of.ANSWERS_SYN else 0
    c.first_data_frame = _SOME_FRAME if bits & Of.DATA else 0
    if bits & Of.FIRST_FIN:
        c.first_fin = c.server if bits & Of.FIRST_FIN_BY_SERVER else c.client
    if bits & Of.OPENED:
        opened = c.client if c.client.steps else c.server
        opened.steps += (State.ESTABLISHED, Event.RECEIVE_SYN_ACK, _SOME_FRAME, 0, _SOME_FRAME)
    if bits & Of.RESET:
        _revive_reset(c, record)
    c.noted = _noted(record, frame)
    if record.gone == Gone.ANEW:
        c.successor = Successor(record.successor, record.until, False)
    return c


def _revive_end(end: Endpoint, own: Any, rare: Any) -> None:
    bits = int(own["bits"])
    end.packets = int(own["packets"])
    if end.packets:
        end.next_seq, end.highest_to_ack = int(own["next_seq"]), int(own["highest_to_ack"])
        end.window = int(own["window"])
    end.base = int(own["base"]) if bits & At.BASE else None
    end.last_ack = int(own["last_ack"]) if bits & At.LAST_ACK else None
    if bits & At.DATA:
        end.data_start, end.data_end = int(own["data_start"]), int(own["data_end"])
        end.payload_packets = 1
    end.next_seq_time, end.last_ack_time = int(own["next_seq_time"]), int(own["last_ack_time"])
    end.state, end.scale = STATES[own["state"]], int(own["scale"])
    end.dup_acks, end.last_notes = int(own["dup_acks"]), int(own["last_notes"])
    end.syns_sent, end.fins_sent = int(own["syns_sent"]), int(own["fins_sent"])
    end.saw_syn, end.probing = bool(bits & At.SAW_SYN), bool(bits & At.PROBING)
    end.syn_frame = _SOME_FRAME if end.saw_syn else 0
    end.rst_frame = _SOME_FRAME if bits & At.RST else 0
    if bits & At.STEPPED:
        end.steps = (end.state, Event.SEND_SYN, _SOME_FRAME, 0, _SOME_FRAME)
    if bits & At.CLOSING:
        end.steps += (State.CLOSING, Event.RECEIVE_FIN, _SOME_FRAME, 0, _SOME_FRAME)
    if bits & At.FIN:
        end.fin_seq = int(own["fin_seq"])
        end.fin_first_frame, end.fin_first_time = int(rare["fin_first_frame"]), int(rare["fin_first_time"])
        end.fin_frame, end.fin_time = int(rare["fin_frame"]), int(rare["fin_time"])
        end.fin_taken_frame = int(rare["fin_taken_frame"])
    if bits & At.FIN_ACKED:
        end.fin_acked_frame = int(rare["fin_acked_frame"])
    if bits & At.HOLDS_ACK:
        end.ack_of_fin = int(rare["ack_of_fin_frame"]), int(rare["ack_of_fin_time"])
    if bits & At.HEARD_FIN:
        end.heard_fin_at = int(rare["heard_fin_at"])
    end.zero_since, end.zero_total = int(rare["zero_since"]), int(rare["zero_total"])


def _revive_reset(c: Connection, record: Record) -> None:
    by_server = bool(record.of["bits"] & Of.RESET_BY_SERVER)
    by = c.reset_by = c.server if by_server else c.client
    rare = record.rare[int(by_server)]
    c.reset_frame = int(rare["reset_frame"])
    c.reset_segment = Segment(
        c.reset_frame, int(rare["reset_time"]), c.client_flow, RST, 0, 0, 0, 0, b"", b"", 0
    )
    c.reset_state = (c.client.state, c.server.state)
    if record.of["bits"] & Of.BEFORE_SYN:
        other = c.client if by_server else c.server
        sent_syn = (State.SYN_SENT, Event.SEND_SYN, _SOME_FRAME, 0, _SOME_FRAME)
        other.steps = (*sent_syn, State.CLOSED, Event.RECEIVE_RST, c.reset_frame, 0, c.reset_frame)
        c.before_syn = (c.reset_frame,)
        states, steps = (State.SYN_SENT, State.CLOSED), (len(sent_syn), 0)
        if not by_server:
            states, steps = (State.CLOSED, State.SYN_SENT), (0, len(sent_syn))
        c.undo = DoubtfulReset(c.reset_frame, by, states, steps)


def _noted(record: Record, frame: int) -> dict[int, Noted]:
    """What was noted.  The frames are made up: those of probes that nothing answered come last."""
    noted: dict[int, Noted] = {}
    bits = int(record.of["noted"])
    last_ns = int(record.of["last_ns"])
    resent = [int(end["resent"]) for end in record.ends]
    early = {
        int(Note.WINDOW_UPDATE): int(record.of["early_updates"]),
        int(Note.DUPLICATE_ACK): int(record.of["early_duplicates"]),
    }
    habit = int(record.rare[1]["habit_time"])
    for bit, _ in LABELS:
        if not bits & bit:
            continue
        by, frames = [1, 0], [(_SOME_FRAME, True, last_ns)]
        if bit == Note.KEEP_ALIVE:
            by = [int(end["keepalives"]) for end in record.rare]
            unanswered = [
                (frame - 1, side == 0, 0) for side in (0, 1) for _ in range(record.ends[side]["unanswered"])
            ]
            frames = frames * (min(FRAMES_KEPT, sum(by)) - len(unanswered)) + unanswered
        elif bit == Note.ZERO_WINDOW:
            by = [int(end["zero_windows"]) for end in record.rare]
            frames = [
                (_SOME_FRAME, side == 0, 0) for side in (0, 1) if record.ends[side]["bits"] & At.ZERO_NOTED
            ]
            frames = (frames * FRAMES_KEPT)[: min(FRAMES_KEPT, sum(by))]
        elif bit & SENT_AGAIN:
            by, resent = resent, [0, 0]  # all are told as the first of their kinds that was there
        elif early.get(bit):
            by = [early[bit], 0]
            frames *= min(FRAMES_KEPT, early[bit])
            if habit:
                frames[0], habit = (0, False, habit), 0
        one = noted[bit] = Noted()
        one.count, one.by_client, one.frames = sum(by), by[0], frames
        one.last_frame, one.last_time_ns = frame - 1, last_ns
    return noted


# ---- and back


def store(c: Connection, of: Any, ends: Array, rare: Array) -> None:
    """Write into the records what the tracker and the rows need of a connection that is followed by the
    pure core."""
    kept = int(of["bits"]) & (
        Of.V6 | Of.CLIENT_IS_HIGH | Of.SELF | Of.INFERRED | Of.IN_UNOPENED | Of.IN_ENDED | Of.PORT_REUSED
    )
    has = (
        (Of.PURE, True),
        (Of.MID_STREAM, c.mid_stream),
        (Of.ESTABLISHED, c.established),
        (Of.ENDED, c.ended),
        (Of.SAW_SYNACK, c.saw_synack),
        (Of.OPENED, any(_opens(end) for end in (c.client, c.server))),
        (Of.REFUSED, c.refused),
        (Of.SIMULTANEOUS, c.simultaneous),
        (Of.ANSWERS_SYN, c.answers_syn),
        (Of.DATA, c.first_data_frame),
        (Of.FIRST_FIN, c.first_fin is not None),
        (Of.FIRST_FIN_BY_SERVER, c.first_fin is c.server),
        (Of.RESET, c.reset_by is not None),
        (Of.RESET_BY_SERVER, c.reset_by is c.server),
    )
    of["bits"] = kept | sum(bit for bit, there in has if there)
    of["last_ns"], of["rtt_ns"] = c.last_time_ns, c.rtt_ns
    for side, end in enumerate((c.client, c.server)):
        own, seldom = ends[side], rare[side]
        own["bits"] = (
            (At.BASE if end.base is not None else 0)
            | (At.DATA if end.data_start is not None else 0)
            | (At.FIN if end.fin_seq is not None else 0)
            | (At.SAW_SYN if end.saw_syn else 0)
        )
        own["base"] = end.base or 0
        own["packets"], own["state"] = end.packets, STATE[end.state]
        own["data_start"], own["data_end"] = end.data_start or 0, end.data_end or 0
        own["resent"] = sum(_by(c, end, bit) for bit, _ in LABELS if bit & SENT_AGAIN)
        seldom["fin_first_time"], seldom["fin_first_frame"] = end.fin_first_time, end.fin_first_frame
        seldom["fin_acked_frame"] = end.fin_acked_frame
        seldom["keepalives"] = _by(c, end, Note.KEEP_ALIVE)
        seldom["zero_windows"] = _by(c, end, Note.ZERO_WINDOW)
        reset = c.reset_segment if c.reset_by is end else None
        seldom["reset_time"] = 0 if reset is None else reset.time_ns


def _opens(end: Endpoint) -> bool:
    return Event.RECEIVE_SYN_ACK in end.steps or Event.RECEIVE_ACK_OF_SYN in end.steps


def _by(c: Connection, end: Endpoint, bit: int) -> int:
    noted = c.noted.get(int(bit))
    if noted is None:
        return 0
    return noted.by_client if end.is_client else noted.count - noted.by_client
