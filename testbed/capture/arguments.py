"""tcpdump's command line, and what it says when it will not start, as errors with a remedy.

Why these options: without `--immediate-mode` a packet waits in the ring for up to a second; `-U`
alone flushes only stdio.  Without `-s` the ring's slots are so large that `lo`'s holds 16 of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from ..errors import CapabilityError, Error, UsageError

LISTENING: Final = b"listening on "
"""Its line on stderr once the ring is live; nothing that passes after it is missed."""

INSTALL: Final = "install it: apt-get install tcpdump"
PERMIT: Final = (
    "run as root or in a private network (testbed exec -- COMMAND), permit it with "
    "setcap cap_net_raw,cap_net_admin=eip /usr/bin/tcpdump, or in a container: "
    "docker run --cap-add NET_RAW --cap-add NET_ADMIN"
)
_CHECK_SECONDS: Final = 10.0

_SAID: Final[tuple[tuple[str, type[Error], str], ...]] = (
    ("permission", CapabilityError, PERMIT),
    ("not permitted", CapabilityError, PERMIT),
    ("No such device", UsageError, "ip link shows the interfaces there are"),
    ("No such file", UsageError, "ip link shows the interfaces there are"),
    ("not up", UsageError, "raise it with ip link set dev NAME up"),
    ("syntax error", UsageError, "pcap-filter(7) has the language"),
    ("filter expression", UsageError, "pcap-filter(7) has the language"),
    ("unknown host", UsageError, "name hosts by address"),
    ("buffer size", UsageError, "ask for a smaller buffer"),
    ("Cannot allocate memory", CapabilityError, "ask for a smaller buffer"),
)
"""What tcpdump says, whose fault that is, and what to do; the first row found counts."""


def find_tcpdump() -> str:
    """The path of tcpdump; ordinary users' PATH often lacks the directories that it lies in."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/bin", "/sbin"))
    path = shutil.which("tcpdump", path=places)
    if path is None:
        raise CapabilityError("tcpdump is not installed", INSTALL)
    return path


def environment() -> dict[str, str]:
    """The environment tcpdump runs in: its complaints are to be in English."""
    return {**os.environ, "LC_ALL": "C"}


def command(
    program: str, interface: str, *, filter: Sequence[str], port: int, snaplen: int, buffer_kib: int
) -> list[str]:
    """The command that captures on `interface` what `filter` says, and sentinels to UDP `port`.

    After `--` nothing is taken for an option, whatever a filter's words look like.
    """
    arguments = [program, "--immediate-mode", "-U", "-n", "-s", str(snaplen), "-B", str(buffer_kib)]
    arguments += ["--time-stamp-precision=nano", "-w", "-", "-i", interface]
    if os.geteuid() == 0:
        arguments += ["-Z", "root"]  # else it becomes the user tcpdump, which a user namespace has not
    if filter:
        arguments += ["--", "(", *filter, ")", "or", "udp", "dst", "port", str(port)]
    return arguments


def check_filter(program: str, interface: str, filter: Sequence[str]) -> None:
    """Have tcpdump compile `filter` by itself, so that no parenthesis in it closes one of ours.

    Error handling: UsageError with tcpdump's words for a filter or an interface that is none,
    CapabilityError where tcpdump may not open the interface.
    """
    done = subprocess.run(
        [program, "-i", interface, "-d", "--", *filter],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        timeout=_CHECK_SECONDS,
        check=False,
    )
    if done.returncode:
        raise complaint(interface, filter, done.stderr)


def complaint(interface: str, filter: Sequence[str], stderr: bytes) -> Error:
    """The error that tcpdump's last words amount to."""
    words = last_words(stderr)
    where = f"tcpdump on {interface}" + (f", filter {' '.join(filter)!r}" if filter else "")
    for said, kind, remedy in _SAID:
        if said in words:
            if kind is CapabilityError:
                return CapabilityError(f"{where}: {words}", remedy)
            return kind(f"{where}: {words}; {remedy}")
    return CapabilityError(f"{where}: {words}", "testbed doctor tries what this machine can do")


def last_words(stderr: bytes) -> str:
    """What tcpdump said, but for what it always says, in one line."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    own = [line.removeprefix("tcpdump: ") for line in lines if LISTENING.decode() not in line]
    return " ".join(own[:4]) or "it ended without a word"
