"""A page as one HTML file, which loads nothing and runs nothing but its own script.

The script and the style sheet are allowed by their digests (Content-Security-Policy, level 3): what a
capture might smuggle in beside them would not run even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..._version import __version__
from ...findings import rule
from ...render import svg, wording
from ...render.escape import visible
from ...render.svg import states
from .content import Page, Shown

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES: Final = Path(__file__).parent / "templates"
STYLES: Final = ("colours.css", "document.css", "tables.css", "connection.css", "inspector.css")
SCRIPTS: Final = (
    "elements.js",
    "table.js",
    "bytes.js",
    "inspector.js",
    "ladder.js",
    "zoom.js",
    "connections.js",
    "copying.js",
    "saving.js",
    "start.js",
)
"""The parts of the style sheet and of the script, in the order in which they are put together."""

PIECE: Final = 64
"""Pieces of the template's output that are written together."""


def write(path: Path, page: Page) -> None:
    """Write the page.  OSError where it cannot be written."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(pieces(page))


def pieces(page: Page) -> Iterator[str]:
    """The HTML, piece by piece: a page of many ladders is large."""
    style, drawings = _joined(STYLES), svg.style_sheet()
    script = f"'use strict';(function () {{\n{_joined(SCRIPTS)}\n}})();"
    policy = (
        f"default-src 'none'; script-src '{digest(script)}'; "
        f"style-src '{digest(style)}' '{digest(drawings)}'; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template("page.html")
    stream = template.stream(
        page=page,
        version=__version__,
        policy=policy,
        style=_markup(style),
        drawings=_markup(drawings),
        script=_markup(script),
        definitions=_markup(svg.definitions()),
    )
    stream.enable_buffering(PIECE)
    yield from stream


def digest(text: str) -> str:
    """As a source of a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def embedded(value: Any) -> str:
    """JSON that may stand in a script element: no tag and no comment can begin or end in it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _joined(names: tuple[str, ...]) -> str:
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {one.__name__.lstrip("_"): one for one in FILTERS}
    return made


def _shown(value: object) -> object:
    """What an expression gives, with nothing in it that steers: markup is ours, all else is text."""
    return visible(value) if type(value) is str else value


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - what is escaped where it is made


def _ladder(shown: Shown, *, narrow: bool = False) -> Markup:
    assert shown.ladder is not None  # the template asks only then
    return _markup(svg.inline(replace(shown.ladder, title=""), narrow=narrow))


def _states(shown: Shown) -> Markup:
    origin_ns = shown.ladder.origin_ns if shown.ladder is not None else shown.states[0].time_ns
    return _markup(states.draw(shown.states, origin_ns, shown.end_ns))


def _embedded(value: object) -> Markup:
    return _markup(embedded(value))


FILTERS: Final[tuple[Callable[..., object], ...]] = (
    _ladder,
    _states,
    _embedded,
    rule,
    wording.span,
)
"""What a template may make of a value, by the function's name."""
