"""What arrives while the server is told to stop: connections too late for it, and requests just in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from ..outcome import Outcome, Verdict, alike, seconds, soon, together
from ..peer import Asked, Peer
from ..replies import Reply
from ..seen import at, between, frames
from ..stage import Stage
from ..target import find_listener
from ..waiting import until
from .stopping import TAKEN, leave, taken
from .table import Check, Need

BEGUN: Final = 0.3
"""Seconds after which a server has taken notice of a signal."""

LATE: Final = 3
"""How many connections are tried after that."""


# ---- stop-new-connection


async def stop_new_connection(stage: Stage) -> Outcome:
    under_way, request = stage.known.under_way, stage.dialogue.request
    busy = None
    if under_way is not None:
        peer = await stage.connect()
        busy = peer, await stage.asked(peer, under_way.request)
        await until(lambda: taken(peer), TAKEN)
    told = stage.stop()
    await until(lambda: not find_listener(stage.kernel, stage.address[1]), BEGUN)
    late: list[tuple[Peer, Asked | None]] = []
    outlasting = under_way.request if under_way is not None and not under_way.request.rest else request
    for number in range(LATE):
        new = stage.peer()
        wish = outlasting if number else request  # one that is answered at once, others that take a while
        answered = await new.connect() == "connected"
        late.append((new, await stage.asked(new, wish) if answered and wish is not None else None))
        await asyncio.sleep(BEGUN / LATE)
    if busy is not None and under_way is not None and under_way.request.rest and not busy[0].ended:
        await busy[0].finish(busy[1])
    gone = await leave(stage, told, stage.peers)
    await stage.cut()
    parts = alike([_came_late(stage, peer, asked) for peer, asked in late])
    times = [between(told, peer.seen.connection.start_ns) for peer, _ in late if peer.seen.connection]
    outcome = together(parts, attempts=LATE, **gone.measured)
    when = f"{seconds(min(times))} to {seconds(max(times))} after {stage.plan.stop.name}" if times else ""
    return replace(outcome, what=f"connections tried {when}: {outcome.what}")


def _came_late(stage: Stage, peer: Peer, asked: Asked | None) -> Outcome:
    """A connection that was tried when the server had been told to stop."""
    seen = peer.seen
    end, rst = seen.server_end, seen.server_rst
    if seen.refused:
        return Outcome(Verdict.PASS, "refused", measured={"refused": True}, frames=frames(rst))
    if not seen.opened:
        return Outcome(
            Verdict.WARN,
            "the SYN was not answered at all",
            "clients wait for their connect timeout",
            "close the listener",
        )
    reply = peer.reply_seen(asked) if asked is not None else Reply()
    if reply.complete:
        refusing = reply.status is not None and reply.status >= 500
        return Outcome(
            Verdict.WARN if refusing else Verdict.PASS,
            f"served ({reply})",
            "a load balancer that is not told to retry hands the 5xx on to its user",
            "close the listener, so that the connection goes elsewhere",
            {"served": True},
            frames(end),
        )
    how = "never answered" if end is None else "reset" if end == rst else "closed"
    drew = f", with {reply} for an answer" if reply.size else ""
    return Outcome(Verdict.FAIL, f"accepted and {how}{drew}", measured={"dropped": True}, frames=frames(end))


# ---- stop-queued


async def stop_queued(stage: Stage) -> Outcome:
    request = stage.dialogue.request
    assert request is not None  # the check needs one
    idle = await stage.idle() if stage.known.keeps else None
    if idle is None and stage.plan.tls:
        return Outcome(Verdict.SKIPPED, "TLS, and no connection is kept: nothing can lie in the kernel")
    if not await stage.target.freeze():
        return Outcome(Verdict.INCONCLUSIVE, "the server could not be held with SIGSTOP")
    stage.step("the server is held (SIGSTOP): what comes now lies in the kernel", "server")
    tried: list[tuple[str, Peer, Asked]] = []
    if not stage.plan.tls:  # a TLS handshake needs a server that runs
        new = stage.peer()
        if await new.connect() != "connected":
            stage.target.thaw()
            return Outcome(Verdict.INCONCLUSIVE, "no connection could be queued: the SYN was not answered")
        tried.append(("a queued connection", new, await stage.asked(new, request)))
    if idle is not None:
        tried.append(("a request on an idle connection", idle, await stage.asked(idle, request)))
    if not await until(lambda: all((row := peer.kernel) and row.rqueue for _, peer, _ in tried), TAKEN):
        stage.target.thaw()
        await stage.cut()
        return Outcome(Verdict.INCONCLUSIVE, "what was sent did not come to lie in the server's kernel")
    told = stage.stop()
    stage.target.thaw()
    stage.step("and let go (SIGCONT)", "server")
    await until(lambda: all(asked.reply.complete or peer.ended for _, peer, asked in tried), stage.plan.grace)
    await until(lambda: all(peer.ended for _, peer, _ in tried), BEGUN)
    await stage.cut()
    return together([replace(_was_queued(stage, told, *row), part=row[0]) for row in tried])


def _was_queued(stage: Stage, told: int, kind: str, peer: Peer, asked: Asked) -> Outcome:
    """A request that lay in the kernel when the signal came."""
    seen, reply = peer.seen, peer.reply_seen(asked)
    end, rst = seen.server_end, seen.server_rst
    reused = kind.endswith("idle connection")
    key = "reused" if reused else "queued"
    taken = seen.acknowledged(asked.request_ends, by_client=False)
    if reply.complete and (rst is None or rst != end):
        return Outcome(Verdict.PASS, str(reply), measured={key: "answered"}, frames=frames(taken))
    how = "nothing" if end is None else ("RST" if end == rst else "FIN") + at(end)
    took = between(told, end) if end else None
    after = "" if took is None else f" {soon(took)} after {stage.plan.stop.name}"
    known = f"acknowledged by the server's kernel{at(taken)}" if taken else "there before the signal"
    what = f"{known}, drew {reply}, then {how}{after}"
    measured = {
        key: "reset" if end is not None and end == rst else "closed" if end else "unanswered",
        f"{key}_seconds": None if took is None else round(took, 6),
    }
    if reused and end is not None:
        return Outcome(
            Verdict.WARN,
            what,
            "a client may repeat it only if it is idempotent (RFC 9112, 9.3.1); a POST is an error for its "
            "user",
            "look for a request once more before an idle connection is closed",
            measured,
            frames(taken, end),
        )
    return Outcome(Verdict.FAIL, what, measured=measured, frames=frames(taken, end))


CHECKS: Final = (
    Check(
        id="stop-new-connection",
        question="What becomes of a client that connects after the stop signal?",
        does=f"a request is under way where there is a slow one; {BEGUN:g} s after the signal {LATE} clients "
        "connect, one after the other; one asks for a quick reply, the others for a slow one",
        measures="how each handshake was answered, and each request",
        passes="refused, or served in full",
        warns="answered with 5xx, or the SYN was dropped",
        fails="accepted, then closed, reset or left without an answer",
        informs="",
        source="listen(2); inet_csk_listen_stop() resets what nobody accepted",
        hurts="a load balancer sends requests into a server that is leaving, and gets errors instead of "
        "refusals "
        "that it would have tried elsewhere",
        change="close the listener first (after the load balancer knows), and accept nothing that is not "
        "served",
        perform=stop_new_connection,
        needs=(Need.OWN, Need.REQUEST),
        waits=lambda plan, survey: 2.0 + (survey.under_way.seconds if survey.under_way else 0.0),
    ),
    Check(
        id="stop-queued",
        question="Is a request that the kernel had taken before the stop signal answered?",
        does="the server is held (SIGSTOP); one client connects and asks, one asks on an idle connection; "
        "the "
        "signal; the server is let go (SIGCONT)",
        measures="the reply, or FIN or RST in its place",
        passes="answered in full",
        warns="the idle connection was closed on its request: RFC 9112, 9.5 lets a server do so at any time",
        fails="the queued connection was reset or closed without an answer",
        informs="",
        source="inet_csk_listen_stop(); RFC 9112, 9.5",
        hurts="each deploy resets the connections in the queue: a few errors each time, at random clients",
        change="accept until the queue is empty (EAGAIN) before the listener is closed, and serve those too",
        perform=stop_queued,
        needs=(Need.OWN, Need.REQUEST),
        waits=lambda plan, survey: 2.0,
    ),
)
