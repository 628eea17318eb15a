"""A request on its way when the idle timeout fires: answered, too late, or taken and closed upon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ..fate import Fate, fate
from ..outcome import Outcome, Verdict, seconds
from ..peer import Asked, Peer
from ..seen import Mark, at, between, frames
from ..stage import Stage
from ..target import processor_waits
from ..waiting import until
from .table import Check, Need

RACERS: Final = 24
"""Clients that ask just when the timeout fires."""

BEFORE: Final = 0.1
"""Seconds before it over which they are spread, the closer to it the denser."""

AFTER: Final = 0.004
"""Seconds after it at which the last of them asks."""

COARSE: Final = 2.0
"""Seconds before it and after it over which as many more are spread, evenly, where all came too late, or too
early: servers look at their clocks as seldom as once a second, and a busy machine delays a client."""

EARLY: Final = 0.03
"""Seconds before the first of them asks from which the server is watched."""

WATCH: Final = 0.005
"""Seconds from one look at it to the next."""

PROBES: Final = 4
"""Clients by which it is found out when it fires."""

WIDE: Final = 0.01
"""Seconds between taking a request and closing on it, beyond what the server waited for a processor, that
are no race any more.  A thread of Python's waits for 5 ms before it is given the interpreter
(sys.getswitchinterval), which no processor knows of."""

CONTROL: Final = 0.5
"""Seconds after a reply at which any connection that is kept is still good."""

SETTLED: Final = 0.5
"""Seconds within which a close is over on both sides."""

SPARE: Final = 2.0
"""Seconds that a last reply or FIN may take."""


async def idle_race(stage: Stage) -> Outcome:
    request = stage.dialogue.request
    assert request is not None  # the check needs one
    control, *probes = await asyncio.gather(*(stage.idle() for _ in range(1 + PROBES)))
    await asyncio.sleep(CONTROL)
    again = await stage.asked(control, request)
    good = await control.replied(again, SPARE)
    if not good:
        await stage.cut()
        end = control.seen.server_end
        reset = end is not None and end == control.seen.server_rst
        how = "nothing more" if end is None else ("RST" if reset else "FIN") + at(end)
        return Outcome(
            Verdict.FAIL,
            f"a second request {seconds(CONTROL)} after the first one's reply drew "
            f"{control.reply_seen(again)}, then {how}",
            "the server says that it keeps the connection, and loses each client's second request",
            "read and answer on every connection that is kept; else say Connection: close",
            {"second_request": "lost"},
            frames(end),
        )
    await until(lambda: all(peer.ended for peer in probes), stage.plan.idle)
    fired = [peer.silent_for for peer in probes if peer.ended]
    if len(fired) < PROBES:
        await stage.cut()
        return Outcome(
            Verdict.INFO,
            f"no idle timeout within {seconds(stage.plan.idle)}; a request {seconds(CONTROL)} after a "
            "reply was answered",
            measured={"second_request": "answered", "timeout_seconds": None},
        )
    for peer in probes:
        peer.close()
    soonest, latest = min(fired), max(fired)
    apart = None
    late, waits = await _race(stage, _dense(soonest - BEFORE, latest + AFTER))
    if not any(racer.open for racer in late) or all(racer.asked.reply.complete for racer in late):
        dues = _even(max(0.0, soonest - COARSE), latest + COARSE)
        apart = dues[1] - dues[0]
        late, waits = await _race(stage, dues)
    await stage.cut()
    return raced(
        [_tried(racer) for racer in late],
        waits,
        fired=fired,
        apart=apart,
        keep_alive=late[0].peer.asked[0].reply.keep_alive,
    )


class _Racer(NamedTuple):
    """A client that asked when its connection was about to be ended.

    open  no end of it had come to the client's kernel yet
    """

    peer: Peer
    asked: Asked
    open: bool


def _dense(first: float, last: float) -> list[float]:
    """When each of them asks, the closer to the last the denser."""
    return [last - (last - first) * (left / (RACERS - 1)) ** 2 for left in reversed(range(RACERS))]


def _even(first: float, last: float) -> list[float]:
    """When each of them asks, one as long after the other as the next."""
    return [first + (last - first) * number / (RACERS - 1) for number in range(RACERS)]


async def _race(stage: Stage, dues: Sequence[float]) -> tuple[list[_Racer], list[Waits]]:
    """Idle clients, each of which asks when it has been so for as many seconds as are its due."""
    racers = await asyncio.gather(*(stage.idle() for _ in dues))
    await asyncio.sleep(max(0.0, dues[0] - EARLY - max(peer.silence for peer in racers)))
    waits: list[Waits] = []
    watching = asyncio.create_task(_watch(stage.pids(), waits))
    late = await asyncio.gather(*(_ask_at(stage, peer, due) for peer, due in zip(racers, dues, strict=True)))
    await until(lambda: all(one.asked.reply.complete or one.peer.ended for one in late), SPARE)
    ended = [racer.peer for racer in late if racer.peer.ended]
    for peer in ended:  # TLS: a server that said goodbye may wait for ours before its FIN
        peer.close()
    await until(lambda: all(peer.kernel is None for peer in ended), SETTLED)
    watching.cancel()
    await asyncio.wait([watching])
    return late, waits


class Waits(NamedTuple):
    """For how many seconds, ever, each thread of the server has waited for a processor, at a time."""

    time_ns: int
    threads: Mapping[str, float]


async def _watch(pids: Sequence[int], waits: list[Waits]) -> None:
    """Take that down again and again, and once more when it is to end."""
    try:
        while True:
            waits.append(Waits(time.time_ns(), processor_waits(pids)))
            await asyncio.sleep(WATCH)
    finally:
        waits.append(Waits(time.time_ns(), processor_waits(pids)))


def waited(waits: Sequence[Waits], begin_ns: int, end_ns: int) -> float:
    """For how many seconds some thread of the server waited for a processor in that time, at most.

    From the last look before it to the first after it.  A thread that ended was seen until then.
    """
    first = max((n for n, look in enumerate(waits) if look.time_ns <= begin_ns), default=0)
    last = min((n for n, look in enumerate(waits) if look.time_ns >= end_ns), default=len(waits) - 1)
    before = waits[first].threads
    return max(
        (
            look.threads[thread] - before[thread]
            for look in waits[first : last + 1]
            for thread in before.keys() & look.threads.keys()
        ),
        default=0.0,
    )


async def _ask_at(stage: Stage, peer: Peer, after: float) -> _Racer:
    """Ask when it has been idle for so many seconds."""
    request = stage.dialogue.request
    assert request is not None
    loop = asyncio.get_running_loop()
    due = loop.create_future()
    left = after - peer.silence
    timer = loop.call_later(max(0.0, left), due.set_result, None)
    try:
        await due
    finally:
        timer.cancel()
    still_open = not peer.ended and not peer.waiting
    return _Racer(peer, await stage.asked(peer, request), still_open)


class Try(NamedTuple):
    """What the wire shows of a request: what brought it, whether it was answered, and the close.

    read     the server's program has read it in the end, and dropped it
    goodbye  TLS's close_notify had come before it was sent: the FIN may wait for the client's own
    """

    request: Mark | None
    answered: bool = False
    end: Mark | None = None
    read: bool = False
    goodbye: bool = False

    @property
    def too_late(self) -> bool:
        """The close was there before it."""
        if self.end is None:
            return False
        return self.goodbye or self.request is None or self.end.frame < self.request.frame


def _tried(racer: _Racer) -> Try:
    seen = racer.peer.seen
    return Try(
        seen.byte(racer.asked.request_begins, by_client=True),
        racer.peer.reply_seen(racer.asked).complete,
        seen.server_end,
        read=fate(seen, racer.asked.request_begins) is Fate.READ,
        goodbye=bool(racer.peer.close_notify) and not racer.open,
    )


class _Lost(NamedTuple):
    """A request that was taken and closed upon.

    excess    seconds from one to the other, beyond those for which the server waited for a processor
    forgiven  those
    read      it was read in the end
    """

    excess: float
    forgiven: float
    request: Mark
    end: Mark
    read: bool

    @property
    def gap(self) -> float:
        return self.excess + self.forgiven


def _lost(waits: Sequence[Waits], request: Mark, end: Mark, *, read: bool) -> _Lost:
    gap = between(request, end)
    forgiven = min(gap, waited(waits, request.time_ns, end.time_ns))
    return _Lost(gap - forgiven, forgiven, request, end, read)


def raced(
    tries: Sequence[Try],
    waits: Sequence[Waits],
    *,
    fired: Sequence[float],
    apart: float | None = None,
    keep_alive: str = "",
) -> Outcome:
    """Who was answered, who met a connection that was closed already, and who was closed upon.

    A server that had to wait for a processor meanwhile closes as much later.

    fired       seconds of silence after which the timeout did for those who found out
    apart       seconds from one request to the next where they were spread evenly over a long time; None
                where they are so dense that some meet the close by chance
    keep_alive  the value of the server's Keep-Alive field
    """
    answered = sum(one.answered for one in tries)
    open_still = [one for one in tries if not one.answered]
    closed_before = sum(one.too_late for one in open_still)
    stuck = [one.request for one in open_still if one.end is None]
    lost = [
        _lost(waits, one.request, one.end, read=one.read)
        for one in open_still
        if one.request is not None and one.end is not None and not one.too_late
    ]
    widest = max(lost, key=lambda one: one.gap, default=None)
    measured = {
        "timeout_seconds": round(sum(fired) / len(fired), 3),
        "requests": len(tries),
        "apart_seconds": None if apart is None else round(apart, 3),
        "answered": answered,
        "closed_before": closed_before,
        "lost": len(lost),
        "widest_gap_seconds": round(widest.gap, 6) if widest else 0.0,
        "processor_wait_seconds": round(widest.forgiven, 6) if widest else 0.0,
        "keep_alive_field": keep_alive,
    }
    span = " to ".join(dict.fromkeys((seconds(round(min(fired), 1)), seconds(round(max(fired), 1)))))
    told = f"{len(tries)} requests around the timeout of {span}"
    if apart is not None:
        told += f", which is not always the same: one every {seconds(apart)}"
    counts = f"{answered} answered, {closed_before} after the close, {len(lost)} taken and closed upon"
    if read := sum(one.read for one in lost):  # before the close or, lingering, after it: that is not seen
        counts += f" ({read} without RST: read in the end)"
    if stuck:
        return Outcome(
            Verdict.FAIL,
            f"{told}: {len(stuck)} taken{at(stuck[0])}, neither answered nor closed within {seconds(SPARE)}",
            "a client waits for ever for its reply",
            "close the connection when its idle timeout fires, or serve what came meanwhile",
            measured,
            frames(*stuck),
        )
    if lost and (complaint := _closed_upon(lost, apart)) is not None:
        return replace(complaint, what=f"{told}: {counts}, {complaint.what}", measured=measured)
    if not (answered and closed_before):
        missed = "none came after the close" if answered else "none was answered"
        why = "Its timeout varies by more than was tried, or this machine is too busy"
        return Outcome(Verdict.INCONCLUSIVE, f"{told}: {counts}: {missed}. {why}", measured=measured)
    field = f"; it announces `Keep-Alive: {keep_alive}`" if keep_alive else ""
    return Outcome(Verdict.PASS, f"{told}: {counts}{field}", measured=measured)


def _closed_upon(lost: Sequence[_Lost], apart: float | None) -> Outcome | None:
    """What is told of requests that were taken and closed upon; None where that is the race nobody wins."""
    worst = max(lost, key=lambda one: one.excess)
    if worst.excess > WIDE:
        return Outcome(
            Verdict.WARN,
            f"up to {seconds(worst.gap)} after it came{at(worst.request, worst.end)}",
            frames=frames(worst.request, worst.end),
        )
    nearest = min(lost, key=lambda one: one.gap)
    if apart is not None and nearest.gap <= WIDE:
        return Outcome(
            Verdict.WARN,
            f"{seconds(nearest.gap)} after it came{at(nearest.request, nearest.end)}. So close behind it "
            "is hardly a coincidence: its own arrival had the server look at its timeouts",
            "a request that comes when the timeout is overdue is always lost: 502s at a proxy, which cannot "
            "know whether a POST was executed",
            "serve what is ready before looking for connections that are idle",
            frames=frames(nearest.request, nearest.end),
        )
    widest = max(lost, key=lambda one: one.gap)
    if widest.gap > WIDE:
        return Outcome(
            Verdict.INCONCLUSIVE,
            f"up to {seconds(widest.gap)} after it came{at(widest.request, widest.end)}; for "
            f"{seconds(widest.forgiven)} of that the server waited for a processor: this machine is too busy "
            "to say whether it closes late",
            frames=frames(widest.request, widest.end),
        )
    return None


CHECKS: Final = (
    Check(
        id="idle-race",
        question="What becomes of a request that is sent just as the idle timeout fires?",
        does=f"{PROBES} idle clients find out when it fires; {RACERS} others ask in the tenth of a "
        "second before it, most in its last milliseconds; where all came too late or too early, "
        f"{RACERS} more ask, evenly spread, from {COARSE:g} s before it to {COARSE:g} s after it",
        measures="requests answered, sent after the close, and taken but closed upon; their widest gap",
        passes="some answered, some after the close; of those that come so dense, some taken and closed upon "
        f"within {WIDE * 1000:g} ms: the race that no server wins. Inconclusive: none answered, or none "
        "after the close; or a wider gap in which the server waited for a processor",
        warns="requests are taken by the kernel and closed upon long after: the server decides early or "
        "closes late. Of those that are evenly spread, any that is closed upon: its arrival set that off",
        fails="a request is neither answered nor closed upon; or one long before the timeout is lost",
        informs="no idle timeout within --idle",
        source="RFC 9112, 9.5 and 9.3.1",
        hurts="502s at a proxy whose own idle timeout is longer: it cannot know whether a POST was executed",
        change="look for a request once more before closing; announce Keep-Alive: timeout=N; let the "
        "proxy's timeout be the shorter one",
        perform=idle_race,
        needs=(Need.REQUEST, Need.KEEPS),
        waits=lambda plan, survey: 1.5 * plan.idle,
    ),
)
