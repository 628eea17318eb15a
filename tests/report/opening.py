"""A page opened in a browser, and what it may not do there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def opened(browser: Browser, path: Path, fragment: str = "", **options: Any) -> Iterator[Page]:
    """The page in a window: nothing is said on its console, nothing thrown, nothing else asked for."""
    settings = {"viewport": {"width": 1440, "height": 900}, **options}
    context = browser.new_context(**settings)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri() + fragment)
    yield page
    context.close()
    assert said == []
    assert {url.partition("#")[0] for url in asked if not url.startswith(("blob:", "data:"))} == {
        path.as_uri()
    }
