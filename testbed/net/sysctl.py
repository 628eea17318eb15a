"""The IPv4 and TCP settings of the calling thread's network (Documentation/networking/ip-sysctl.rst).

Only a private network's are ever written: a test must not change its user's machine.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Final

from ..errors import CapabilityError, UsageError
from . import links

_NAME: Final = re.compile(r"[a-z0-9_]+([./][A-Za-z0-9_-]+)*")


def _path(name: str) -> Path:
    """`tcp_fin_timeout` lies in net.ipv4; anything with a dot is taken from net. on: `ipv6.conf.lo.mtu`."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a network setting, such as tcp_fin_timeout")
    parts = re.split(r"[./]", name.removeprefix("net."))
    return Path("/proc/sys/net", *(parts if len(parts) > 1 else ["ipv4", *parts]))


def get(name: str) -> str:
    """The value of setting `name`, as the kernel prints it; UsageError when there is none such here."""
    try:
        return _path(name).read_text().strip()
    except OSError as error:
        raise UsageError(f"the setting {name} cannot be read: {error.strerror}") from None


def set(name: str, value: int | str) -> None:
    """Set `name` to `value` in this thread's private network.

    Error handling: UsageError outside a private network, for a name that does not exist per network
    and for a value that the kernel does not take; CapabilityError where it may not be written.
    """
    path = _path(name)
    if not links.in_private_network():
        raise UsageError(f"{name} is set in a private network only, never on the machine itself")
    try:
        path.write_text(f"{value}\n")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise CapabilityError(
                f"the setting {name} may not be written ({error.strerror})",
                "run as root, or where /proc/sys is writable (docker run --privileged)",
            ) from None
        raise UsageError(f"{name} cannot be set to {value!r}: {error.strerror}") from None
