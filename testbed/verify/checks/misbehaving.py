"""Clients that do not play by the book: they reset, or never finish what they began."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from ..dialogue import Request
from ..outcome import Outcome, Verdict, seconds, together
from ..peer import Asked, Peer
from ..seen import at, between, frames
from ..stage import Stage
from ..survey import ANSWER_SECONDS
from ..waiting import until
from .table import Check, Need

NOTICED: Final = 0.5
"""Seconds within which a server has noticed an event on a socket."""

LOOKS: Final = 5
"""How often another client asks meanwhile."""


# ---- client-reset


async def client_reset(stage: Stage) -> Outcome:
    kinds: list[str] = []

    async def reset(kind: str, first: Request | bytes | None) -> None:
        peer = await (stage.fresh() if first is None else stage.connect())
        if isinstance(first, bytes):
            await peer.send(first)
        elif first is not None:
            asked = await stage.asked(peer, first)
            if first is stage.dialogue.request:
                await peer.replied(asked, ANSWER_SECONDS)
        await until(lambda: (row := peer.kernel) is None or (bool(row.inode) and not row.rqueue), NOTICED)
        kinds.append(kind)
        peer.reset()
        await use()

    async def use() -> None:
        if in_use and not bystander.ended:  # else its idle timeout ends it, which is nobody's reset
            await _served_again(stage, bystander)

    under_way = stage.known.under_way
    bystander = await (stage.idle() if stage.known.keeps else stage.fresh())
    in_use = stage.known.keeps and await _served_again(stage, bystander)
    if stage.known.keeps and not in_use:  # nobody's reset: what idle-race is about
        bystander = await stage.idle()
    await reset("before its first byte", None)
    if stage.dialogue.request is not None:
        await reset("after a reply", stage.dialogue.request)
    if stage.dialogue.stalled is not None:
        await reset("in the middle of a request", stage.dialogue.stalled)
    if under_way is not None:
        await reset("while its reply was due", under_way.request)
    for _ in range(LOOKS):
        await asyncio.sleep(NOTICED / LOOKS)
        await use()
    disturbed = bystander.ended
    bystander.close()  # a server that serves one at a time would wait for it
    if under_way is not None and not under_way.request.rest:
        await asyncio.sleep(under_way.seconds)  # the handler writes into a connection that is gone
    late = stage.peer()
    told = await late.connect()
    served = told == "connected"
    if served and stage.dialogue.request is not None:
        served = await late.replied(await stage.asked(late, stage.dialogue.request), ANSWER_SECONDS)
    died = bool(stage.targets) and stage.target.main_ended
    left = stage.target.exit_status if stage.targets else ""
    await stage.cut()
    what = f"{len(kinds)} clients reset their connections ({', '.join(kinds)})"
    resets = [mark for peer in stage.peers if (mark := peer.seen.client_rst)]
    measured = {"resets": len(kinds), "served_afterwards": served, "server_ended": died}
    if died:
        return Outcome(
            Verdict.FAIL,
            f"{what}{at(*resets)}: the server ended ({left})",
            measured=measured,
            frames=frames(*resets),
        )
    if not served:
        return Outcome(
            Verdict.FAIL,
            f"{what}{at(*resets)}: a client that came after them was not served ({told})",
            measured=measured,
            frames=frames(*resets, late.seen.server_end),
        )
    if disturbed:
        end = bystander.seen.server_end
        return Outcome(
            Verdict.FAIL,
            f"{what}: another client's connection was ended too ({disturbed}){at(end)}",
            measured=measured,
            frames=frames(end),
        )
    return Outcome(
        Verdict.PASS,
        f"nobody noticed {len(kinds)} resets: {', '.join(kinds)}{at(*resets)}",
        measured=measured,
        frames=frames(*resets),
    )


async def _served_again(stage: Stage, peer: Peer) -> bool:
    """Whether one more request is answered, and the connection kept."""
    assert stage.dialogue.request is not None  # what was served once has asked
    again = await stage.asked(peer, stage.dialogue.request)
    return await peer.replied(again, NOTICED) and not peer.ended


# ---- stalled-request


async def stalled_request(stage: Stage) -> Outcome:
    dialogue = stage.dialogue
    assert dialogue.stalled is not None  # the check needs one
    stalled = {"half a request": await stage.connect()}
    await stalled["half a request"].send(dialogue.stalled)
    if dialogue.held is not None and dialogue.protocol == "http" and _waits_for_body(stage):
        stalled["half a body"] = await stage.connect()
        await stalled["half a body"].send(dialogue.held.first)
    dripping = None
    if dialogue.dribble:
        dripping = await stage.connect()
        await dripping.send(dialogue.stalled)
    await asyncio.sleep(NOTICED)
    other: tuple[Peer, Asked] | None = None
    if dialogue.request is not None:
        peer = await stage.connect()
        other = peer, await stage.asked(peer, dialogue.request)
    drip = asyncio.create_task(_drip(dripping, dialogue.dribble)) if dripping is not None else None
    served = await other[0].replied(other[1], NOTICED * 4) if other is not None else True
    everyone = [*stalled.values(), *([dripping] if dripping else [])]
    await until(lambda: all(peer.ended for peer in everyone), stage.plan.idle)
    if other is not None and not served:  # what was the matter with it is over, and it may have its turn
        await other[0].replied(other[1], NOTICED * 4)
    if drip is not None:
        drip.cancel()
    await stage.cut()
    if dripping is not None:
        stalled["a byte each second"] = dripping
    parts = [replace(_stalled(stage, kind, peer), part=kind) for kind, peer in stalled.items()]
    if other is not None and not served:
        asked = other[0].seen.byte(0, by_client=True)
        reply = other[0].seen.byte(0, by_client=False)
        late = (
            f"was answered {seconds(between(asked, reply))} later" if asked and reply else "was not answered"
        )
        parts.append(
            Outcome(
                Verdict.FAIL,
                f"while {len(everyone)} requests stalled, another client's{at(asked)} {late}",
                f"{len(everyone)} idle telnet sessions stop the whole server",
                "serve connections concurrently, or put a proxy that buffers requests before it",
                {"others_served": False},
                frames(asked, reply),
            )
        )
    return together(parts)


def _waits_for_body(stage: Stage) -> bool:
    """The survey's held-back request was not answered early; not known where a slow one was asked for."""
    under_way = stage.known.under_way
    return under_way is not None and bool(under_way.request.rest)


