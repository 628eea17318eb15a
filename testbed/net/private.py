"""Private networks: a network namespace with a `lo` and nothing else, gone with its last user.

    enter_private_network()   the whole process, at its start, for good
    with PrivateNetwork():    this thread, and back again

Root unshares the network.  An ordinary user, or a root that lacks capabilities, unshares a user
namespace with it, in which its own uid stays what it is and a few capabilities are kept through exec, so
that tcpdump may capture
(user_namespaces(7), capabilities(7)).  Some systems let unshare(2) succeed and deny the
capabilities (Ubuntu 24.04's AppArmor), so whether it works is found by doing it: `lo` is raised
and a packet socket opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..errors import CapabilityError, UsageError
from . import libc, links, sysctl
from .child import Outcome, fork, tried_in_child

KEPT_CAPABILITIES: Final = (
    libc.CAP_NET_BIND_SERVICE,
    libc.CAP_NET_ADMIN,
    libc.CAP_NET_RAW,
    libc.CAP_SYS_ADMIN,  # to unshare a network for each worker of a run that is in a user namespace
)

APPARMOR_SETTING: Final = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")

ROOTS_CAPABILITIES: Final = {
    "NET_RAW": libc.CAP_NET_RAW,
    "NET_ADMIN": libc.CAP_NET_ADMIN,
    "SYS_ADMIN": libc.CAP_SYS_ADMIN,
}
"""Without user namespaces it takes these, which a container's root often lacks; as docker calls them."""


def enter_private_network(*, mtu: int = 1500) -> None:
    """Put this process into a private network, for good; what it starts later is in it too.

    Call it first thing.  As an ordinary user, or a root that lacks capabilities, the process must have one
    thread only; as root, threads that run already stay where they were.  `mtu` is that of `lo`, in bytes; no
    packet is larger.

    Error handling: CapabilityError with a remedy when this user may not; the process is then still
    where it was.
    """
    libc.require_linux("a private network")
    _check_mtu(mtu)
    home = _open_network()
    try:
        if _lacking():
            _enter_user_namespace(mtu)
        else:
            libc.unshare(libc.CLONE_NEWNET)
            _furnish_or_return(home, mtu)
    except OSError as error:
        raise _refused(error) from None
    finally:
        os.close(home)


class PrivateNetwork:
    """A private network for the calling thread, as a context manager; it may be entered once.

    Needs CAP_SYS_ADMIN: root, or a process after `enter_private_network`.  Sockets, tcpdump and
    programs started inside belong to it and stay in it; it ends when the last of them has.
    psutil sees it from the process's first thread only.
    """

    def __init__(self, *, mtu: int = 1500) -> None:
        _check_mtu(mtu)
        self.mtu = mtu
        self._home: int | None = None
        self._thread = 0
        self._entered = False

    def __enter__(self) -> Self:
        libc.require_linux("a private network")
        if self._entered:
            raise UsageError("a PrivateNetwork can be entered once; make another one")
        home = _open_network()
        try:
            try:
                libc.unshare(libc.CLONE_NEWNET)
            except PermissionError as error:
                raise CapabilityError(
                    f"a private network of its own is refused to this process ({error.strerror})",
                    f"start it inside one: testbed exec -- COMMAND; or {remedy()}",
                ) from None
            except OSError as error:
                raise _refused(error) from None
            _furnish_or_return(home, self.mtu)
        except BaseException:
            os.close(home)
            raise
        self._home, self._thread, self._entered = home, threading.get_native_id(), True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._check_thread()
        home, self._home = self._home, None
        assert home is not None  # _check_thread has seen to it
        try:
            libc.setns(home, libc.CLONE_NEWNET)
        finally:
            os.close(home)

    def sysctl(self, name: str, value: int | str) -> None:
        """Set net.ipv4.`name` in this network, such as tcp_fin_timeout (seconds)."""
        self._check_thread()
        sysctl.set(name, value)

    def _check_thread(self) -> None:
        if self._home is None:
            raise UsageError("this PrivateNetwork is not entered")
        if threading.get_native_id() != self._thread:
            raise UsageError("a PrivateNetwork is its thread's own; use it from the thread that entered it")


def available() -> Outcome:
    """Whether this user can have a private network; tried in a forked child."""

    def attempt() -> str:
        home = Path("/proc/self/ns/user").stat().st_ino
        enter_private_network()
        other = Path("/proc/self/ns/user").stat().st_ino != home
        return "in a user namespace" if other else "as root" if os.geteuid() == 0 else "with CAP_SYS_ADMIN"

    return tried_in_child(attempt)


