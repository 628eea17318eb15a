"""The sockets of a dump, each decoded when it is first looked at.

A dump of tens of thousands of sockets is mostly sockets that nobody asks about, or that have not
changed since the last one.  As bytes they cost next to nothing, and all of them were checked: decoding
one later raises nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from .diag_socket import DiagSocket
from .sock_diag_codec import socket_of


class Rows(Sequence[DiagSocket]):
    """Sockets as the kernel told of them, in its order.

    raw      their descriptions, as `sock_diag_codec.decode` checked them
    earlier  the dump before: what has not changed is taken over from it
    """

    __slots__ = ("_known", "_sockets", "raw")

    def __init__(self, raw: list[bytes] | None = None, earlier: Rows | None = None) -> None:
        self.raw: list[bytes] = raw or []
        self._sockets: list[DiagSocket] | None = None
        self._known: Mapping[bytes, DiagSocket] = earlier.decoded() if earlier else {}

    def decoded(self) -> Mapping[bytes, DiagSocket]:
        """Those that were looked at, here or earlier, by their description."""
        if self._sockets is None:
            return self._known
        return dict(zip(self.raw, self._sockets, strict=True))

    def __len__(self) -> int:
        return len(self.raw)

    @overload
    def __getitem__(self, index: int) -> DiagSocket: ...
    @overload
    def __getitem__(self, index: slice) -> list[DiagSocket]: ...
    def __getitem__(self, index: int | slice) -> DiagSocket | list[DiagSocket]:
        if self._sockets is not None or isinstance(index, slice):
            return self._all()[index]
        row = self.raw[index]
        return self._known.get(row) or socket_of(row)

    def __iter__(self) -> Iterator[DiagSocket]:
        return iter(self._all())

    def _all(self) -> list[DiagSocket]:
        if self._sockets is None:
            known = map(self._known.get, self.raw)
            self._sockets = [one or socket_of(row) for one, row in zip(known, self.raw, strict=True)]
            self._known = {}
        return self._sockets
