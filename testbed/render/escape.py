"""Text from captures and programs made fit to show: nothing in it steers a terminal or a picture.

A host name, a command line or an error text can hold escape sequences (which move the cursor or
retitle the window), bidirectional overrides (which show a line in another order than it is
written) and marks without a width (which break alignment).  `visible` spells them out.
"""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Mn", "Me"})
"""Unicode's general categories of what has no glyph of its own: control and format characters,
surrogates, private use, unassigned, separators other than the blank, combining marks."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, *, ascii_only: bool = False) -> str:
    r"""`text` with each character that has no glyph spelled out as ``\n``, ``\x1b``, ``\u202e``.

    With `ascii_only` every character above ``~`` is spelled out too.  A backslash stays one: the
    result is for reading, not for reading back.
    """
    if text.isascii() and text.isprintable():
        return text
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        character if _has_glyph(character, ascii_only) else _spelled(character) for character in composed
    )


def cells(text: str) -> int:
    """The columns that visible `text` takes in a terminal: two for each wide character, else one."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def clip(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` if it fits in `width` columns, else its beginning and `ellipsis`."""
    if cells(text) <= width:
        return text
    room = width - cells(ellipsis)
    return _head(text, room) + ellipsis if room >= 0 else _head(text, width)


def wrap(text: str, width: int) -> list[str]:
    """`text` as lines of at most `width` (2 or more) columns, broken at blanks where there are some."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        rest = word
        if line and cells(line) + 1 + cells(rest) <= width:
            line = f"{line} {rest}"
            continue
        if line:
            lines.append(line)
        while cells(rest) > width:
            head = _head(rest, width)
            lines.append(head)
            rest = rest[len(head) :]
        line = rest
    return [*lines, line] if line or not lines else lines


def _has_glyph(character: str, ascii_only: bool) -> bool:
    if character == " ":
        return True
    if ascii_only and character > "~":
        return False
    return unicodedata.category(character) not in _UNSEEN


def _spelled(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cells_of(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _head(text: str, width: int) -> str:
    """As many leading characters of `text` as fit in `width` columns."""
    taken = 0
    for index, character in enumerate(text):
        taken += _cells_of(character)
        if taken > width:
            return text[:index]
    return text
