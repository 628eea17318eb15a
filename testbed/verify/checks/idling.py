"""Connections on which nothing happens: when they are ended, and what that does to a request on its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ..outcome import Outcome, Verdict, plural, seconds, together
from ..peer import Asked, Peer, with_goodbye
from ..seen import Mark, at, between, frames
from ..stage import Stage
from ..target import processor_waits
from ..waiting import until
from .misbehaving import NOTICED, USUAL_PROBE
from .table import Check, Need

RACERS: Final = 24
"""Clients that ask just when the timeout fires."""

BEFORE: Final = 0.1
"""Seconds before it over which they are spread, the closer to it the denser."""

AFTER: Final = 0.004
"""Seconds after it at which the last of them asks."""

COARSE: Final = 1.2
"""Seconds before it and after it over which as many more are spread where all came too late, or too early:
servers look at their clocks as seldom as once a second, and a busy machine delays a client."""

EARLY: Final = 0.03
"""Seconds before the first of them asks from which the server is watched."""

WATCH: Final = 0.005
"""Seconds from one look at it to the next."""

PROBES: Final = 4
"""Clients by which it is found out when it fires."""

WIDE: Final = 0.005
"""Seconds between taking a request and closing on it, beyond what the server waited for a processor, that
are no race any more."""

CONTROL: Final = 0.5
"""Seconds after a reply at which any connection that is kept is still good."""

SETTLED: Final = 0.5
"""Seconds within which a close is over on both sides."""

SPARE: Final = 2.0
"""Seconds that a last reply or FIN may take."""


# ---- idle-timeout


async def idle_timeout(stage: Stage) -> Outcome:
    peers = {"fresh": await stage.fresh()}
    if stage.known.keeps:
        peers["idle"] = await stage.idle()

    def all_over() -> bool:
        for peer in peers.values():
            if peer.ended:
                peer.close()  # TLS: a server that said goodbye may wait for ours before its FIN
        return all(peer.ended for peer in peers.values())

    await until(all_over, stage.plan.idle)
    await until(lambda: all(peer.kernel is None for peer in peers.values() if peer.ended), SETTLED)
    await stage.cut()
    parts = {kind: _timed_out(stage, kind, peer) for kind, peer in peers.items()}
    return together([replace(part, part=f"{kind} connection") for kind, part in parts.items()])


def _timed_out(stage: Stage, kind: str, peer: Peer) -> Outcome:
    seen = peer.seen
    end, rst = seen.server_end, seen.server_rst
    if kind == "idle":
        since = seen.byte(peer.asked[0].ends - 1, by_client=False)
    else:
        since = seen.acknowledged(0, by_client=True)
    if since is None:
        return Outcome(Verdict.INCONCLUSIVE, "its last packet was not captured")
    if end is None:
        return Outcome(
            Verdict.INFO,
            f"still open after {seconds(stage.plan.idle)}",
            measured={f"{kind}_seconds": None},
        )
    took = between(since, end)
    measured = {f"{kind}_seconds": round(took, 3)}
    if end == rst:
        return Outcome(
            Verdict.WARN,
            f"reset{at(rst)} after {seconds(took)}, with nothing unread",
            measured=measured,
            frames=frames(since, rst),
        )
    what = f"FIN{at(end)} after {seconds(took)}"
    return with_goodbye(Outcome(Verdict.PASS, what, measured=measured, frames=frames(since, end)), peer)


# ---- idle-race


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
    late, waits = await _race(stage, soonest - BEFORE, latest + AFTER)
    if not any(racer.open for racer in late) or all(racer.asked.reply.complete for racer in late):
        late, waits = await _race(stage, soonest - COARSE, latest + COARSE)
    await stage.cut()
    return _raced(sum(fired) / len(fired), waits, late)


class _Racer(NamedTuple):
    """A client that asked when its connection was about to be ended.

    open  no end of it had come to the client's kernel yet
    """

    peer: Peer
    asked: Asked
    open: bool


async def _race(stage: Stage, first: float, last: float) -> tuple[list[_Racer], list[Waits]]:
    """Idle clients, which ask when they have been so for `first` to `last` seconds."""
    racers = await asyncio.gather(*(stage.idle() for _ in range(RACERS)))
    dues = [last - (last - first) * (left / (RACERS - 1)) ** 2 for left in reversed(range(RACERS))]
    await asyncio.sleep(max(0.0, first - EARLY - max(peer.silence for peer in racers)))
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


class _Lost(NamedTuple):
    """A request that was taken and closed upon.

    excess    seconds from one to the other, beyond those for which the server waited for a processor
    forgiven  those
    """

    excess: float = 0.0
    forgiven: float = 0.0
    request: Mark | None = None
    end: Mark | None = None

    @property
    def gap(self) -> float:
        return self.excess + self.forgiven


def _raced(timeout: float, waits: Sequence[Waits], late: list[_Racer]) -> Outcome:
    """Who was answered, who met a connection that was closed already, and who was closed upon.

    A server that had to wait for a processor meanwhile closes as much later.
    """
    answered = closed_before = 0
    lost: list[_Lost] = []
    stuck: list[Mark | None] = []
    for peer, asked, _ in late:
        seen = peer.seen
        end, request = seen.server_end, seen.byte(asked.request_begins, by_client=True)
        if peer.reply_seen(asked).complete:
            answered += 1
        elif end is None:
            stuck.append(request)
        elif request is None or end.frame < request.frame:
            closed_before += 1
        else:
            forgiven = waited(waits, request.time_ns, end.time_ns)
            lost.append(_Lost(between(request, end) - forgiven, forgiven, request, end))
    keep_alive = late[0].peer.asked[0].reply.keep_alive
    worst = max(lost, default=_Lost())
    measured = {
        "timeout_seconds": round(timeout, 3),
        "requests": len(late),
        "answered": answered,
        "closed_before": closed_before,
        "lost": len(lost),
        "widest_gap_seconds": round(worst.gap, 6),
        "processor_wait_seconds": round(worst.forgiven, 6),
        "keep_alive_field": keep_alive,
    }
    told = f"{len(late)} requests around the {seconds(timeout)} timeout"
    counts = f"{answered} answered, {closed_before} after the close, {len(lost)} taken and closed upon"
    if len(late) in (answered, closed_before):
        when = "before it fired" if answered else "after the close"
        why = "Either its timeout is not always the same, or this machine is too busy"
        return Outcome(Verdict.INCONCLUSIVE, f"{told}: all came {when}. {why}", measured=measured)
    if stuck:
        return Outcome(
            Verdict.FAIL,
            f"{told}: {len(stuck)} taken{at(stuck[0])}, neither answered nor closed within {seconds(SPARE)}",
            "a client waits for ever for its reply",
            "close the connection when its idle timeout fires, or serve what came meanwhile",
            measured,
            frames(*stuck),
        )
    if worst.excess > WIDE:
        return Outcome(
            Verdict.WARN,
            f"{told}: {counts}, up to {seconds(worst.gap)} after it came{at(worst.request, worst.end)}",
            measured=measured,
            frames=frames(worst.request, worst.end),
        )
    field = f"; it announces `Keep-Alive: {keep_alive}`" if keep_alive else ""
    return Outcome(Verdict.PASS, f"{told}: {counts}{field}", measured=measured)


# ---- keepalive-option


async def keepalive_option(stage: Stage) -> Outcome:
    peer = await (stage.idle() if stage.known.keeps else stage.fresh())
    await asyncio.sleep(NOTICED / 2)
    row, options = peer.kernel, stage.options(peer)
    await stage.cut()
    if options is None and row is None:
        return Outcome(Verdict.INCONCLUSIVE, "the kernel has no socket of the server's end any more")
    if options is None:
        assert row is not None
        armed = row.timer.name == "KEEPALIVE"
        what = f"armed, the first probe after {seconds(row.timer_ms / 1000)}" if armed else "not armed"
        return Outcome(
            Verdict.PASS if armed else Verdict.INFO, f"{what} (sock_diag's timer)", measured={"armed": armed}
        )
    if not options.keepalive:
        return Outcome(
            Verdict.INFO,
            "not armed: only the server's own timeouts notice a client that is gone",
            measured={"armed": False},
        )
    measured = {
        "armed": True,
        "idle_seconds": options.idle,
        "interval_seconds": options.interval,
        "probes": options.probes,
        "gives_up_seconds": options.gives_up,
    }
    numbers = (
        f"armed: first probe after {seconds(options.idle)}, then every {seconds(options.interval)}, "
        f"{plural(options.probes, 'probe')}: gives up after {seconds(options.gives_up)}"
    )
    if options.idle > USUAL_PROBE:
        return Outcome(
            Verdict.INFO,
            f"{numbers}. Load balancers and NAT forget idle connections after minutes: "
            "at the kernel's default it keeps none alive",
            measured=measured,
        )
    return Outcome(Verdict.PASS, numbers, measured=measured)


CHECKS: Final = (
    Check(
        id="idle-timeout",
        question="When does the server end connections on which nothing happens, and how?",
        does="a client that never sent a byte, and one that was served, stay connected and say nothing",
        measures="seconds from the last packet of the exchange (or the handshake) to FIN; FIN or RST",
        passes="FIN within --idle",
        warns="RST with nothing unread; in TLS, no close_notify before the FIN",
        fails="",
        informs="still open after --idle: what its timeout is, if any, cannot be said",
        source="RFC 9112, 9.5; RFC 8446, 6.1",
        hurts="a client that sends at that moment gets ECONNRESET, and logs fill with errors that are none",
        change="close() idle connections; no SO_LINGER {1, 0}, no reset_timedout_connection",
        perform=idle_timeout,
        waits=lambda plan, survey: plan.idle,
    ),
    Check(
        id="idle-race",
        question="What becomes of a request that is sent just as the idle timeout fires?",
        does=f"{PROBES} idle clients find out when it fires; {RACERS} others ask in the tenth of a "
        "second before it, most in its last milliseconds; where all came too late or too early, "
        f"{RACERS} more ask up to {COARSE:g} s sooner and later",
        measures="requests answered, sent after the close, and taken but closed upon; their widest gap",
        passes=f"some answered, some after the close; gaps up to {WIDE * 1000:g} ms, and as long as the "
        "server waited for a processor, are the race that no server wins. All of one kind is inconclusive: "
        "none came near the close",
        warns="requests are taken by the kernel and closed upon long after: the server decides early or "
        "closes late",
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
    Check(
        id="keepalive-option",
        question="Does the server have its kernel probe silent connections, and how soon?",
        does="a client stays connected",
        measures="SO_KEEPALIVE and its three numbers, by getsockopt() on the server's own socket "
        "(pidfd_getfd)",
        passes=f"armed, the first probe within {USUAL_PROBE / 60:g} min",
        warns="",
        fails="",
        informs="not armed; or armed with the kernel's two hours, which no middlebox waits for",
        source="RFC 9293, 3.8.4; RFC 1122, 4.2.3.6; tcp(7)",
        hurts="",
        change="",
        perform=keepalive_option,
        needs=(Need.LOCAL,),
        waits=lambda plan, survey: 0.5,
    ),
)
