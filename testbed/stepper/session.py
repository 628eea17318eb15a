"""A scenario on a frozen link: every segment waits until it is told to go.

The program's steps wait for the kernel, and the kernel for segments; so between two segments
everything stands still, and a look at both hosts' socket tables shows the states that elsewhere pass
in microseconds.  What goes on is time: kernels send again what is not acknowledged (told of, and not
queued), and a TIME_WAIT ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple

from ..errors import Error, ExperimentError, UsageError
from ..kernel import DiagSocket, SocketSample
from ..kernel.sample import SocketAddress
from ..lab import Check, Verdict
from ..net.hosts import Side
from ..net.link_events import Fate, LinkEvent
from ..render.ladder import Arrow, Ladder, Row, StateRow, StepRow
from ..scenarios import Scenario
from ..tcp.arrival import arrival
from ..tcp.states import Edge, State
from ..wire.segment import FIN, SYN, endpoints
from ..wire.seq import add, before
from .arrived import Arrived
from .patient import PATIENCE, StepLab

PATIENT: Final[dict[str, int | str]] = {
    "tcp_syn_retries": 127,
    "tcp_synack_retries": 255,
    "tcp_retries2": 255,
    "tcp_orphan_retries": 255,
    "tcp_fin_timeout": 3600,
}
"""Settings with which neither kernel gives a connection up while somebody thinks (ip-sysctl.rst)."""

SIDES: Final[tuple[Side, ...]] = ("client", "server")
TICK: Final = 0.005
QUIET_SECONDS: Final = 0.03
"""So long without a new segment or state and the programs are taken to wait for us."""


class End(NamedTuple):
    """One end of a connection at one moment.

    state     LISTEN at a server whose kernel knows nothing of the connection yet; CLOSED when it has
              forgotten it
    socket    what sock_diag shows of it; None where there is nothing
    since_ns  when it was first seen in this state
    """

    side: Side
    state: State
    socket: DiagSocket | None
    since_ns: int


class Look(NamedTuple):
    """Both ends of the connection at one moment."""

    time_ns: int
    client: End
    server: End

    def end(self, side: Side) -> End:
        """The end of that side."""
        return self.client if side == "client" else self.server


class Held(NamedTuple):
    """A segment that waits, and what RFC 9293 says it will do.

    event     with its number, `event.id`
    receiver  who will take it
    state     the state that this end is in
    edges     those it will then walk; often none
    again     how often a kernel has sent it, or what it answers, again
    early     whether something that was sent before it has not arrived
    """

    event: LinkEvent
    receiver: Side
    state: State
    edges: tuple[Edge, ...]
    again: int
    early: bool

    @property
    def expected(self) -> State:
        """The state in which it leaves its receiver."""
        return self.edges[-1].next if self.edges else self.state


class Done(NamedTuple):
    """One step that was taken.

    action    ``deliver``, ``drop`` or ``duplicate``
    held      the segment, and what was expected of it
    before    the look at which it was decided on
    after     the one taken when it had arrived
    """

    action: str
    held: Held
    before: Look
    after: Look

    @property
    def fate(self) -> Fate:
        """What became of it: a rule of the scenario's own may have dropped it all the same."""
        return self.held.event.fate


