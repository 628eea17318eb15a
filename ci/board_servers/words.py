"""The words of a report, without what only the captures or the moment of its round can tell."""

from __future__ import annotations

import re
from typing import Final

_FRAMES: Final = re.compile(r" \(frames? [\d, ]+\)")
_PROCESS: Final = re.compile(r"\b(?:process )?\d+ \(([^()]+)\)")
_SOME: Final = re.compile(r"\b(?!\d{3} with )\d+(?:\.\d+)?(?: (?:ms|s|min|h)\b)?")


def plain(text: str) -> str:
    """Without frame numbers and process ids."""
    return _PROCESS.sub(r"\1", _FRAMES.sub("", text))


def steady(text: str) -> str:
    """Without figures either, but for an HTTP status and whether there was any: ``0 lost``, ``N lost``.

    What is told alike of two rounds is the same outcome, however long each step of it took.
    """
    return _SOME.sub(lambda found: "0" if found[0] == "0" else "N", plain(text))
