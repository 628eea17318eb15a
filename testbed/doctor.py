"""What this machine can do, found by doing it, and what to do about what it cannot.

Whatever changes a process is tried in a forked child (`net.child`); nothing is left behind.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, NamedTuple

from .capture.arguments import find_tcpdump
from .capture.tcpdump import Tcpdump
from .errors import CapabilityError, Error
from .net import private
from .net.child import Outcome, tried_in_child

CHILD_SECONDS: Final = 20.0
CLOCK_CONNECTIONS: Final = 40

_UNFORESEEN: Final = "try it as root (sudo); if it stays, report it with this line"
_NEEDS_LINUX: Final = "run it in a Linux container or virtual machine (reading captures works here too)"


class Capability(NamedTuple):
    """One thing the live parts lean on.

    name        as `--tcp-require` has it
    available   whether it worked
    detail      what was found, or why it did not work
    remedy      what to do about it, "" when nothing is to be done
    needed      False: only some experiments use it, and are skipped without
    without     what there is not where it is not available
    """

    name: str
    available: bool
    detail: str
    remedy: str
    needed: bool
    without: str


class _Check(NamedTuple):
    name: str
    needed: bool
    linux: bool
    examine: Callable[[], Outcome]
    without: str


def examine(names: Collection[str] = ()) -> list[Capability]:
    """Try everything, or what is named, in the order in which the parts lean on each other.

    Everything takes about a second, a half of it the tracepoints' clock.
    """
    found = []
    for check in (c for c in _CHECKS if c.name in names) if names else _CHECKS:
        if check.linux and sys.platform != "linux":
            outcome = Outcome(False, f"needs Linux, this is {sys.platform}", _NEEDS_LINUX)
        else:
            outcome = _examined(check)
        name, worked, said, needed = check.name, outcome.worked, outcome.said, check.needed
        remedy = "" if worked else outcome.remedy or _UNFORESEEN
        found.append(Capability(name, worked, said, remedy, needed, check.without))
    return found


def _examined(check: _Check) -> Outcome:
    try:
        return check.examine()
    except CapabilityError as error:
        return Outcome(False, error.what, error.remedy)
    except (Error, OSError, subprocess.SubprocessError) as error:
        return Outcome(False, f"{type(error).__name__}: {error}")


def _python() -> Outcome:
    version = platform.python_version()
    return Outcome(
        sys.version_info >= (3, 11), f"{version} ({sys.executable})", "install Python 3.11 or later"
    )


def _psutil() -> Outcome:
    try:
        import psutil

        rows = len(psutil.net_connections("tcp"))
    except ImportError as error:
        return Outcome(False, str(error), "install it: pip install 'psutil>=6.0'")
    except psutil.Error as error:
        return Outcome(False, str(error), private.remedy())
    return Outcome(True, f"{psutil.__version__}, {rows} TCP sockets in this network")


def _private_network() -> Outcome:
    return private.available()


def _capture() -> Outcome:
    return _captured_packet(private.enter_private_network)


def _captured_packet(enter: Callable[[], object] | None) -> Outcome:
    """Capture a packet, in the network that `enter` leads to or in this one; there it is proven complete."""
    version = _first_line(find_tcpdump(), "--version")

    async def one_packet() -> int:
        async with Tcpdump() as capture:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("127.0.0.1", 0))
                sender.sendto(b"testbed doctor", sender.getsockname())
            recording = await capture.cut()
        if enter is not None and not recording.complete:
            raise CapabilityError("the capture is not complete", "try again; if it stays, report it")
        return len(recording.packets)

    def attempt() -> str:
        if enter is not None:
            enter()
        begun = time.monotonic()
        packets = asyncio.run(one_packet())
        return f"{version}; {packets} of 1 packet captured in {(time.monotonic() - begun) * 1000:.0f} ms"

    return tried_in_child(attempt, timeout=CHILD_SECONDS)


def lab_here(*, private_network: bool) -> Outcome:
    """Whether this process can have a lab, and what its witnesses are; takes about a tenth of a second.

    private_network  in one of its own, else in the one that the process is in
    """
    from .kernel import trace_source

    if sys.platform != "linux":
        return Outcome(False, f"needs Linux, this is {sys.platform}", _NEEDS_LINUX)
    try:
        outcome = _captured_packet(private.PrivateNetwork().__enter__ if private_network else None)
        if not outcome.worked:
            return outcome
        tcpdump = _first_line(find_tcpdump(), "--version").replace("version ", "")
    except CapabilityError as error:
        return Outcome(False, error.what, error.remedy)
    try:
        trace_source.give_back(trace_source.borrow())  # kept for the first lab
        states = "each change of state from the kernel's tracepoints"
    except CapabilityError:
        states = "states from the kernel's tables (as root: from its tracepoints)"
    where = "in a private network" if private_network else "in this network"
    return Outcome(True, f"{tcpdump} {where}, {states}")


def _two_hosts() -> Outcome:
    """A connection between two hosts, through the link that can hold each of its segments."""
    from .net.hosts import TwoHosts
    from .net.link import Link

    async def handshake() -> float:
        loop = asyncio.get_running_loop()
        with TwoHosts(middle=True) as hosts:
            async with Link(hosts):
                with hosts.server.enter():
                    listener = socket.create_server((hosts.server.address, 0))
                with hosts.client.enter():
                    client = socket.socket()
                with listener, client:
                    client.setblocking(False)
                    begun = time.monotonic()
                    await asyncio.wait_for(loop.sock_connect(client, listener.getsockname()), 10)
                    return time.monotonic() - begun

    def attempt() -> str:
        private.enter_private_network()
        return f"a handshake over a wire that can be held takes {asyncio.run(handshake()) * 1000:.1f} ms"

    return tried_in_child(attempt, timeout=CHILD_SECONDS)


def _sock_diag() -> Outcome:
    """This network's TCP sockets, and how long a look takes: by that much a sample may be late."""
    from .kernel import SockDiag

    with SockDiag() as kernel:
        begun = time.monotonic()
        rows = len(kernel.dump())
        took = time.monotonic() - begun
    return Outcome(
        True, f"answers; {rows} TCP sockets in {took * 1000:.1f} ms, by which a sample may be late"
    )


