"""What Linux tells of one TCP connection: struct tcp_info (include/uapi/linux/tcp.h).

The struct only ever grew, so its length says which of the fields a kernel knows; the others are
None.  Names are the kernel's without `tcpi_`, with the unit behind them where there is one.

Times are the kernel's: `_us` are microseconds, `_ms` milliseconds since the event.
"""

from __future__ import annotations

import functools
import struct
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

LAYOUT: Final[dict[str, tuple[int, str]]] = {
    "ca_state": (1, "B"),
    "retransmits": (2, "B"),
    "probes": (3, "B"),
    "backoff": (4, "B"),
    "options": (5, "B"),
    "wscale": (6, "B"),
    "rto_us": (8, "I"),
    "ato_us": (12, "I"),
    "snd_mss": (16, "I"),
    "rcv_mss": (20, "I"),
    "unacked": (24, "I"),
    "lost": (32, "I"),
    "retrans": (36, "I"),
    "last_data_sent_ms": (44, "I"),
    "last_data_recv_ms": (52, "I"),
    "last_ack_recv_ms": (56, "I"),
    "pmtu": (60, "I"),
    "rtt_us": (68, "I"),
    "rttvar_us": (72, "I"),
    "snd_cwnd": (80, "I"),
    "advmss": (84, "I"),
    "rcv_space": (96, "I"),
    "total_retrans": (100, "I"),
    "bytes_acked": (120, "Q"),
    "bytes_received": (128, "Q"),
    "segs_out": (136, "I"),
    "segs_in": (140, "I"),
    "notsent_bytes": (144, "I"),
    "min_rtt_us": (148, "I"),
    "data_segs_in": (152, "I"),
    "data_segs_out": (156, "I"),
    "bytes_sent": (200, "Q"),
    "bytes_retrans": (208, "Q"),
    "dsack_dups": (216, "I"),
    "reord_seen": (220, "I"),
    "rcv_ooopack": (224, "I"),
    "snd_wnd": (228, "I"),
    "rcv_wnd": (232, "I"),
}
"""Where each field stands (offset in bytes, format of `struct`, native byte order)."""

SIZE: Final = 236
"""Bytes from the start to the end of the last field of LAYOUT."""


class TcpInfo(NamedTuple):
    """The fields of struct tcp_info that an experiment asks for; None: this kernel does not send it.

    unacked, lost, retrans     segments in flight, taken for lost, retransmitted and unanswered
    retransmits, probes        unanswered retransmissions by timeout; keepalive or window probes
    snd_wscale, rcv_wscale     RFC 7323's shift counts: the peer's, for what is sent; our own
    snd_wnd, rcv_wnd           windows in bytes, scaled
    bytes_acked                counts the SYN (and FIN) that were acknowledged, as RFC 4898 does
    """

    ca_state: int | None = None
    retransmits: int | None = None
    probes: int | None = None
    backoff: int | None = None
    options: int | None = None
    snd_wscale: int | None = None
    rcv_wscale: int | None = None
    rto_us: int | None = None
    ato_us: int | None = None
    snd_mss: int | None = None
    rcv_mss: int | None = None
    unacked: int | None = None
    lost: int | None = None
    retrans: int | None = None
    last_data_sent_ms: int | None = None
    last_data_recv_ms: int | None = None
    last_ack_recv_ms: int | None = None
    pmtu: int | None = None
    rtt_us: int | None = None
    rttvar_us: int | None = None
    snd_cwnd: int | None = None
    advmss: int | None = None
    rcv_space: int | None = None
    total_retrans: int | None = None
    bytes_acked: int | None = None
    bytes_received: int | None = None
    segs_out: int | None = None
    segs_in: int | None = None
    notsent_bytes: int | None = None
    min_rtt_us: int | None = None
    data_segs_in: int | None = None
    data_segs_out: int | None = None
    bytes_sent: int | None = None
    bytes_retrans: int | None = None
    dsack_dups: int | None = None
    reord_seen: int | None = None
    rcv_ooopack: int | None = None
    snd_wnd: int | None = None
    rcv_wnd: int | None = None


_NAMES: Final = tuple(LAYOUT)
_NONES: Final = (None,) * len(LAYOUT)
_WSCALE: Final = _NAMES.index("wscale")


@functools.lru_cache(maxsize=64)
def _fitting(size: int) -> struct.Struct:
    """The fields that lie whole in `size` bytes, in LAYOUT's order."""
    text, at = "=", 0
    for offset, kind in LAYOUT.values():
        end = offset + struct.calcsize("=" + kind)
        if end > size:
            break
        text += f"{offset - at}x{kind}"
        at = end
    return struct.Struct(text)


def decode(data: bytes) -> TcpInfo:
    """`data` as far as it goes; any length is legal, none raises."""
    values: tuple[int | None, ...] = _fitting(min(len(data), SIZE)).unpack_from(data)
    values += _NONES[len(values) :]
    scales = values[_WSCALE]
    pair = (None, None) if scales is None else _nibbles(scales)
    return TcpInfo._make((*values[:_WSCALE], *pair, *values[_WSCALE + 1 :]))


def encode(info: TcpInfo) -> bytes:
    """What a kernel that knows the fields of `info`, up to the last that is not None, would send."""
    fields: Mapping[str, int | None] = info._asdict()
    values = {name: fields[name] for name in LAYOUT if name != "wscale"}
    if info.snd_wscale is not None and info.rcv_wscale is not None:
        values["wscale"] = _byte(info.snd_wscale, info.rcv_wscale)
    ends = [
        offset + struct.calcsize("=" + kind)
        for name, (offset, kind) in LAYOUT.items()
        if values.get(name) is not None
    ]
    data = bytearray(max(ends, default=0))
    for name, (offset, kind) in LAYOUT.items():
        if (value := values.get(name)) is not None:
            struct.pack_into("=" + kind, data, offset, value)
    return bytes(data)


# Bit fields begin at the low end on little-endian machines and at the high end on others.


def _nibbles(value: int) -> tuple[int, int]:
    low, high = value & 15, value >> 4
    return (low, high) if sys.byteorder == "little" else (high, low)


def _byte(first: int, second: int) -> int:
    low, high = (first, second) if sys.byteorder == "little" else (second, first)
    return high << 4 | low
