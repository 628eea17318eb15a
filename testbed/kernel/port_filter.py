"""Which sockets a dump is to be of, as the program that the kernel runs on each: inet_diag's bytecode.

The operations are those of include/uapi/linux/inet_diag.h, the rules for jumps those of
`inet_diag_bc_audit` in net/ipv4/inet_diag.c.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from ..errors import UsageError

_OPERATION: Final = struct.Struct("=BBH")  # inet_diag_bc_op: code, yes, no
_JUMP, _SOURCE_IS, _DESTINATION_IS = 1, 11, 12
_MOST_PORTS: Final = 1000


def either_end(ports: Collection[int]) -> bytes:
    """The filter's program: is the source port P, or the destination port P, or ...

    A test goes on by its `yes` and jumps by its `no`, in bytes; a program accepts where it arrives
    exactly at its end and refuses where it arrives 4 bytes behind it.  The kernel takes jumps only to
    where the chain of `yes` leads, so a test that holds meets a jump to the end, not the end itself.
    """
    wanted = sorted(set(ports))
    if any(not 0 <= port <= 0xFFFF for port in wanted) or len(wanted) > _MOST_PORTS:
        raise UsageError(f"sockets are looked for by up to {_MOST_PORTS} ports of 0 to 65535, not {ports!r}")
    tests = [(code, port) for port in wanted for code in (_SOURCE_IS, _DESTINATION_IS)]
    program = b""
    for code, port in reversed(tests):
        if program:
            program = _OPERATION.pack(_JUMP, 4, len(program) + 4) + program
        program = _OPERATION.pack(code, 8, 12) + _OPERATION.pack(0, 0, port) + program
    return program
