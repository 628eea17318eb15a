"""What is said on standard error beside the answer."""

from __future__ import annotations

import sys

from ..render.escape import visible


def remark(text: str) -> None:
    """One line; a name in it (a file's, an argument's) is whoever's who gave it, and steers no terminal."""
    print(f"testbed: {visible(text)}", file=sys.stderr)
