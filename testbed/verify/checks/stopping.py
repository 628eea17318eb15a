"""The server is told to stop: what becomes of connections that are idle, busy, queued, or new."""

from __future__ import annotations

from typing import Any, Final

from ..outcome import Outcome, Verdict, seconds
from ..peer import Peer
from ..seen import at, between, frames
from ..stage import Stage
from .table import Check, Need

LEAVING: Final = 0.1
"""Seconds within which a process that had nothing more to do has left."""


async def stop_idle(stage: Stage) -> Outcome:
    return await _stop_with(stage, await stage.idle(), "idle")


async def stop_fresh(stage: Stage) -> Outcome:
    peer = await stage.fresh()
    row = peer.kernel
    return await _stop_with(stage, peer, "fresh" if row and row.inode else "not yet accepted")


async def _stop_with(stage: Stage, peer: Peer, kind: str) -> Outcome:
    """The stop signal with one connection open on which nothing is under way."""
    told = stage.stop()
    gone = await _leave(stage, [peer])
    left = stage.target.names()
    await stage.cut()
    seen = peer.seen
    end, fin = seen.server_end, seen.server_fin
    measured = _ended(stage, told) | {"fin_seconds": None if fin is None else round(between(told, fin), 6)}
    grace = seconds(stage.plan.grace)
    signal = stage.plan.stop.name
    if end is not None and end != fin and not seen.client_rst:
        rst = seen.server_rst
        verdict = Verdict.WARN if gone else Verdict.FAIL
        return Outcome(
            verdict,
            f"the {kind} connection was reset{at(rst)} {seconds(between(told, end))} after {signal}, with "
            f"nothing unread{'' if gone else _still(left, grace)}",
            "a client that sends its next request at that moment gets ECONNRESET and cannot know whether it "
            "was executed; logs fill with resets at each deploy",
            "close() the connection (FIN) instead of aborting it",
            measured | {"reset": True},
            frames(rst),
        )
    if not gone:
        closed = f"FIN{at(fin)} {seconds(between(told, fin))} after {signal}, but" if fin else "no FIN, and"
        return Outcome(
            Verdict.FAIL,
            f"{closed} {grace} after {signal} with one {kind} connection open{_still(left, '')}",
            measured=measured,
            frames=frames(fin),
        )
    if fin is None:
        return Outcome(
            Verdict.WARN,
            f"the server left {seconds(measured['exit_seconds'])} after {signal} and sent nothing on the {kind} "
            "connection: its client learns of it with its next byte",
            "a client waits on a connection that no longer exists, until its own timeout",
            "accept what is in the queue, and close it, before the listener is closed",
            measured,
        )
    return Outcome(
        Verdict.PASS,
        f"FIN{at(fin)} {seconds(between(told, fin))} after {signal}, all processes gone after "
        f"{seconds(measured['exit_seconds'])}",
        measured=measured,
        frames=frames(fin),
    )


async def _leave(stage: Stage, peers: list[Peer]) -> bool:
    """Wait for the server's end, as polite clients do: who sees EOF closes.  Whether it left in time."""

    def all_gone() -> bool:
        for peer in peers:
            if peer.ended:
                peer.close()
        return stage.target.all_ended_ns is not None

    return await stage.until(all_gone, stage.plan.grace)


def _ended(stage: Stage, told: int) -> dict[str, Any]:
    """When and how the server ended."""
    when = stage.target.all_ended_ns
    return {
        "exit_seconds": None if when is None else round(between(told, when), 6),
        "exit_status": stage.target.exit_status,
    }


def _still(left: list[str], grace: str) -> str:
    after = f" {grace} later" if grace else ""
    return f"{after}; still running: {', '.join(left) or 'nobody'}"


CHECKS: Final = (
    Check(
        id="stop-idle",
        question="Told to stop, does the server close idle keep-alive connections and leave?",
        does="a client is served and keeps its connection; the stop signal; the client closes on end of file",
        measures="seconds from the signal to FIN, and until no process is left",
        passes="FIN, and every process gone, within the grace",
        warns="RST with nothing unread: no data is lost, but a request just sent is",
        fails="no FIN, or a process left, when the grace is over: SIGKILL comes next",
        informs="",
        source="RFC 9112, 9.6; systemd.kill(5), docker stop",
        hurts="each deploy hangs until the supervisor's SIGKILL, which then cuts off whatever is under way",
        change="on the stop signal close every connection that has no request under way, then wait for the others",
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
)
