"""Fixtures and paths shared by the tests."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.doctor import examine
from testbed.errors import CapabilityError
from testbed.net.private import PrivateNetwork

from .leftovers import MARK

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

pytest_plugins = ["pytester"]


@pytest.fixture
def shared() -> Path:
    """The folder of captures and transcripts that are no part of the project; skips where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED.name}/ (captures recorded elsewhere) is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def live() -> None:
    """For tests that capture in a private network; skips, with the remedy, where that cannot be done."""
    missing = [c for c in examine(("capture", "netns")) if not c.available]
    if missing:
        pytest.skip(f"{missing[0].name}: {missing[0].detail}; {missing[0].remedy}")


@pytest.fixture
def without_tcpdump() -> list[str]:
    """What goes before a command that is to find no tcpdump on this machine; root may hide it."""
    path = shutil.which("tcpdump", path=f"{os.environ['PATH']}:/usr/sbin")
    if os.geteuid() != 0 or path is None:
        pytest.skip("hiding tcpdump from a command takes root, and a tcpdump")
    return ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null "$0" && exec "$@"', path]


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """What is started in this test carries it."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return value


@pytest.fixture
def network() -> Iterator[PrivateNetwork]:
    """A private network around a test; skips, with the remedy, where this user can have none."""
    private = PrivateNetwork()
    try:
        private.__enter__()
    except CapabilityError as error:
        pytest.skip(str(error))
    try:
        yield private
    finally:
        private.__exit__(None, None, None)
