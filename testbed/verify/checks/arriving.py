"""What arrives while the server is told to stop: connections too late for it, and requests just in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, NamedTuple

from ..fate import WORDS, Fate, Words, end_of, fate
from ..outcome import Outcome, Verdict, alike, seconds, soon, together
from ..peer import Asked, Peer
from ..replies import Reply
from ..seen import Seen, at, between, frames
from ..stage import Stage
from ..target import find_listener
from ..waiting import until
from .stopping import TAKEN, UNDER_WAY, leave, still_there, taken, unhandled
from .table import Check, Need

BEGUN: Final = 0.3
"""Seconds after which a server has taken notice of a signal."""

LATE: Final = 3
"""How many connections are tried after that."""

TAKEN_BY: Final = {True: "accepted", False: "taken by the kernel, never accepted,", None: "taken"}
"""Who took a connection, by whether the server's program came to have it, where that was seen."""

REPEATED: Final = (
    "a client may repeat it only if it is idempotent (RFC 9112, 9.3.1); a POST is an error for its user"
)


# ---- stop-new-connection


async def stop_new_connection(stage: Stage) -> Outcome:
    under_way, request = stage.known.under_way, stage.dialogue.request
    busy = None
    if under_way is not None:
        peer = await stage.connect()
        busy = peer, await stage.asked(peer, under_way.request)
        await until(lambda: taken(peer), TAKEN)
        await asyncio.sleep(UNDER_WAY)
    told = stage.stop()
    await until(lambda: not find_listener(stage.kernel, stage.address[1]), BEGUN)
    late: list[tuple[Peer, Asked | None]] = []
    accepted: dict[Peer, bool] = {}
    outlasting = under_way.request if under_way is not None and not under_way.request.rest else request
    for number in range(LATE):
        new = stage.peer()
        wish = outlasting if number else request  # one that is answered at once, others that take a while
        answered = await new.connect() == "connected"
        late.append((new, await stage.asked(new, wish) if answered and wish is not None else None))
        await asyncio.sleep(BEGUN / LATE)
        for peer, _ in late:
            if (row := peer.kernel) is not None:
                accepted[peer] = accepted.get(peer, False) or bool(row.inode)
    if busy is not None and under_way is not None and under_way.request.rest and not busy[0].ended:
        await busy[0].finish(busy[1])
    gone = await leave(stage, told, stage.peers)
    await stage.cut()
    came = together(alike([_came_late(peer, asked, accepted.get(peer)) for peer, asked in late]))
    times = [between(told, peer.seen.connection.start_ns) for peer, _ in late if peer.seen.connection]
    when = f" {seconds(min(times))} to {seconds(max(times))} after {stage.plan.stop.name}" if times else ""
    came = replace(came, what=f"tried{when}: {came.what}", part="late clients")
    return together([came, *still_there(stage, gone)], attempts=LATE, **gone.measured)


def _came_late(peer: Peer, asked: Asked | None, accepted: bool | None) -> Outcome:
    """A connection that was tried when the server had been told to stop.

    accepted  whether the server's program came to have it, and not only its kernel; None where it had ended
              before it could be looked for
    """
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
    if reply.size:
        how += f", with {reply} for an answer"
    words = WORDS[fate(seen, asked.request_begins)] if asked is not None and not reply.size else Words("")
    if end is not None and end == rst and accepted is False:
        words = Words("")
        how += " as the listener was closed"
    elif words.what:
        how += f": {words.what}"
    return Outcome(
        Verdict.FAIL,
        f"{TAKEN_BY[accepted]} and {how}",
        words.hurts,
        measured={"dropped": True},
        frames=frames(*end_of(seen)[1]),
    )


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
    stage.step("and let go (SIGCONT)", "server")  # before it is: what it then does comes after
    stage.target.thaw()
    await until(lambda: all(asked.reply.complete or peer.ended for _, peer, asked in tried), stage.plan.grace)
    await until(lambda: all(peer.ended for _, peer, _ in tried), BEGUN)
    if stage.disposition == "default":
        await until(lambda: stage.target.main_ended, BEGUN)  # the kernel tells the connections' end first
    unread = {peer: bool((row := peer.kernel) and row.rqueue) for _, peer, _ in tried}
    await stage.cut()
    parts = []
    for kind, peer, asked in tried:
        queued = Queued(
            peer.seen, asked.request_begins, asked.request_ends, peer.reply_seen(asked), unread[peer]
        )
        part = was_queued(queued, told, stage.plan.stop.name, reused=peer is idle)
        parts.append(replace(unhandled(stage, part), part=kind))
    return together(parts)


class Queued(NamedTuple):
    """A request that lay in the server's kernel when the signal came.

    seen          its connection
    begins, ends  where it stands in what the client sent
    reply         what it drew
    unread        bytes of it lay there when all was over
    """

    seen: Seen
    begins: int
    ends: int
    reply: Reply
    unread: bool = False


def was_queued(queued: Queued, told: int, signal: str, *, reused: bool) -> Outcome:
    """What became of it after `signal`, at the time `told` (ns); `reused`: on an idle connection."""
    seen, reply = queued.seen, queued.reply
    end, rst = seen.server_end, seen.server_rst
    key = "reused" if reused else "queued"
    acked = seen.acknowledged(queued.ends, by_client=False)
    if reply.complete and (rst is None or rst != end):
        return Outcome(Verdict.PASS, str(reply), measured={key: "answered"}, frames=frames(acked))
    if acked == end:
        acked = None  # the FIN says so too: no more than that it lay there, which was seen in the kernel
    how, ends = end_of(seen)
    took = between(told, end) if end else None
    after = "" if took is None else f" {soon(took)} after {signal}"
    known = f"acknowledged by the server's kernel{at(acked)}" if acked else "there before the signal"
    fell = fate(seen, queued.begins, unread=queued.unread)
    words = Words("") if reply.size else WORDS[fell]
    what = f"{known}, drew {reply}, then {how}{at(*ends)}{after}" + (f": {words.what}" if words.what else "")
    measured = {
        key: "reset" if end is not None and end == rst else "closed" if end else "unanswered",
        f"{key}_read": bool(reply.size) or fell is Fate.READ if end else None,
        f"{key}_seconds": None if took is None else round(took, 6),
    }
    if reused and end is not None:
        return Outcome(
            Verdict.WARN,
            what,
            words.hurts or REPEATED,
            words.change or "look for a request once more before an idle connection is closed",
            measured,
            frames(acked, *ends),
        )
    return Outcome(Verdict.FAIL, what, words.hurts, words.change, measured, frames(acked, *ends))


CHECKS: Final = (
    Check(
        id="stop-new-connection",
        question="What becomes of a client that connects after the stop signal?",
        does="a request is under way where there is a slow one; when nobody listens any more, at the latest "
        f"{BEGUN:g} s after the signal, {LATE} clients connect, one after the other; one asks for a quick "
        "reply, the others for a slow one",
        measures="how each handshake was answered, and each request",
        passes="refused, or served in full",
        warns="answered with 5xx, or the SYN was dropped",
        fails="accepted, then closed, reset or left without an answer; or still running when the grace is "
        "over",
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
        measures="the reply, or FIN or RST in its place: RST says that it lay unread, FIN alone that it was "
        "read",
        passes="answered in full",
        warns="the idle connection was closed on its request: RFC 9112, 9.5 lets a server do so at any time; "
        "or the request had been read there, and was dropped",
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