def _open_network() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _check_mtu(mtu: int) -> None:
    if not 68 <= mtu <= 65536:  # RFC 791: every host forwards 68 bytes; lo's own is 65536
        raise UsageError(f"an MTU of {mtu} bytes is not between 68 and 65536")


def _furnish(mtu: int) -> None:
    """Raise `lo`, and open a packet socket as the capture will."""
    try:
        links.raise_link("lo", mtu=mtu, alias=links.PRIVATE_MARK)
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError as error:
        raise CapabilityError(
            f"a private network was made but may not be used ({error.strerror})", _remedy()
        ) from None


def _furnish_or_return(home: int, mtu: int) -> None:
    try:
        _furnish(mtu)
    except BaseException:
        with contextlib.suppress(OSError):
            libc.setns(home, libc.CLONE_NEWNET)
        raise


def _enter_user_namespace(mtu: int) -> None:
    """The ordinary user's way.  There is none back, so a child goes first."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - a count of names
    if threads > 1:
        raise CapabilityError(
            f"an ordinary user's private network needs a process with one thread, this one has {threads}",
            "enter it before any thread is started: testbed exec -- COMMAND, or run as root",
        )

    def attempt() -> str:
        _become_user_namespace(mtu)
        return ""

    outcome = tried_in_child(attempt)
    if not outcome.worked:
        raise CapabilityError(outcome.said, outcome.remedy or _remedy())
    _become_user_namespace(mtu)


def _become_user_namespace(mtu: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        with _mapped_from_outside(uid, gid) if uid == 0 else contextlib.nullcontext():
            libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNET)
        if not Path("/proc/self/gid_map").read_text():
            # user_namespaces(7): without privilege one's own id only, and groups only after "deny"
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        if not Path("/proc/self/uid_map").read_text():
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        libc.keep_capabilities(KEPT_CAPABILITIES)
    except OSError as error:
        raise _refused(error) from None
    _furnish(mtu)


@contextlib.contextmanager
def _mapped_from_outside(uid: int, gid: int) -> Iterator[None]:
    """Have a child that stays outside map this process's ids once it is in its user namespace.

    Where root lacks no more than CAP_SYS_ADMIN, the child may do so and leave setgroups(2) allowed, which
    tcpdump calls whenever it is root (its droproot).
    """
    reading, writing = os.pipe()
    process, child = os.getpid(), fork()
    if child == 0:
        try:
            os.close(writing)
            if os.read(reading, 1):
                Path(f"/proc/{process}/gid_map").write_text(f"{gid} {gid} 1")
                Path(f"/proc/{process}/uid_map").write_text(f"{uid} {uid} 1")
        finally:
            os._exit(0)  # what it could not map is left to the process itself
    os.close(reading)
    try:
        yield
        os.write(writing, b".")
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def _refused(error: OSError) -> CapabilityError:
    return CapabilityError(
        f"a private network is refused to this user ({error.strerror})", _remedy(error.errno)
    )


def remedy() -> str:
    """Who may have a private network, for one who may not: root is not told to become root."""
    if os.geteuid() != 0:
        return f"run as root (sudo), or in a container: {_docker_run(ROOTS_CAPABILITIES)}"
    lacking = _lacking()
    if not lacking:
        return f"let it make namespaces, in a container: {_docker_run(ROOTS_CAPABILITIES)}, or --privileged"
    names = " and ".join(f"CAP_{name}" for name in lacking)
    return f"give root {names}, which it lacks here; in a container: {_docker_run(lacking)}"


def _lacking() -> list[str]:
    """Of `ROOTS_CAPABILITIES`, those that this thread has not."""
    return [name for name, number in ROOTS_CAPABILITIES.items() if not libc.has_capability(number)]


def _docker_run(capabilities: Iterable[str]) -> str:
    return " ".join(["docker run", *(f"--cap-add {name}" for name in capabilities)])


def _remedy(number: int | None = None) -> str:
    """What to do about it on this machine, by what its settings say."""
    if number in (errno.ENOSPC, errno.EUSERS) or _setting("/proc/sys/user/max_user_namespaces") == "0":
        setting = "raise the limit: sysctl user.max_user_namespaces=10000 (and max_net_namespaces)"
    elif _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        setting = "sysctl kernel.unprivileged_userns_clone=1"
    elif _setting(str(APPARMOR_SETTING)) == "1":
        setting = "sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    else:
        return remedy()
    return f"{setting}, or {remedy()}"


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
