"""Waiting for what has no event of its own, such as a state in the kernel's tables: by looking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

LOOK: Final = 0.005
"""Seconds from one look to the next, where a look costs little."""


async def until(holds: Callable[[], object], within: float, *, every: float = LOOK) -> bool:
    """Look again and again whether `holds`; False when it did not `within` so many seconds.

    What holds is seen to hold, however late this process gets its turn: it looks once more when time is up.
    """
    limit = time.monotonic() + within
    while True:
        over = time.monotonic() >= limit
        if holds():
            return True
        if over:
            return False
        await asyncio.sleep(every)
