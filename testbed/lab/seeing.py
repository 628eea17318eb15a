"""What a lab sees: the kernel's states and readings waited for, what a program was told held to the rule.

Each is a `Check`.  One that fails says what was seen instead, and which lines of this process hold the
connection open, if any do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..errors import ExperimentError, WitnessTimeout
from ..findings.table import Side
from ..kernel import Sampler, SocketSample, readings
from ..kernel.counters import extended
from ..kernel.look import Look
from ..kernel.owners import sockets_of
from ..net.hosts import TwoHosts
from ..tcp.states import State
from .census import Census, counted, is_due
from .holding import End, Held, Pair, Watch, held_open
from .judgement import Check, Verdict, check
from .scripted import Client

MANY = 1000
"""From so many sockets on, one look takes longer than a pause of two milliseconds."""
MOST_PAUSE = 0.25
NOWHERE = ("", 0)


class Seeing:
    """The witnesses of a lab, asked while it goes on.  A `timeout` is in seconds.

    checks   what was held so far
    census   how many sockets were in which state, where that is counted
    clients  the lab's own, the first first
    """

    address: tuple[str, int] | None
    census: list[Census]
    checks: list[Check]
    clients: list[Client]
    hosts: TwoHosts | None
    sampler: Sampler
    _watch: Watch

    def hold(self, held: Check) -> None:
        """Take a check down.  One that fails is an AssertionError, as in any test."""
        __tracebackhide__ = True
        self.checks.append(held)
        if held.verdict is Verdict.FAIL:
            raise AssertionError(f"not so that {held.statement}: {held.detail}")

    def told(self, statement: str, got: object, expected: object) -> None:
        """Hold what a program was told against what it should be.  AssertionError when it differs."""
        __tracebackhide__ = True
        self.hold(check("program", statement, got == expected, f"was told {got!r}, not {expected!r}"))

    async def see(
        self, side: Side, state: State, *, timeout: float = 10.0, client: Client | None = None
    ) -> SocketSample | None:
        """Wait until the kernel shows one end in `state`.  AssertionError, with what it showed.

        The connection is that of `client`, or of the lab's first client; where the lab has none, the first
        that the kernel showed.  A failure names the lines of this process that hold it open.
        """
        __tracebackhide__ = True
        local, remote = self._ends(side, client)[0]
        seen, sample = check("kernel", f"the kernel shows the {side} in {state}", True), None
        try:
            sample = await self.sampler.wait_for(local=local, remote=remote, state=state, timeout=timeout)
        except WitnessTimeout as error:
            seen = seen._replace(verdict=Verdict.FAIL, detail=self._with_holders(error, client))
        self.hold(seen)
        return sample

    async def see_gone(self, side: Side, *, timeout: float = 10.0, client: Client | None = None) -> None:
        """Wait until the kernel has no socket of one end any more.  AssertionError when it still has.

        The connection is that of `client`, or of the lab's first client; where the lab has none, all that
        the kernel showed are meant.  A failure names the lines of this process that hold them open.
        """
        __tracebackhide__ = True
        seen = check("kernel", f"the kernel has no socket of the {side} any more", True)
        try:
            for local, remote in self._ends(side, client):
                await self.sampler.wait_gone(local=local, remote=remote, timeout=timeout)
        except WitnessTimeout as error:
            seen = seen._replace(verdict=Verdict.FAIL, detail=self._with_holders(error, client))
        self.hold(seen)

    async def see_reading(
        self, side: Side, code: str, *, timeout: float = 10.0, client: Client | None = None
    ) -> None:
        """Wait until one end's queues, timers and holder mean `code` (`kernel.readings`).

        AssertionError, with what they meant instead; inconclusive where no sock_diag shows them.
        """
        __tracebackhide__ = True
        pair = self._ends(side, client)[0]
        statement = f"the kernel's row of the {side} reads {code}"
        if self.sampler.witness != "sock_diag":
            detail = f"{self.sampler.witness} shows no queues and timers"
            self.hold(Check("kernel", statement, Verdict.INCONCLUSIVE, detail))
            return
        deadline = time.monotonic() + timeout
        while True:
            now = self.sampler.sample()
            rows = [s.diag for s in now if (s.local, s.remote) == pair and s.diag]
            across = [s.state for s in self.sampler.changes if (s.remote, s.local) == pair]
            alone = bool(across) and across[-1] is None
            told = [reading.code for row in rows for reading in readings(row, peer_gone=alone)]
            if code in told or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.002)
        there = (
            f"it reads {', '.join(told) or 'nothing in particular'}" if rows else "there is no such socket"
        )
        self.hold(check("kernel", statement, code in told, f"after {timeout:g} s {there}"))

    async def see_many(
        self, state: State, count: int, *, side: Side = "server", timeout: float = 10.0
    ) -> int:
        """Wait until the kernel shows `count` of the server's ends in `state`, or more; how many there are.
        AssertionError when there are fewer.

        side  ``client``: the ends across
        """
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        pause = 0.002
        while True:
            found = counted(self.sampler.sample(), self.address or NOWHERE)
            seen = (found.servers if side == "server" else found.clients).get(state, 0)
            if seen >= count or time.monotonic() > deadline:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE) if count >= MANY else pause
        if self.census and self.census[-1] != found:
            self.census.append(found)
        statement = f"the kernel shows {count:,} or more of the {side}'s sockets in {state}"
        self.hold(check("kernel", statement, seen >= count, f"after {timeout:g} s there were {seen}"))
        return seen

    def count_states(self) -> None:
        """From now on write down how many sockets are in which state: each second, and when `see_many` has
        seen them."""

        def heard(look: Look) -> None:
            if is_due(self.census, look.time_ns):
                self.census.append(counted(look, self.address or NOWHERE))

        self.sampler.heard = heard
        heard(self.sampler.sample())

    def counters(self, side: Side = "server") -> dict[str, int]:
        """What the kernel of that side's network has counted until now, by its own names: ListenDrops."""
        with self.hosts.host(side).enter() if self.hosts is not None else contextlib.nullcontext():
            return extended()

    async def see_counted(
        self,
        before: Mapping[str, int],
        moved: Mapping[str, int],
        *,
        side: Side = "server",
        timeout: float = 10.0,
    ) -> None:
        """Wait until each counter in `moved` has moved by so much since `before`, or by more.
        AssertionError, with how far they moved, when they have not."""
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        while True:
            now = self.counters(side)
            seen = {name: now[name] - before[name] for name in moved}
            counted = all(seen[name] >= by for name, by in moved.items())
            if counted or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.002)
        wanted = ", ".join(f"{name} {by}" for name, by in moved.items())
        told = ", ".join(f"{name} {by}" for name, by in seen.items())
        self.hold(check("kernel", f"the kernel's counters move: {wanted}", counted, f"they moved: {told}"))

    def _ends(self, side: Side, client: Client | None = None) -> list[Pair]:
        """One end of the connection of `client`, or of the lab's first; else of each that was seen.

        The addresses of an end: its own first.
        """
        client = client or (self.clients[0] if self.clients else None)
        callers = self._callers() if client is None else [(client.local, client.server)]
        if not callers:
            raise ExperimentError("no client has connected yet")
        return callers if side == "client" else [(server, caller) for caller, server in callers]

    def _callers(self) -> list[Pair]:
        """The clients' ends of all connections to the server that the kernel has shown, the first first."""
        seen = ((sample.local, sample.remote) for sample in (*self.sampler.changes, *self.sampler.sample()))
        ends = (
            (ours, theirs) if theirs == self.address else (theirs, ours) for ours, theirs in seen if theirs
        )
        return list(dict.fromkeys(end for end in ends if end[1] == self.address))

    def _holders(self, ends: Iterable[Pair], now: Sequence[SocketSample]) -> list[tuple[Side, SocketSample]]:
        """Who holds each of these ends at this moment, as the kernel shows it."""
        asked = set(ends)
        return [
            ("client" if sample.remote == self.address else "server", owned)
            for sample in now
            if (sample.local, sample.remote) in asked
            and (owned := self.sampler.owner(sample)).pid is not None
        ]

    # ------------------------------------------------------------ which lines of this process

    def _with_holders(self, error: WitnessTimeout, client: Client | None) -> str:
        """What was seen instead, and which lines of this process hold the connection, if any do."""
        client = client or (self.clients[0] if self.clients else None)
        now = self.sampler.sample()
        held = self._held_open(now, {State.CLOSE_WAIT}, client)
        held = held or self._held_open(now, {State.ESTABLISHED}, client)
        return "\n".join((str(error), *map(str, held)))

    def _held_open(
        self,
        now: Sequence[SocketSample],
        states: Collection[State] | None = None,
        client: Client | None = None,
    ) -> tuple[Held, ...]:
        """The ends that `now` shows open in one of `states`, with the lines of this process that hold them.

        An end of the lab's own clients is never among them: its script is before the reader's eyes.

        states  None: those of a leak; an end in ESTABLISHED is one where the clients are not the lab's
        client  one of the lab's, whose connection alone is meant
        """
        own = {one.local for one in self.clients}
        if states is None:
            states = {State.CLOSE_WAIT} if own else {State.CLOSE_WAIT, State.ESTABLISHED}
        ends = []
        ours = sockets_of(os.getpid())
        for sample in now:
            if sample.remote is None or sample.state is None or sample.state not in states:
                continue
            side: Side = "server" if sample.local == self.address else "client"
            caller, server = sample.local, sample.remote
            if side == "server":
                caller, server = server, caller
            if server != self.address or (client and caller != client.local):
                continue
            if (sample.inode is None or sample.inode in ours) and (side == "server" or caller not in own):
                ends.append(End(side, (sample.local, sample.remote), sample.state))
        return held_open(sorted(ends, key=lambda end: end.side), self._watch)
