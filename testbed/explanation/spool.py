"""Texts put away by number: in memory while they are few, in a temporary file when they are many."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

IN_MEMORY: Final = 64 << 20
"""Bytes; more goes to a temporary file, which has no name and ends with this process."""


class Spool:
    """Takes texts in any order, gives them back by their numbers: lowest first.  Sixteen bytes of each
    stay in memory."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - closed by close()
        self._numbers = array("Q")
        self._ends = array("Q", [0])

    def put(self, number: int, text: str) -> None:
        """Put a text away."""
        data = text.encode()
        self._file.write(data)
        self._numbers.append(number)
        self._ends.append(self._ends[-1] + len(data))

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        for place in sorted(range(len(self._numbers)), key=self._numbers.__getitem__):
            begin, end = self._ends[place], self._ends[place + 1]
            self._file.seek(begin)
            yield self._file.read(end - begin).decode()
        self._file.seek(0, 2)

    def close(self) -> None:
        """Give the temporary file up."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
