"""Captures to download from a page: within it while they are small, so that it can be sent alone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final
from urllib.parse import quote

from .content import Download

SMALL: Final = 512 << 10
"""Bytes of a file that goes into the page."""

TOGETHER: Final = 4 << 20
"""Bytes of all files in a page."""


class Files:
    """The files of one page, which lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = TOGETHER

    def download(self, label: str, path: Path) -> tuple[Download, ...]:
        """The file at `path`, in the folder or below; nothing where there is none."""
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return ()
        if size > min(SMALL, self._left):
            return (Download(label, path.name, quote(path.relative_to(self._folder).as_posix())),)
        self._left -= size
        data = base64.b64encode(path.read_bytes()).decode()
        return (Download(label, path.name, f"data:application/vnd.tcpdump.pcap;base64,{data}"),)
