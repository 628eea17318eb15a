"""Clients that do not play by the book: they reset, vanish, or never finish what they began."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from ...kernel import DiagSocket
from ...tcp.states import State
from ..dialogue import Request
from ..options import SocketOptions
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

USUAL_PROBE: Final = 600.0
"""Seconds; a keepalive probe later than this comes after most middleboxes have forgotten the connection."""

RETRIES: Final = 2
"""tcp_retries2 in the network of `client-vanishes`: a peer that acknowledges nothing is given up after about
3 s instead of 15 minutes (a tail-loss probe, and then timeouts of 0.2, 0.4, 0.8 and 1.6 s)."""

GIVEN_UP: Final = 8.0
"""Seconds after which that has happened, whatever the round-trip time was estimated at."""


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


# ---- client-vanishes


async def client_vanishes(stage: Stage) -> Outcome:
    quiet = await (stage.idle() if stage.known.keeps else stage.fresh())
    await asyncio.sleep(NOTICED / 2)
    options = stage.options(quiet)
    due = None if stage.plan.attached else await _vanish_with_reply_due(stage)
    quiet.vanish()
    vanished = quiet.steps[-1].time_ns
    parts = [] if due is None else [replace(await _given_up(stage, *due), part="reply due")]
    await until(lambda: not _held_open(quiet), stage.plan.idle - (time.time_ns() - vanished) / 1e9)
    row = quiet.kernel
    await stage.cut()
    return together([*parts, replace(_noticed(stage, quiet, vanished, row, options), part="idle")])


def _noticed(
    stage: Stage, quiet: Peer, vanished: int, row: DiagSocket | None, options: SocketOptions | None
) -> Outcome:
    """What the server has done about an idle client that is gone, or will do: `row` is its socket now."""
    end = quiet.seen.server_end
    if end is not None:
        took = between(vanished, end)
        return Outcome(
            Verdict.PASS,
            f"ended by the server {seconds(took)} after the client vanished{at(end)}",
            measured={"idle_seconds": round(took, 3)},
            frames=frames(end),
        )
    if row is None:
        return Outcome(Verdict.PASS, "given up without a packet", measured={"idle_seconds": None})
    still = f"still {row.state} {seconds(stage.plan.idle)} later"
    if options is None:
        return Outcome(Verdict.INFO, f"{still}; its options cannot be read from here")
    if not options.keepalive:
        return Outcome(
            Verdict.WARN,
            f"{still}, with no keepalive: only a longer timeout of the server's, which cannot be ruled out, "
            "would end it",
            measured={"idle_seconds": None, "keepalive_gives_up_seconds": None},
        )
    return Outcome(
        Verdict.WARN if options.idle > USUAL_PROBE else Verdict.PASS,
        f"{still}; keepalive gives it up {seconds(options.gives_up)} after its last word (first probe after "
        f"{seconds(options.idle)})",
        f"a client that is gone costs a descriptor and its memory for {seconds(options.gives_up)}",
        "set an idle timeout, or TCP_KEEPIDLE to a minute or two",
        {"idle_seconds": None, "keepalive_gives_up_seconds": options.gives_up},
    )


def _held_open(peer: Peer) -> bool:
    """The server has done nothing yet to end this connection."""
    row = peer.kernel
    return row is not None and row.state in (State.ESTABLISHED, State.SYN_RECEIVED)


async def _vanish_with_reply_due(stage: Stage) -> tuple[Peer, int] | None:
    """A client that asked and is gone before the reply; with the inode of the server's socket."""
    under_way, request = stage.known.under_way, stage.dialogue.request
    if request is None:
        return None
    peer = await stage.fresh()
    slow = under_way is not None and not under_way.request.rest
    if slow and under_way is not None:
        await stage.asked(peer, under_way.request)
        await until(lambda: (row := peer.kernel) is not None and not row.rqueue, NOTICED)
    row = peer.kernel
    peer.vanish()
    if not slow:  # then it goes first, and its request is the last that is heard of it
        await stage.asked(peer, request)
        await until(lambda: (row := peer.kernel) is None or bool(row.inode), NOTICED)
        row = peer.kernel or row
    return peer, row.inode if row is not None else 0


async def _given_up(stage: Stage, peer: Peer, inode: int) -> Outcome:
    """Whether the server lets go of a connection that its kernel has given up."""
    under_way = stage.known.under_way
    limit = GIVEN_UP + (under_way.seconds if under_way is not None else 0.0)
    given_up = await until(lambda: (row := peer.kernel) is None or not row.inode, limit)
    if not given_up:
        return Outcome(Verdict.INCONCLUSIVE, f"the kernel had not given it up after {seconds(limit)}")
    await until(lambda: stage.holder_of(inode) is None, NOTICED)
    if await until(lambda: stage.target.main_ended, NOTICED):
        return Outcome(
            Verdict.FAIL,
            f"the server ended ({stage.target.exit_status}) when its kernel gave the client up",
            "one client's lost network takes everybody's server down",
            "take ETIMEDOUT for the end of that connection alone",
        )
    holder = stage.holder_of(inode)
    if holder is not None:
        return Outcome(
            Verdict.FAIL,
            f"the kernel has given the connection up (ETIMEDOUT), and process {holder.pid} "
            f"({holder.command}) still holds it as descriptor {holder.fd}",
            "clients whose network fails cost a descriptor each, for good",
            "close() a connection on any error of read or write; ETIMEDOUT is one",
            {"reply_due": "held"},
        )
    return Outcome(Verdict.PASS, "let go of when the kernel gave it up", measured={"reply_due": "released"})


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
        id="client-vanishes",
        question="Does the server ever notice that a client is gone without a word?",
        does="two clients answer no packet any more, like hosts without power: one is idle, the other's "
        "reply is "
        f"due (there the kernel's own patience is cut from 15 min to 3 s: tcp_retries2 {RETRIES})",
        measures="when the server ends the idle one, or its keepalive would; who holds the other when it "
        "is given up",
        passes="an idle timeout or keepalive ends the one; the other is let go of",
        warns="nothing but a keepalive of hours, or nothing at all, would end the idle one. A timeout "
        "longer than "
        "--idle cannot be ruled out",
        fails="a connection that the kernel has given up is still held by the process; or the process ended",
        informs="",
        source="RFC 9293, 3.8.3 and 3.8.4; tcp(7): TCP_KEEPIDLE, tcp_retries2",
        hurts="each client that loses its network holds a descriptor and its memory for as long as that "
        "timeout is; without one, they pile up",
        change="set an idle timeout, or SO_KEEPALIVE with TCP_KEEPIDLE of a minute or two",
        perform=client_vanishes,
        waits=lambda plan, survey: max(
            plan.idle, 4.0 + (survey.under_way.seconds if survey.under_way else 0.0)
        ),
        sysctls={"tcp_retries2": RETRIES},
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
