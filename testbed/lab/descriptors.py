"""How many file descriptors a process may open, and what to do where it is too few."""

from __future__ import annotations

from typing import Final

from ..errors import CapabilityError

SPARE: Final = 100
"""Descriptors that a process needs for other things than its connections."""


def allow(connections: int) -> None:
    """Have this process, and those that it starts from now on, hold so many connections each.

    Error handling: CapabilityError, with how many there may be, where the limit cannot be raised so far.
    """
    import resource  # not on every system on which this module can be imported

    needed = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    raised = hard if hard == resource.RLIM_INFINITY else max(hard, needed)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, raised))
    except (ValueError, OSError):
        raise CapabilityError(
            f"{connections:,} connections at once need {needed:,} descriptors in a process, "
            f"and this user's may open {hard:,}",
            f"raise the limit (ulimit -Hn {needed} as root; LimitNOFILE={needed} of a service; "
            f"docker run --ulimit nofile={needed})"
            + (f", or ask for {hard - SPARE:,} connections" if hard > SPARE else ""),
        ) from None
