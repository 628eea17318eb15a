"""What a page tells of one segment: its header in words, its options, its bytes.

    {"labels": ["sequence number", ...],
     "segments": {"8": {"head": "F. 105:105(0) ack 255", "values": [...], "bytes": "...", ...}}}

The bytes begin with the TCP header.  They are those of the capture, base64, at most `MOST_BYTES` of the
payload.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from ...render import wording
from ...tcp.connection import Connection, Exchange
from ...tcp.endpoint import UNKNOWN_SCALE
from ...tcp.notes import names
from ...tcp.transcript import line_of
from ...wire import options
from ...wire.notation import NAMES
from ...wire.segment import ACK, SYN, URG

MOST_BYTES: Final = 256
"""Bytes of a payload that a page shows."""

LABELS: Final = (
    "time",
    "from",
    "flags",
    "sequence number",
    "acknowledgment",
    "window",
    "options",
    "payload",
    "checksum",
    "urgent pointer",
    "notes",
    "states (wire)",
)
"""The rows of the table, in order; one that is empty is not shown."""

DATED: Final = 86_400 * 1_000_000_000
"""Earlier times are those of a text without a date: nanoseconds since midnight."""


def table(connection: Connection, frames: Iterable[int], origin_ns: int) -> dict[str, Any]:
    """What is told of the segments with these frames, for `json.dumps`."""
    wanted = set(frames)
    ends = {"client": connection.client, "server": connection.server}
    told = {}
    for exchange in connection.exchanges or ():
        frame = exchange.segment.frame
        if frame not in wanted:
            continue
        states = {side: connection.state_after(frame, end) for side, end in ends.items()}
        after = ", ".join(f"{side} {state}" for side, state in states.items() if state is not None)
        own, peer = ("client", "server") if exchange.from_client else ("server", "client")
        # SACK edges count from the peer's ISN, whose data they acknowledge
        told[str(frame)] = _segment(exchange, origin_ns, ends[own].scale, ends[peer].base or 0, after)
    return {"labels": list(LABELS), "segments": told}


def _segment(exchange: Exchange, origin_ns: int, scale: int, base: int, states: str) -> dict[str, Any]:
    segment = exchange.segment
    raw = segment.data[segment.tcp_at :] if segment.data else b""
    header = (raw[12] >> 4) * 4 if len(raw) >= 20 else 0
    payload = len(segment.payload)
    shown = raw[: header + min(payload, MOST_BYTES)] if header else b""
    values = {
        "time": f"{wording.seconds(segment.time_ns - origin_ns)} s; {moment(segment.time_ns)}",
        "from": exchange.sender,
        "flags": f"{flag_names(segment.flags)} (0x{segment.flags:03x})",
        "sequence number": _number(exchange.seq, segment.seq),
        "acknowledgment": _number(exchange.ack, segment.ack) if segment.flags & ACK else "",
        "window": _window(exchange, scale),
        "options": options.describe(segment.options, base).replace(",", ", "),
        "payload": _payload(segment.length, payload),
        "checksum": f"0x{raw[16:18].hex()}" if header else "",
        "urgent pointer": str(int.from_bytes(raw[18:20], "big")) if header and segment.flags & URG else "",
        "notes": ", ".join(names(exchange.notes)),
        "states (wire)": states,
    }
    return {
        "head": wording.undirected(str(line_of(exchange))),
        "values": [values[label] for label in LABELS],
        "bytes": base64.b64encode(shown).decode(),
        "header": header,
        "left": payload - (len(shown) - header) if header else 0,
    }


def moment(time_ns: int) -> str:
    """A time of day, with its date where there is one: ``2026-11-21 03:18:29.002012 UTC``."""
    whole, rest = divmod(time_ns, 1_000_000_000)
    try:
        day = datetime.fromtimestamp(whole, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{whole} s since 1970"
    fraction = f"{rest // 1000:06d}"
    if 0 <= time_ns < DATED:
        return f"{day:%H:%M:%S}.{fraction}"
    return f"{day:%Y-%m-%d %H:%M:%S}.{fraction} UTC"


def flag_names(flags: int) -> str:
    """``SYN ACK``; ``none``."""
    return " ".join(name for bit, name in enumerate(NAMES) if flags >> bit & 1) or "none"


def _number(relative: int | None, absolute: int | None) -> str:
    if relative is None or absolute is None:
        return "not told"
    return f"{relative} (absolute {absolute})"


def _window(exchange: Exchange, scale: int) -> str:
    sent = exchange.segment.window
    if exchange.window != sent:
        return f"{exchange.window} ({sent} scaled by {scale})"
    unknown = scale == UNKNOWN_SCALE and not exchange.segment.flags & SYN
    return f"{sent} (its scale is not known)" if unknown else str(sent)


def _payload(length: int, captured: int) -> str:
    if not length:
        return "none"
    told = f"{length:,} byte{'' if length == 1 else 's'}"
    return told if captured == length else f"{told}, {captured:,} of them captured"
