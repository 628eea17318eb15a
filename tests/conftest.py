"""Fixtures and paths shared by the tests."""

from __future__ import annotations

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
