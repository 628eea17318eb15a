"""A lab whose program waits for whoever holds the segments."""

from __future__ import annotations

from typing import Any, Final

from ..kernel import SocketSample
from ..lab import Check, Client, Lab, ScriptedServer
from ..lab.judgement import check
from ..net.hosts import Side
from ..tcp.states import State

PATIENCE: Final = 1e6
"""Seconds that a step of the program may take: as long as whoever holds the segments."""

SLOWER: Final = 5
"""Times as long as in a run."""


class StepLab(Lab):
    """A lab whose waits have no end, and in which a failed check ends nothing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._asked: dict[Side, int] = {}  # how far its changes have been gone through

    def hold(self, held: Check) -> None:
        self.checks.append(held)

    def _stamp_link(self, text: str) -> None:
        if not text.startswith(("hold", "forgets")):  # on a frozen link they change nothing
            super()._stamp_link(text)

    async def serve(self, kind: str = "echo", **options: Any) -> tuple[str, int]:
        """A server that waits before it closes waits longer: what it waits in is to be seen."""
        if "delay" in options:
            options["delay"] *= SLOWER
        return await super().serve(kind, **options)

    def client(self, *, timeout: float = PATIENCE, port: int = 0) -> Client:
        return super().client(timeout=PATIENCE, port=port)

    def counterpart(self, port: int, *, timeout: float = PATIENCE) -> Client:
        return super().counterpart(port, timeout=PATIENCE)

    def listen(self, port: int = 0, *, host: str = "", backlog: int = 128) -> ScriptedServer:
        server = super().listen(port, host=host, backlog=backlog)
        server.timeout = PATIENCE
        return server

    async def see(
        self, side: Side, state: State, *, timeout: float = PATIENCE, client: Client | None = None
    ) -> SocketSample | None:
        """Wait for a state, or take it that it has passed since the last one asked for there: a look is
        taken after each step, so none is missed, but the program may be late to ask."""
        local, remote = self._ends(side, client)[0]
        for index in range(self._asked.get(side, 0), len(self.sampler.changes)):
            sample = self.sampler.changes[index]
            if (sample.local, sample.remote, sample.state) == (local, remote, state):
                self._asked[side] = index
                self.hold(check("kernel", f"the kernel shows the {side} in {state}", True))
                return sample
        return await super().see(side, state, timeout=PATIENCE, client=client)

    async def see_gone(self, *arguments: Any, **options: Any) -> None:
        await super().see_gone(*arguments, **{**options, "timeout": PATIENCE})

    async def see_reading(self, *arguments: Any, **options: Any) -> None:
        await super().see_reading(*arguments, **{**options, "timeout": PATIENCE})

    async def until_server(self, *arguments: Any, **options: Any) -> None:
        await super().until_server(*arguments, **{**options, "timeout": PATIENCE})
