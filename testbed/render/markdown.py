"""Text in Markdown, as it stands: what a capture or a server says is no markup."""

from __future__ import annotations

from .escape import visible


def cell(text: str) -> str:
    """Text that a table, a list or a paragraph takes as text, in one line."""
    escaped = visible(text)
    for character in "\\`*_[]<>|&":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped


def code(text: str) -> str:
    """Text for between two backticks."""
    return visible(text).replace("`", "'")


__all__ = ["cell", "code"]