def _tracefs() -> Outcome:
    """The tracepoints listened to in a private network, and their clock held against the capture's."""

    def attempt() -> str:
        from .kernel import trace_source
        from .lab.clock_error import measure

        trace_source.give_back(trace_source.borrow())  # says why not, before anything else is tried
        private.enter_private_network()
        try:
            return str(asyncio.run(measure(CLOCK_CONNECTIONS)))
        finally:
            trace_source.release()

    return tried_in_child(attempt, timeout=CHILD_SECONDS)


def _iproute2() -> Outcome:
    ip = _program("ip", "iproute2")

    def attempt() -> str:
        private.enter_private_network()
        _run(ip, "link", "add", "dev", "a", "type", "veth", "peer", "name", "b")
        return _first_line(ip, "-V")

    return tried_in_child(attempt, timeout=CHILD_SECONDS)


def _nftables() -> Outcome:
    nft = _program("nft", "nftables")

    def attempt() -> str:
        private.enter_private_network()
        _run(nft, "add", "table", "inet", "testbed")
        return _first_line(nft, "--version")

    return tried_in_child(attempt, timeout=CHILD_SECONDS)


def _tshark() -> Outcome:
    return Outcome(True, _first_line(_program("tshark", "tshark"), "--version"))


def _program(name: str, package: str) -> str:
    path = shutil.which(
        name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    )
    if path is None:
        raise CapabilityError(f"{name} is not installed", f"install it: apt-get install {package}")
    return path


def _run(*arguments: str) -> str:
    done = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=10.0,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        program = Path(arguments[0]).name
        raise CapabilityError(
            f"{' '.join((program, *arguments[1:]))}: {lines[0]}",
            f"a kernel with what {program} asks for, or run as root (sudo)",
        )
    return done.stdout or done.stderr


def _first_line(*arguments: str) -> str:
    return (_run(*arguments).strip().splitlines() or [""])[0].strip()


_CHECKS: Final[tuple[_Check, ...]] = (
    _Check("python", True, False, _python, "nothing works"),
    _Check("psutil", True, False, _psutil, "no live command works"),
    _Check("netns", True, True, _private_network, "only --net host and --tcp-net=host work"),
    _Check("capture", True, True, _capture, "no live command works but watch and serve"),
    _Check("hosts", False, True, _two_hosts, "no step, and experiments between two hosts are skipped"),
    _Check("sock_diag", False, True, _sock_diag, "no queues and timers; psutil tells the states"),
    _Check(
        "tracefs",
        False,
        True,
        _tracefs,
        "states that last microseconds, and why the kernel sent an RST, stay unseen",
    ),
    _Check("iproute2", False, True, _iproute2, "some of the project's own tests are skipped"),
    _Check("nftables", False, True, _nftables, "experiments with a firewall that drops packets are skipped"),
    _Check("tshark", False, False, _tshark, "the project's own tests do not compare with it"),
)
"""What is tried; only the last needs nothing but to be there."""


def verdict(found: Collection[Capability]) -> str:
    """What all of it comes to, in a sentence or two."""
    missing = [c for c in found if not c.available]
    needed = [c.name for c in missing if c.needed]
    if not missing:
        return "Everything works here."
    if "python" in needed:
        return "Nothing works here without a newer Python."
    if needed:
        return (
            f"explain reads captures here. For run, verify, exec and the pytest fixture see to "
            f"{' and '.join(needed)} first."
        )
    return f"The live commands work here, with what is said of {' and '.join(c.name for c in missing)}."


NAMES: Final = tuple(check.name for check in _CHECKS)

__all__ = ["NAMES", "Capability", "examine", "lab_here", "verdict"]