class Session:
    """A scenario that is being stepped through.

    lab      where it is played
    done     the steps taken so far
    problem  why the scenario broke off; "" while it did not

    Made by `stepping`.
    """

    def __init__(self, scenario: Scenario, lab: StepLab) -> None:
        self.scenario = scenario
        self.lab = lab
        self.done: list[Done] = []
        self.problem = ""
        self.thawed = False
        self._rows: list[tuple[int, int, Row]] = []
        self._told: dict[Side, str] = {"client": "", "server": ""}
        self._states: dict[tuple[bytes, Side], tuple[State, int]] = {}
        self._flow = b""
        self._events = 0
        self._numbers: dict[tuple[bytes, bool, int], int] = {}  # of each side's SYN and FIN
        self._arrived: defaultdict[tuple[bytes, bool], Arrived] = defaultdict(Arrived)
        self._again: dict[int, int] = {}
        self._playing = asyncio.create_task(self._play(), name=scenario.name)

    async def _play(self) -> None:
        try:
            await self.scenario.play(self.lab)
        except (Error, OSError) as error:
            self.problem = str(error)

    async def close(self) -> None:
        """Stop the scenario where it is."""
        self._playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._playing

    @property
    def over(self) -> bool:
        """Whether the program has done all it had to."""
        return self._playing.done()

    @property
    def failed(self) -> list[Check]:
        """What the scenario says should be so, and is not."""
        return [check for check in self.lab.checks if check.verdict is Verdict.FAIL]

    # ------------------------------------------------------------ looking

    def look(self) -> Look:
        """Both ends now."""
        self._take_events()
        samples = self.lab.sampler.sample()
        now = time.time_ns()
        ends = {side: self._end(side, samples, now) for side in SIDES}
        for side in SIDES:
            state = _drawn(ends[side].state)
            if state != self._told[side] and self._flow:
                self._told[side] = state
                self._row(ends[side].since_ns, StateRow(ends[side].since_ns, side, state))
        return Look(now, ends["client"], ends["server"])

    def _pair(self, side: Side) -> tuple[SocketAddress, SocketAddress] | None:
        if not self._flow:
            return None
        client, server = (end.as_socket for end in endpoints(self._flow))
        return (client, server) if side == "client" else (server, client)

    def _end(self, side: Side, samples: Sequence[SocketSample], now: int) -> End:
        """The one with a state of its own where there are two rows (see `Sampler`)."""
        pair = self._pair(side)
        found = [s for s in samples if pair is not None and (s.local, s.remote) == pair]
        best = max(found, key=lambda s: s.state is not State.CLOSED, default=None)
        key = self._flow, side
        state = best.state if best is not None else None
        if state is None:
            known = key in self._states and self._states[key][0] is not State.LISTEN
            listens = side == "server" and any(s.state is State.LISTEN for s in samples) and not known
            state = State.LISTEN if listens else State.CLOSED
        if key not in self._states or self._states[key][0] is not state:
            self._states[key] = state, now
        return End(side, state, best.diag if best is not None else None, self._states[key][1])

    # ------------------------------------------------------------ what is held

    def held(self, look: Look) -> list[Held]:
        """The segments that wait, the oldest first, and what each will do."""
        self._take_events()
        return [self._held(event, look) for event in self.lab.link.held]

    def _held(self, event: LinkEvent, look: Look) -> Held:
        receiver: Side = "server" if event.from_client else "client"
        state = look.end(receiver).state
        arrived = self._arrived[event.flow, event.from_client]
        edges = arrival(
            state,
            (event.flags | FIN) if arrived.ends_with(event) else (event.flags & ~FIN),
            acks_syn=self._covers(event, SYN),
            acks_fin=self._covers(event, FIN),
        )
        return Held(event, receiver, state, edges, self._again.get(event.id, 0), arrived.early(event))

    def _covers(self, event: LinkEvent, flag: int) -> bool:
        """Whether a segment acknowledges its receiver's SYN or FIN."""
        number = self._numbers.get((event.flow, not event.from_client, flag))
        return number is not None and not before(event.ack, add(number, 1))

    def _take_events(self) -> None:
        """What the link has told since the last time."""
        events = self.lab.link.events
        for event in events[self._events :]:
            if event.sent:
                self._arrived[event.flow, event.from_client].take(event)
            if event.fate is Fate.HELD:
                self._flow = event.flow
                if event.flags & SYN:
                    self._numbers[event.flow, event.from_client, SYN] = event.seq
                    self._numbers.pop((event.flow, event.from_client, FIN), None)
                if event.flags & FIN:
                    self._numbers[event.flow, event.from_client, FIN] = add(event.seq, event.length)
            elif event.fate is Fate.AGAIN:
                self._again[event.id] = self._again.get(event.id, 0) + 1
            elif event.fate is Fate.FORGED:
                arrow = Arrow(event.time_ns, event.from_client, event.line, fault="forged")
                self._row(event.time_ns, replace(arrow, **self._states_told()))
        self._events = len(events)

    async def until_held(self, timeout: float) -> bool:
        """Wait for a segment to be held; False when none was in `timeout` seconds, or the play was over."""
        for _ in _ticks(timeout):
            if self.over:
                await self.quiet()
            if self.lab.link.held or self.over:
                break
            await asyncio.sleep(TICK)
        return bool(self.lab.link.held)

    async def quiet(self, seconds: float = QUIET_SECONDS) -> Look:
        """Wait until nothing new happens for a moment: kernels answer at once, programs within it."""
        look = self.look()
        still_since = time.monotonic()
        for _ in _ticks(PATIENCE):
            if time.monotonic() - still_since >= seconds:
                break
            await asyncio.sleep(TICK)
            before_this, look = look, self.look()
            if _moved(before_this, look) or self._events != len(self.lab.link.events):
                still_since = time.monotonic()
        return look

    # ------------------------------------------------------------ steps

    async def act(self, action: str, held: Held) -> Done:
        """Deliver, drop or duplicate a segment, and look at once."""
        look = self.look()
        known = len(self.lab.link.events)
        if action == "drop":
            await self.lab.link.discard(held.event.id)
        else:
            self.lab.link.deliver_now(held.event.id, copies=2 if action == "duplicate" else 1)
        event = next((e for e in self.lab.link.events[known:] if e.id == held.event.id), held.event)
        samples = self.lab.sampler.sample()
        now = time.time_ns()
        ends = {side: self._end(side, samples, now) for side in SIDES}
        after = Look(now, ends["client"], ends["server"])
        self._arrow(event, after)
        done = Done(action, held._replace(event=event), look, after)
        self.done.append(done)
        return done

    async def thaw(self) -> None:
        """Let everything go, and the link go by the scenario's own rules."""
        self.thawed = True
        await self.lab.link.freeze(False)
        await self.lab.link.release()

    async def finish(self, seconds: float) -> None:
        """Wait until the program has done all it had to.  ExperimentError when that takes too long."""
        await asyncio.wait([self._playing], timeout=seconds)
        if not self.over:
            raise ExperimentError(f"{self.scenario.name} was not over after {seconds:g} s")

    # ------------------------------------------------------------ the ladder so far

    def _arrow(self, event: LinkEvent, after: Look) -> None:
        what = {Fate.DROPPED: "dropped here", Fate.DUPLICATED: "doubled here", Fate.FORGED: "forged"}
        self._told = {side: _drawn(after.end(side).state) for side in SIDES}
        fault = what.get(event.fate, "twice" if len(event.sent) > 1 else "")
        self._row(
            event.time_ns,
            Arrow(
                event.time_ns,
                event.from_client,
                event.line,
                fault=fault,
                lost=event.fate is Fate.DROPPED,
                **self._states_told(),
            ),
        )

    def _states_told(self) -> dict[str, Any]:
        """Both ends' states as an arrow has them."""
        told = {f"{side}_state": self._told[side] for side in SIDES}
        return told | {f"{side}_witness": "kernel" for side in SIDES}

    def _row(self, time_ns: int, row: Row) -> None:
        self._rows.append((time_ns, len(self._rows), row))

    def ladder(self, title: str = "") -> Ladder:
        """What has happened so far."""
        steps = [(step.time_ns, -1, StepRow(*step[:3])) for step in self.lab.steps]
        rows = sorted([*self._rows, *steps], key=lambda row: row[:2])
        client, server = (_name(self._pair(side)) for side in SIDES)
        start = rows[0][0] if rows else None
        return Ladder(client, server, title, tuple(row for _, _, row in rows), start)