async def _drip(peer: Peer, data: bytes) -> None:
    for byte in data:
        await asyncio.sleep(1.0)
        if peer.ended:
            return
        await peer.send(bytes([byte]))


def _stalled(stage: Stage, kind: str, peer: Peer) -> Outcome:
    seen = peer.seen
    first, end = seen.byte(0, by_client=True), seen.server_end
    key = kind.replace(" ", "_") + "_seconds"
    if end is None or first is None:
        return Outcome(
            Verdict.WARN,
            f"still waited for after {seconds(stage.plan.idle)}{at(first)}",
            measured={key: None},
            frames=frames(first),
        )
    took = between(first, end)
    reply = stage.dialogue.reader().feed(seen.sent(by_client=False))
    answer = f" ({reply.status})" if reply.status else ""
    return Outcome(
        Verdict.PASS,
        f"ended after {seconds(took)}{answer}{at(end)}",
        measured={key: round(took, 3)},
        frames=frames(first, end),
    )


CHECKS: Final = (
    Check(
        id="client-reset",
        question="Does one client's reset harm anybody else?",
        does="clients send RST before their first byte, after a reply, in the middle of a request, and "
        "while a "
        "reply is due; another asks on its own connection after each; then a new client asks",
        measures="whether the server runs, and whom it serves",
        passes="nobody else notices",
        warns="",
        fails="the server ends, another connection is ended, or the next client is not served",
        informs="",
        source="RFC 9293, 3.5.3 and 3.10.7.4; signal(7): SIGPIPE; accept(2): ECONNABORTED",
        hurts="a port scanner, a health check, or a user who closes a tab takes the server down",
        change="take ECONNRESET, EPIPE and ECONNABORTED for the end of that connection alone; ignore SIGPIPE",
        perform=client_reset,
        waits=lambda plan, survey: 1.5 + (survey.under_way.seconds if survey.under_way else 0.0),
    ),
    Check(
        id="stalled-request",
        question="What does a request that never arrives whole cost the others?",
        does="clients send half a request (and half a body) and stop, one goes on with a byte each second; "
        "another "
        "client asks an ordinary request meanwhile",
        measures="whether that is answered, and seconds until each of the stalled is ended",
        passes="the others are served, and the stalled ended within --idle",
        warns="still waited for after --idle; a longer timeout cannot be ruled out",
        fails="another client is not answered meanwhile",
        informs="",
        source="RFC 9110, 15.5.9 (408); CWE-400 (slowloris)",
        hurts="a few slow clients, or an attacker with one laptop, hold every worker or descriptor",
        change="set a limit from a request's first byte to its last, not from one byte to the next",
        perform=stalled_request,
        needs=(Need.STALL,),
        waits=lambda plan, survey: plan.idle + 1.0,
    ),
)
