"""A debugger for TCP: a scenario played between two hosts, one segment at a time.

patient   the lab, whose program waits as long as it takes
session   the scenario, the frozen link, and what both kernels say at each moment
keys      what each key does, and scripts of them
screen    what is shown: the ladder so far, what is held, both kernels, what RFC 9293 says comes next
play      the loop of looks and keys, on a terminal or by a script
"""

from .play import interactive, scripted
from .session import Session

__all__ = ["Session", "interactive", "scripted"]