def _ticks(seconds: float) -> Iterator[None]:
    """Something to do every `TICK`, until `seconds` are over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield


def _name(pair: tuple[SocketAddress, SocketAddress] | None) -> str:
    return "" if pair is None else f"{pair[0][0]}:{pair[0][1]}"


def _drawn(state: State) -> str:
    """A listener is no state of the connection."""
    return "" if state is State.LISTEN else str(state)


def _moved(one: Look, other: Look) -> bool:
    return any(one.end(side).state is not other.end(side).state for side in SIDES)


def why_not(scenario: Scenario) -> str:
    """Why a scenario cannot be stepped through; "" when it can."""
    if scenario.connections != 1:
        return f"it has {scenario.connections} connections, and one is shown at a time"
    return scenario.one_host


@asynccontextmanager
async def stepping(scenario: Scenario) -> AsyncIterator[Session]:
    """Play `scenario` between two hosts on a frozen link.

    Error handling: UsageError for a scenario that cannot be stepped through; CapabilityError as `Lab`.
    """
    if reason := why_not(scenario):
        name = scenario.name
        raise UsageError(f"{name} cannot be stepped through: {reason}; `testbed run {name}` plays it")
    lab = StepLab(
        net="hosts",
        link=scenario.link or (),
        frozen=True,
        mtu=scenario.mtu,
        sysctls={**PATIENT, **scenario.sysctls},
    )
    async with lab:
        session = Session(scenario, lab)
        try:
            yield session
        finally:
            await session.close()
