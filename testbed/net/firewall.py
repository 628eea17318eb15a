"""Packets dropped on purpose, by nftables rules in a private network.

The rules lie at the *input* hook: a capture on the loopback shows the packet, its receiver never
gets it, which is what loss looks like to a sender.  A rule is given as words of nft(8)'s language
(``["tcp", "dport", "9502"]``), never as pasted text.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from ..errors import CapabilityError, UsageError
from . import links

TABLE: Final = "testbed"
ONCE: Final = ("numgen", "inc", "mod", "1000000", "0")
"""Matches the first packet of a million that get this far in the rule."""


class Drop:
    """Drops matching packets while it is entered, or only the first one.

    match  nft's words for which packets
    once   only the first that matches
    tell   what the sender is told by ICMP, one of nft's words for its codes: ``host-unreachable``,
           ``admin-prohibited``...; "": nothing, as of what was lost

    Error handling: CapabilityError where nft is missing or refused, UsageError outside a private
    network and for words that nft does not understand.
    """

    _number = 0

    def __init__(self, match: Sequence[str], *, once: bool = False, tell: str = "") -> None:
        self.match = tuple(match)
        self.once = once
        self.tell = tell
        Drop._number += 1
        self._chain = f"drop{Drop._number}"

    def __enter__(self) -> Self:
        if not links.in_private_network():
            raise UsageError("packets are dropped in a private network only, never on the machine itself")
        hook = "{ type filter hook input priority 0 ; }"
        verdict = ("reject", "with", "icmp", "type", self.tell) if self.tell else ("drop",)
        rule = [*self.match, *(ONCE if self.once else ()), "counter", *verdict]
        _nft("add", "table", "inet", TABLE)
        _nft("add", "chain", "inet", TABLE, self._chain, *hook.split())
        try:
            _nft("add", "rule", "inet", TABLE, self._chain, *rule)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        _nft("delete", "chain", "inet", TABLE, self._chain)

    @property
    def dropped(self) -> int:
        """How many packets it has dropped so far."""
        words = _nft("list", "chain", "inet", TABLE, self._chain).split()
        return int(words[words.index("packets") + 1])


def _nft(*words: str) -> str:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin") or shutil.which("nft")
    if nft is None:
        raise CapabilityError("nft is not installed", "apt-get install nftables")
    done = subprocess.run([nft, *words], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip().splitlines()[:1] or ["no word of why"]
    if "Operation not permitted" in done.stderr:
        raise CapabilityError(f"nft may not set rules here ({said[0]})", "run as root, or under testbed exec")
    raise UsageError(f"nft does not take {' '.join(words)!r}: {said[0]}")
