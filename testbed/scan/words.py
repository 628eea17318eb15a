"""Numbers as they lie in a packet, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import inlined
from .layout import Int


@inlined
def u16(data: Any, at: Int) -> Int:
    """Two bytes in network order."""
    i = np.uintp(at)
    return np.int64(data[i]) << 8 | np.int64(data[i + np.uintp(1)])


@inlined
def u32(data: Any, at: Int) -> Int:
    """Four bytes in network order."""
    i = np.uintp(at)
    return (
        np.int64(data[i]) << 24
        | np.int64(data[i + np.uintp(1)]) << 16
        | np.int64(data[i + np.uintp(2)]) << 8
        | np.int64(data[i + np.uintp(3)])
    )


@inlined
def u32_swapped(data: Any, at: Int) -> Int:
    """Four bytes, the least significant first."""
    i = np.uintp(at)
    return (
        np.int64(data[i])
        | np.int64(data[i + np.uintp(1)]) << 8
        | np.int64(data[i + np.uintp(2)]) << 16
        | np.int64(data[i + np.uintp(3)]) << 24
    )


@inlined
def u64(data: Any, at: Int) -> Any:
    """Eight bytes in network order."""
    return np.uint64(u32(data, at)) << np.uint64(32) | np.uint64(u32(data, at + 4))
