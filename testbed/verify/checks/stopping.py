"""The server is told to stop: what becomes of the connections that it has, idle or busy."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, Final, NamedTuple

from ..fate import WORDS, Fate, end_of, fate
from ..outcome import Outcome, Verdict, alike, plural, seconds, soon, together
from ..peer import Asked, Peer, with_goodbye
from ..replies import Reply
from ..seen import Seen, at, between, frames
from ..stage import Stage
from ..waiting import until
from .table import Check, Need

TAKEN: Final = 1.0
"""Seconds within which a server that is not busy has read a request."""

UNDER_WAY: Final = 0.2
"""Seconds from there until its handler is at work, whatever lies in between."""

HELD: Final = 0.5
"""Seconds after the signal at which a request that was held back is completed."""

CASES: Final = ("one in flight", "two in flight")

LATE: Final = 1.0
"""Seconds past the grace for which it is waited all the same, to tell by how much it was missed."""

ACCEPT_ALL: Final = "accept what is in the queue, and close it, before the listener is closed"

NOT_DEFERRED: Final = (
    "TCP_DEFER_ACCEPT keeps a connection from the server until its first byte, so that it cannot close it: "
    "switch it off (httpd: AcceptFilter http none; nginx: listen without deferred; haproxy: bind without "
    "defer-accept)"
)

DELIBERATE: Final = 1.0
"""Seconds within which a server that closes because of the signal has done so: it looks that often."""

HANDLE: Final = (
    "handle the stop signal: close the listener, finish what is under way, close, and only then exit"
)

WITH_ITS_PROCESS: Final = 0.05
"""Seconds from a FIN to the end of the last process within which that is what closed the connection."""

HANGS: Final = "each deploy waits for the supervisor's SIGKILL"


async def stop_idle(stage: Stage) -> Outcome:
    return await _stop_with(stage, await stage.idle(), "idle")


async def stop_fresh(stage: Stage) -> Outcome:
    peer = await stage.fresh()
    row = peer.kernel
    return await _stop_with(stage, peer, "fresh", accepted=bool(row and row.inode))


async def _stop_with(stage: Stage, peer: Peer, kind: str, *, accepted: bool = True) -> Outcome:
    """The stop signal with one connection open on which nothing is under way.

    accepted  the server's program has it, and not only its kernel
    """
    told = stage.stop()
    gone = await leave(stage, told, [peer])
    await stage.cut()
    seen = peer.seen
    end, fin, rst = seen.server_end, seen.server_fin, seen.server_rst
    measured = gone.measured | {"fin_seconds": None if fin is None else round(between(told, fin), 6)}
    signal = stage.plan.stop.name
    kind = kind if accepted else "not yet accepted"
    if end is not None and end == rst and not seen.client_rst:
        what = f"the {kind} connection was reset{at(rst)} {seconds(between(told, end))} after {signal}, with "
        what += "nothing unread"
        return Outcome(
            Verdict.WARN if gone.in_time else Verdict.FAIL,
            what if gone.in_time else f"{what}; {overstayed(stage, gone)}",
            "a client that sends its next request at that moment gets ECONNRESET and cannot know whether it "
            "was executed; logs fill with resets at each deploy",
            "close() the connection (FIN) instead of aborting it" if accepted else ACCEPT_ALL,
            measured | {"reset": True},
            frames(rst),
        )
    if not gone.in_time:
        closed = f"FIN{at(fin)} {seconds(between(told, fin))} after {signal}" if fin else "no FIN"
        return Outcome(
            Verdict.FAIL,
            f"one {kind} connection open: {closed}, and {overstayed(stage, gone)}",
            measured=measured,
            frames=frames(fin),
        )
    assert gone.took is not None  # it is gone in time
    if fin is None:
        return Outcome(
            Verdict.WARN,
            f"the server left {seconds(gone.took)} after {signal}, without a word on the "
            f"{kind} connection: its client learns of it with its next byte",
            "who opened it ahead of use sends its first request on it, and gets a reset",
            NOT_DEFERRED if stage.known.deferred else ACCEPT_ALL,
            measured,
        )
    what = f"FIN{at(fin)} {seconds(between(told, fin))} after {signal}{peer.unasked}"
    what += f"{waited_for(seen, told, gone.took)}, all processes gone after {seconds(gone.took)}"
    return with_goodbye(Outcome(Verdict.PASS, what, measured=measured, frames=frames(fin)), peer)


def waited_for(seen: Seen, told: int, exit: float) -> str:
    """Of a FIN long after the signal, at `told` (ns): what that may rest on.

    exit  seconds from the signal to the end of the last process
    """
    fin = seen.server_fin
    if fin is None or between(told, fin) < DELIBERATE:
        return ""
    if exit - between(told, fin) < WITH_ITS_PROCESS:
        return " (only as its process ended)"
    last = seen.last(by_client=True, before=fin)
    silent = f"{seconds(between(last, fin))} after its client's last packet: " if last is not None else ""
    return f" ({silent}a limit of the stop's, or of its own, see idle-timeout)"


# ---- stop-in-flight


async def stop_in_flight(stage: Stage) -> Outcome:
    under_way = stage.known.under_way
    assert under_way is not None  # the check needs one
    count = CASES.index(stage.case) + 1
    clients: list[tuple[Peer, Asked]] = []
    for _ in range(count):
        peer = await stage.connect()
        clients.append((peer, await stage.asked(peer, under_way.request)))
    if not await until(lambda: all(taken(peer) for peer, _ in clients), TAKEN):
        await stage.cut()
        busy = sum(taken(peer) for peer, _ in clients)
        return Outcome(Verdict.SKIPPED, f"the server takes {plural(busy, 'request')} at a time")
    await asyncio.sleep(min(UNDER_WAY, under_way.seconds / 3) if not under_way.request.rest else UNDER_WAY)
    if any(asked.reply.complete for _, asked in clients):
        await stage.cut()
        return Outcome(Verdict.INCONCLUSIVE, "the reply was there before the signal")
    told = stage.stop()
    if under_way.request.rest:
        await asyncio.sleep(HELD)
        for peer, asked in clients:
            if not peer.ended:
                await peer.finish(asked)
    gone = await leave(stage, told, [peer for peer, _ in clients])
    await stage.cut()
    parts = alike(
        [unhandled(stage, _answered(stage, told, peer, asked, under_way.reply)) for peer, asked in clients]
    )
    outcome = together([*parts, *still_there(stage, gone)], **gone.measured)
    case = stage.case.replace(" ", "_")
    return replace(outcome, measured={f"{case}_{key}": value for key, value in outcome.measured.items()})


def unhandled(stage: Stage, part: Outcome) -> Outcome:
    """What became of a request, where the kernel closed its connection: nobody handled the signal."""
    if stage.disposition != "default" or not part.verdict.complains or not stage.target.main_ended:
        return part
    signal = stage.plan.stop.name
    return replace(
        part,
        what=f"{part.what}; no handler for {signal} is installed: the kernel ended the process on the spot",
        change=HANDLE,
    )


def taken(peer: Peer) -> bool:
    """Whether the server has accepted the connection and read all that was sent on it."""
    row = peer.kernel
    return row is not None and bool(row.inode) and row.rqueue == 0


def _answered(stage: Stage, told: int, peer: Peer, asked: Asked, expected: Reply) -> Outcome:
    """One request that was under way at the stop, against the reply that it draws undisturbed."""
    seen, reply = peer.seen, peer.reply_seen(asked)
    end, rst, fin = seen.server_end, seen.server_rst, seen.server_fin
    kind, ends = end_of(seen)
    measured: dict[str, Any] = {"reply": str(reply)}
    if not reply.complete or reply.status != expected.status:
        how, hurts = "the connection is still open", ""
        if end is not None:
            took = between(told, end)
            how = f"{kind} {soon(took)} after {stage.plan.stop.name}"
            measured["cut_off_seconds"] = round(took, 6)
            words = WORDS[fate(seen, asked.request_begins)]
            if not reply.size and words is WORDS[Fate.READ]:
                how += f": {words.what}"
                hurts = words.hurts
        what = f"{reply} instead of {expected}, then {how}"
        return Outcome(Verdict.FAIL, what, hurts, measured=measured, frames=frames(*ends))
    if rst is not None and (fin is None or rst.time_ns < fin.time_ns):
        return Outcome(
            Verdict.FAIL,
            f"{reply}, and RST behind it",
            "the reset overtakes the reply: what the client has not read yet is gone",
            "close() without SO_LINGER {1, 0}, and not before what was received has been read",
            measured,
            frames(rst),
        )
    if fin is None:
        return Outcome(Verdict.FAIL, f"{reply}, but no FIN behind it", HANGS, measured=measured)
    first = seen.byte(asked.begins, by_client=False)
    could_know = first is None or first.time_ns > told
    if stage.dialogue.protocol == "http" and not reply.last and could_know:
        last = seen.byte(len(seen.sent(by_client=False)) - 1, by_client=False)
        took = between(last or fin, fin)
        return Outcome(
            Verdict.WARN,
            f"{reply}, without Connection: close, and then FIN {soon(took)} behind it",
            "the client puts the connection back into its pool, and its next request meets the close",
            "say Connection: close in every reply from the stop signal on",
            measured | {"closed_behind_seconds": round(took, 6)},
            frames(fin),
        )
    what = f"{reply}, then FIN"
    if stage.dialogue.protocol == "http" and not reply.last:
        what += "; its head was out before the signal, too early for Connection: close"
    return Outcome(Verdict.PASS, what, measured=measured, frames=frames(fin))


class Departure(NamedTuple):
    """How the server went.

    took    seconds from the signal until the last process was reaped; None where one is left
    grace   those it had.  There is no tolerance: a supervisor's clock, too, runs from the signal that it
            sends to the SIGCHLD that it gets, and when that is over it sends SIGKILL
    left    who was still running when it was over
    status  how the command itself ended
    """

    took: float | None
    grace: float
    left: tuple[str, ...]
    status: str

    @property
    def in_time(self) -> bool:
        return self.took is not None and self.took <= self.grace

    @property
    def measured(self) -> dict[str, Any]:
        took = None if self.took is None else round(self.took, 6)
        return {"exit_seconds": took, "grace_seconds": self.grace, "exit_status": self.status}


async def leave(stage: Stage, told: int, peers: list[Peer]) -> Departure:
    """Wait for the server's end, as polite clients do: who sees EOF closes.

    told  when it got the signal, in nanoseconds
    """
    target, grace = stage.target, stage.plan.grace

    def all_gone() -> bool:
        for peer in peers:
            if peer.ended:
                peer.close()
        return target.all_ended_ns is not None

    left: tuple[str, ...] = ()
    if not await until(all_gone, grace - between(told, time.time_ns())):
        left = tuple(target.names())
        await until(all_gone, LATE)
    when = target.all_ended_ns
    took = None if when is None else between(told, when)
    return Departure(took, grace, () if took is not None and took <= grace else left, target.exit_status)


def overstayed(stage: Stage, gone: Departure) -> str:
    """What is told of a server that was not gone in time."""
    signal, grace = stage.plan.stop.name, seconds(gone.grace)
    who = f"; still running then: {', '.join(gone.left)}" if gone.left else ""
    # a wrapper that took the signal and did not hand it on
    alone = gone.left and gone.took is None and stage.target.main_ended
    hint = "; the command itself has ended (a shell? write `exec` before its last command)" if alone else ""
    if stage.disposition == "ignored":
        hint = f"; it ignores {signal}"
    if gone.took is None:
        return f"not gone {grace} after {signal}{who}{hint}"
    over = seconds(gone.took - gone.grace)
    return f"gone {seconds(gone.took)} after {signal}, {over} past the grace of {grace}{who}"


def still_there(stage: Stage, gone: Departure) -> list[Outcome]:
    """The part of a server that was not gone in time; nothing where it was."""
    if gone.in_time:
        return []
    return [
        Outcome(
            Verdict.FAIL, overstayed(stage, gone), HANGS, "leave when the last reply is out", part="its end"
        )
    ]


CHECKS: Final = (
    Check(
        id="stop-idle",
        question="Told to stop, does the server close idle keep-alive connections and leave?",
        does="a client is served and keeps its connection; the stop signal; the client closes on end of file",
        measures="seconds from the signal to FIN, and until no process is left",
        passes="FIN, and every process gone, within the grace: no tolerance, as a supervisor has none",
        warns="RST with nothing unread: no data is lost, but a request just sent is",
        fails="no FIN, or a process left, when the grace is over: SIGKILL comes next",
        informs="",
        source="RFC 9112, 9.6; systemd.kill(5), docker stop",
        hurts="each deploy hangs until the supervisor's SIGKILL, which then cuts off whatever is under way",
        change="on the stop signal close every connection that has no request under way, then wait for the "
        "others",
        perform=stop_idle,
        needs=(Need.OWN, Need.REQUEST, Need.KEEPS),
        waits=lambda plan, survey: 2.0,
    ),
    Check(
        id="stop-fresh",
        question="Told to stop, does the server close connections that never sent a byte?",
        does="a client connects and says nothing; the stop signal; the client closes on end of file",
        measures="seconds from the signal to FIN, and until no process is left",
        passes="FIN, and every process gone, within the grace",
        warns="RST, or no word at all: the connection is gone and its client is not told in order",
        fails="no FIN, or a process left, when the grace is over",
        informs="",
        source="RFC 9112, 9.6; browsers and load balancers open connections ahead of use (preconnect)",
        hurts="one preconnected browser or pool connection holds up each deploy until SIGKILL",
        change="count a connection idle from accept() on, not from its first reply on",
        perform=stop_fresh,
        needs=(Need.OWN,),
        waits=lambda plan, survey: 2.0,
    ),
    Check(
        id="stop-in-flight",
        question="Are requests under way answered in full before the server leaves?",
        does="one client, and in another run two, wait for a slow reply (or still send their request) at the "
        "stop signal",
        measures="the reply as the wire carries it, FIN or RST behind it, seconds until no process is left",
        passes="the status and the whole body that it draws undisturbed, then FIN, then the server's end",
        warns="the reply does not say Connection: close",
        fails="cut short, reset, another status, or still running when the grace is over",
        informs="",
        source="RFC 9112, 9.6 (Connection: close, and how to close)",
        hurts="every deploy breaks the requests that are under way at that moment",
        change="on the stop signal close the listener, finish what is under way, close, and only then exit",
        perform=stop_in_flight,
        needs=(Need.OWN, Need.UNDER_WAY),
        waits=lambda plan, survey: 2.0 + (survey.under_way.seconds if survey.under_way else 0.0),
        cases=CASES,
    ),
)
