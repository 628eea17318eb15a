"""Who holds a socket, and which processes are meant."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from testbed.errors import UsageError
from testbed.watch.holders import Holders, sockets_of
from testbed.watch.wanted import Named, Tree

MARK = "no-other-process-has-this-argument"
CHILD = "import socket, sys; s = socket.socket(); print(s.fileno(), flush=True); sys.stdin.read()"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and the child that it has started, which holds a socket."""
    with started(PARENT) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())
        parent.communicate(timeout=20)


def inode(held: socket.socket) -> int:
    return os.fstat(held.fileno()).st_ino


def test_many_are_found_in_one_walk() -> None:
    holders = Holders()
    with socket.socket() as first, socket.socket() as second:
        wanted = {inode(first), inode(second)}
        assert holders.unknown(wanted) == wanted
        holders.find(wanted)
        assert holders.unknown(wanted) == set()
        found = {holders.of(inode(one)) for one in (first, second)}
        assert {(owner.pid, owner.fd) for owner in found if owner} == {
            (os.getpid(), one.fileno()) for one in (first, second)
        }


def test_what_nobody_holds_is_looked_for_a_few_times_and_no_more() -> None:
    holders = Holders()
    with socket.socket() as gone:
        number = inode(gone)
    times = 0
    while holders.unknown([number]):
        holders.find([number])
        times += 1
        assert times < 10
    assert holders.of(number) is None
    assert holders.unknown([0]) == set()  # inode 0 is nobody's


def test_a_walk_is_followed_by_a_rest() -> None:
    holders = Holders()
    assert holders.rested
    holders.find([2**40])
    assert not holders.rested


def test_a_tree_has_the_children(family: tuple[int, int]) -> None:
    parent, child = family
    assert Tree([parent]).processes() == {parent, child}
    assert Tree([child]).processes() == {child}
    assert {owner.pid for owner in sockets_of([parent, child]).values()} == {child}


def test_a_tree_is_empty_when_its_process_has_ended() -> None:
    with started("import sys; sys.stdin.read()") as process:
        tree = Tree([process.pid])
        assert tree.processes() == {process.pid}
        process.communicate(timeout=20)
    assert tree.processes() == set()
    with pytest.raises(UsageError, match="there is no process"):
        Tree([process.pid])


def test_processes_by_a_text_in_their_command_line() -> None:
    named = Named(MARK)
    assert named.processes() == set()
    with started("import sys; print(flush=True); sys.stdin.read()", MARK) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert named.processes() == {process.pid}
        process.communicate(timeout=20)


def test_this_process_is_never_meant() -> None:
    """`testbed watch --command nginx` has nginx in its own command line."""
    assert os.getpid() not in Named("").processes()
    assert os.getppid() not in Named("").processes()
