"""System calls that Python 3.11 has no function for: namespaces, capabilities, prctl.

`os.unshare` and `os.setns` came with 3.12; one way for all versions is less to know.  Each call
raises OSError with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Final

from ..errors import CapabilityError

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000

CAP_NET_BIND_SERVICE: Final = 10
CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
CAP_SYS_ADMIN: Final = 21

_MS_PRIVATE_RECURSIVE: Final = 1 << 18 | 1 << 14
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FD_CLOEXEC: Final = 1
_FSCONFIG_CREATE: Final = 6
_NODEV_NOSUID_NOEXEC: Final = 0x2 | 0x4 | 0x8
_MS_REC_SLAVE: Final = 0x4000 | 0x8_0000

_PR_SET_PDEATHSIG: Final = 1
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAPABILITY_VERSION_3: Final = 0x2008_0522


def require_linux(what: str) -> None:
    """Say in words that `what` needs Linux, before an import or a call fails without any."""
    if sys.platform != "linux":
        raise CapabilityError(
            f"{what} needs Linux, this is {sys.platform}",
            "run it in a Linux container or virtual machine (reading captures works here too)",
        )


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    result = int(getattr(_libc(), name)(*arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def unshare(flags: int) -> None:
    """Give the calling *thread* new namespaces; EPERM without CAP_SYS_ADMIN (but for CLONE_NEWUSER)."""
    _call("unshare", ctypes.c_int(flags))


def setns(descriptor: int, kind: int) -> None:
    """Move the calling *thread* into the namespace that `descriptor` holds."""
    _call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def mount_own_proc() -> None:
    """Give this process a mount namespace with a /proc of its own PID namespace (pid_namespaces(7)).

    EPERM for an ordinary user where parts of the present /proc are covered, as in most containers.
    """
    unshare(CLONE_NEWNS)
    nothing, none = ctypes.c_void_p(), ctypes.c_char_p(b"none")
    _call("mount", none, ctypes.c_char_p(b"/"), nothing, ctypes.c_ulong(_MS_PRIVATE_RECURSIVE), nothing)
    proc = ctypes.c_char_p(b"proc")
    flags = ctypes.c_ulong(_NODEV_NOSUID_NOEXEC)
    _call("mount", proc, ctypes.c_char_p(b"/proc"), proc, flags, nothing)


def detached_mount(filesystem: str) -> int:
    """A new mount of `filesystem` that is attached to no folder: its descriptor, and gone with it.

    The calls have the same numbers on every architecture (include/uapi/asm-generic/unistd.h).
    EPERM without CAP_SYS_ADMIN over the machine; ENODEV where the kernel has no such file system.
    """
    context = _call("syscall", ctypes.c_long(_FSOPEN), filesystem.encode(), ctypes.c_uint(_FD_CLOEXEC))
    try:
        arguments = (ctypes.c_int(context), ctypes.c_uint(_FSCONFIG_CREATE), None, None, ctypes.c_int(0))
        _call("syscall", ctypes.c_long(_FSCONFIG), *arguments)
        return _call(
            "syscall",
            ctypes.c_long(_FSMOUNT),
            ctypes.c_int(context),
            ctypes.c_uint(_FD_CLOEXEC),
            ctypes.c_uint(_NODEV_NOSUID_NOEXEC),
        )
    finally:
        os.close(context)


def _prctl(option: int, second: int, third: int = 0) -> None:
    unsigned = ctypes.c_ulong
    _call("prctl", ctypes.c_int(option), unsigned(second), unsigned(third), unsigned(0), unsigned(0))


def _capabilities() -> tuple[ctypes.Array[ctypes.c_uint32], ctypes.Array[ctypes.c_uint32]]:
    """The calling thread's, by capget(2): effective, permitted, inheritable; low, then high words."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _call("capget", header, data)
    return header, data


def has_capability(capability: int) -> bool:
    """Whether the calling thread has it, effective."""
    word, bit = divmod(capability, 32)
    return bool(_capabilities()[1][3 * word] >> bit & 1)


def keep_capabilities(capabilities: Iterable[int]) -> None:
    """Make `capabilities`, which must be permitted, ambient: programs started from here hold them too.

    Without it an ordinary user's uid loses all of them at execve(2), and tcpdump may not capture in
    a network that this very process made (capabilities(7), "Transformation of capabilities").
    """
    wanted = tuple(capabilities)
    header, data = _capabilities()
    for capability in wanted:
        word, bit = divmod(capability, 32)
        data[3 * word + 2] |= 1 << bit
    _call("capset", header, data)
    for capability in wanted:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Have this process sent signal `number` when the thread that forked it is no more."""
    _prctl(_PR_SET_PDEATHSIG, int(number))


def dying_with_parent(number: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn`: the child gets signal `number` when the *thread* that started it is no more.

    Start from the main thread, or the child ends with the thread.  The kernel forgets the wish when
    the program to be run carries file capabilities (prctl(2)); such a tcpdump ends with the next
    packet instead, at its closed pipe.
    """
    libc = _libc()  # loaded before the fork: nothing is imported in the child
    parent = os.getpid()

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the wish was made
            os._exit(1)

    return in_child


def own_tmp() -> Callable[[], None]:
    """A `preexec_fn`: the child has a /tmp of its own, in memory, gone with the last process that sees it.

    EPERM without CAP_SYS_ADMIN over one's user namespace.
    """
    libc = _libc()  # loaded before the fork
    folder, kind, mode = b"/tmp", b"tmpfs", b"mode=1777"

    def in_child() -> None:
        if (
            libc.unshare(CLONE_NEWNS)
            or libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC_SLAVE), None)
            or libc.mount(kind, folder, kind, ctypes.c_ulong(_NODEV_NOSUID_NOEXEC), mode)
        ):
            raise OSError(ctypes.get_errno(), "no /tmp of its own")

    return in_child
