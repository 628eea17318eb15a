"""Fixtures and paths shared by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

pytest_plugins = ["pytester"]


@pytest.fixture
def shared() -> Path:
    """The folder of captures and transcripts that are no part of the project; skips where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED.name}/ (captures recorded elsewhere) is not beside this checkout")
    return SHARED
