"""Every decoder given damaged input at length: nothing but its own errors may come of it.  `ci/fuzz`.

targets    the table: what is fuzzed, from which seeds, and what may come of it
sock_diag  the codec of NETLINK_SOCK_DIAG as one of them
trace_ring the pages of the kernel's trace buffer as another
engine     mutations of the project's own, from numbers
coverage   atheris, which looks for new ways through the code
"""

SLOW = 5.0
"""Seconds of processor time for one input, all of them a few kB, after which it counts as hung."""
