"""A real browser: Debian's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, which Playwright starts without its sandbox, as root needs; skips where it is not."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: ci/setup --tests"
    )
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium here; install it: apt-get install chromium, or ci/setup --tests")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()
