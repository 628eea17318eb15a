"""The client closes: does the server close back, and does it finish its reply first?"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any, Final

from ...tcp.states import State
from ..dialogue import UPLOAD_SIZE
from ..outcome import Outcome, Verdict, seconds, soon, together
from ..peer import Asked, Peer
from ..replies import Reply
from ..seen import at, between, frames
from ..stage import Stage
from ..target import processor_waits
from ..waiting import until
from .table import Check, Need

PROMPT: Final = 1.0
"""Seconds within which an application that waits for input has read an end of file."""

SHORT: Final = 2.0
"""Seconds within which a reply that nothing delays has come."""

STALL: Final = 1.5
"""Seconds without progress after which a body is taken to be read no more: longer than most linger."""

FIRST_PART: Final = 256 << 10
"""Bytes of an upload that are sent before it is known whether it has been answered: more than a receive
buffer holds that nobody reads."""

LOOKS: Final = 0.5
"""Seconds within which an answer to them has come."""

LARGE: Final = "a large reply"

FULL: Final = 0.3
"""Seconds after which a server has written as much of a large reply as goes, and looked at its client."""

SMALL_BUFFER: Final = 4096
"""SO_RCVBUF of a client that has little room: on a wire much of a reply is still on its way."""


# ---- close-back


async def close_back(stage: Stage) -> Outcome:
    peers = {"fresh": await stage.fresh()}
    if stage.survey and stage.survey.keeps:
        peers["idle"] = await stage.idle()
    for peer in peers.values():
        peer.half_close()
    for peer in peers.values():
        await peer.over(PROMPT)
    if not all(peer.ended for peer in peers.values()):
        await until(lambda: all(peer.ended for peer in peers.values()), stage.plan.idle)
    await until(lambda: all(peer.kernel is None for peer in peers.values() if peer.ended), PROMPT)
    held = {kind: _holding(stage, peer) for kind, peer in peers.items()}
    await stage.cut()
    parts = {kind: _closed_back(stage, kind, peer, held[kind]) for kind, peer in peers.items()}
    return together([replace(part, part=f"{kind} connection") for kind, part in parts.items()])


def _holding(stage: Stage, peer: Peer) -> str:
    """Who holds the server's end, and how, in words."""
    socket = peer.kernel
    if socket is None:
        return ""
    owner = stage.holder_of(socket.inode)
    what = {0: "has read the end of file and keeps the socket", 1: "has not read the end of file"}.get(
        socket.rqueue, f"has left {socket.rqueue - 1} bytes unread"
    )
    if not socket.inode:
        return f"{socket.state}, which nobody has accepted"
    if owner is None:
        return f"{socket.state}; its holder {what}"
    return f"{socket.state}: process {owner.pid} ({owner.command}), descriptor {owner.fd}, {what}"


def _closed_back(stage: Stage, key: str, peer: Peer, held: str) -> Outcome:
    seen = peer.seen
    ours, fin, rst = seen.client_fin, seen.server_fin, seen.server_rst
    if ours is None:
        return Outcome(Verdict.INCONCLUSIVE, "the client's FIN was not captured")
    if fin is not None and fin.time_ns < ours.time_ns:
        return Outcome(
            Verdict.PASS,
            f"the server closed first{at(fin)}",
            measured={f"{key}_seconds": 0.0},
            frames=frames(fin),
        )
    if fin is not None and (rst is None or fin.time_ns < rst.time_ns):
        took = between(ours, fin)
        late = took > PROMPT
        return Outcome(
            Verdict.WARN if late else Verdict.PASS,
            f"FIN {seconds(took)} after the client's{at(ours, fin)}",
            "each client that has left holds a descriptor for that long: connections pile up behind "
            "a load balancer that opens and closes many"
            if late
            else "",
            measured={f"{key}_seconds": round(took, 6)},
            frames=frames(ours, fin),
        )
    if rst is not None:
        return Outcome(
            Verdict.FAIL,
            f"the server answered the client's FIN with RST{at(ours, rst)}, "
            f"{seconds(between(ours, rst))} later, with nothing left unread",
            "a reset destroys what the client has not read yet, and turns an ordinary goodbye into "
            "ECONNRESET in its logs",
            "close() without SO_LINGER {1, 0}",
            {f"{key}_seconds": round(between(ours, rst), 6), f"{key}_reset": True},
            frames(ours, rst),
        )
    waited = stage.plan.idle + PROMPT
    return Outcome(
        Verdict.FAIL,
        f"no FIN within {seconds(waited)} of the client's{at(ours)}; "
        f"the kernel has it in {held or 'no state any more'}",
        measured={f"{key}_seconds": None, f"{key}_held": held},
        frames=frames(ours),
    )


# ---- half-close


async def half_close(stage: Stage) -> Outcome:
    dialogue, known = stage.dialogue, stage.known
    assert dialogue.request is not None  # the check needs one
    tries, longest = [("a short reply", dialogue.request, known.reply)], SHORT
    if known.under_way is not None and not known.under_way.request.rest:
        tries.append(("a slow reply", known.under_way.request, known.under_way.reply))
        longest += known.under_way.seconds
    if dialogue.large is not None:
        tries.append((LARGE, dialogue.large, None))
    asked: list[tuple[str, Peer, Asked, Reply | None]] = []
    for kind, request, expected in tries:
        waits = kind == LARGE  # who reads at once may have it all before its FIN is looked at
        peer = await stage.connect(receive_buffer=SMALL_BUFFER if waits else None, read=not waits)
        peer.cork()
        asked.append((kind, peer, await stage.asked(peer, request), expected))
        peer.half_close()
    await asyncio.sleep(FULL)
    closed = {peer for _, peer, *_ in asked if (row := peer.kernel) is None or row.state is State.LAST_ACK}
    for _, peer, *_ in asked:
        peer.read()
    answered = await until(
        lambda: all(one.reply.complete or peer.ended for _, peer, one, _ in asked), longest
    )
    if not answered:
        await until(lambda: all(peer.ended for _, peer, *_ in asked), stage.plan.idle)
    await until(lambda: all(peer.ended for _, peer, *_ in asked), SHORT)
    await stage.cut()
    return together([replace(_half_closed(*row, closed=row[1] in closed), part=row[0]) for row in asked])


def _half_closed(kind: str, peer: Peer, asked: Asked, expected: Reply | None, *, closed: bool) -> Outcome:
    """The reply to a request with a FIN behind it; undisturbed it is `expected`, where that is known.

    closed  the server had closed before a client that did not read at first began to
    """
    seen, reply = peer.seen, peer.reply_seen(asked)
    ours, end, rst = seen.client_fin, seen.server_end, seen.server_rst
    name = kind.removeprefix("a ").replace(" ", "_")
    measured: dict[str, Any] = {name: str(reply)}
    if reply.complete and rst is not None:
        return Outcome(
            Verdict.FAIL,
            f"{reply}, and then RST{at(ours, rst)}",
            "the reset overtakes the reply: what the client has not read yet is gone",
            "close() without SO_LINGER {1, 0}",
            measured,
            frames(ours, rst),
        )
    if reply.complete and expected is not None and reply.status != expected.status:
        return Outcome(
            Verdict.WARN,
            f"{reply} instead of {expected}{at(ours)}",
            measured=measured,
            frames=frames(ours, end),
        )
    if reply.complete:
        return Outcome(Verdict.PASS, f"{reply}, in full", measured=measured, frames=frames(ours, end))
    if end is None or ours is None:
        return Outcome(
            Verdict.FAIL,
            f"{reply} after the client's FIN{at(ours)}, and the connection is still open",
            "the client waits for ever for a reply that will not come",
            "at end of file either finish the reply under way or close",
            measured,
            frames(ours),
        )
    how, took = "RST" if end == rst else "FIN", between(ours, end)
    when = f"then {how} {soon(took)} after the client's"
    if kind == LARGE and reply.size:  # on the wire the end comes behind what the client had not read
        when = f"given up within {seconds(FULL)} of the client's FIN" if closed else "given up as it was read"
    else:
        measured[f"{name}_cut_off_seconds"] = round(took, 6)
    return Outcome(
        Verdict.WARN,
        f"{reply}, {when}{at(ours, end)}",
        measured=measured,
        frames=frames(ours, end),
    )


# ---- early-reply


async def early_reply(stage: Stage) -> Outcome:
    upload = stage.dialogue.upload
    assert upload is not None  # the check needs one
    peer = stage.peer(receive_buffer=SMALL_BUFFER)
    told = await peer.connect(read=False)
    if told != "connected":
        return Outcome(Verdict.INCONCLUSIVE, f"a client could not connect: {told}")
    await asyncio.sleep(LOOKS / 5 if stage.plan.tls else 0.0)
    before = peer.waiting  # TLS session tickets come unasked; the answer may come on the head alone
    asked = await stage.asked(peer, upload)
    waits = _own_waits()
    stopped = await peer.pour(FIRST_PART, stall=STALL)
    answered = stopped == "sent" and await until(lambda: peer.waiting > before, LOOKS)
    if stopped == "sent" and not answered:
        await peer.pour(UPLOAD_SIZE - FIRST_PART, stall=STALL)
    elif stopped == "sent":  # a client that has not looked yet goes on for a while
        await asyncio.sleep(LOOKS / 5)
        await peer.pour(FIRST_PART // 4, stall=STALL)
        await asyncio.sleep(LOOKS / 5)
    waited = _own_waits() - waits
    peer.read()
    await peer.replied(asked, stage.plan.idle)
    await peer.over(STALL)
    row = peer.kernel
    unread = row.rqueue if row is not None and not peer.ended else 0
    peer.close()
    await until(lambda: (row := peer.kernel) is None or row.small, STALL)
    await stage.cut()
    return believed(_replied_early(peer, asked, unread), waited)


def believed(outcome: Outcome, waited: float) -> Outcome:
    """The outcome, where the client was not late: a server need not linger for one that is.

    waited  seconds for which the client waited for a processor in the middle of its upload
    """
    if waited <= LOOKS or outcome.verdict is Verdict.PASS:
        return outcome
    late = f"this machine kept the client from going on for {seconds(waited)}"
    return replace(outcome, verdict=Verdict.INCONCLUSIVE, what=f"{late}; {outcome.what}")


def _own_waits() -> float:
    """For how many seconds, ever, this process waited for a processor."""
    return sum(processor_waits([os.getpid()]).values())


def _replied_early(peer: Peer, asked: Asked, unread: int) -> Outcome:
    sent = peer.sent - asked.request_ends
    seen, reply = peer.seen, peer.reply_seen(asked)
    first = seen.byte(asked.ends - 1 if asked.ends else asked.begins, by_client=False)
    last = seen.byte(peer.sent - 1, by_client=True)
    early = first is not None and (last is None or first.time_ns < last.time_ns)
    rst, end = seen.server_rst, seen.server_end
    measured = {
        "early": early,
        "upload_bytes_sent": sent,
        "reply_bytes_on_the_wire": reply.size,
        "reply_bytes_read": peer.received,
        "reset": rst is not None,
    }
    if rst is not None:
        lost = (
            "" if peer.received >= reply.size else f"; the client could read {peer.received} of these bytes"
        )
        gap = f"{seconds(between(first, rst))} behind its answer" if first else "without an answer"
        return Outcome(
            Verdict.FAIL,
            f"{sent} bytes into an upload: {reply}{at(first)}, and RST{at(rst)} {gap}{lost}",
            measured=measured,
            frames=frames(first, rst),
        )
    if not reply.complete:
        how = f"closed{at(end)}" if end else "left the connection open"
        return Outcome(
            Verdict.FAIL if end or reply.size == 0 else Verdict.WARN,
            f"{sent} bytes into an upload of {UPLOAD_SIZE} the server {how}, its answer: {reply}",
            "a client that sends a large body never learns what was wrong with it",
            "answer (413 for a body that is too large: RFC 9110, 15.5.14), read on for a while, then close",
            measured,
            frames(first, end),
        )
    if unread:
        return Outcome(
            Verdict.WARN,
            f"{sent} bytes into an upload: {reply}{at(first)}; then it neither reads on ({unread} bytes "
            "lie in its kernel) nor closes",
            "a client that sends its whole body before it reads is stuck",
            "read on for a while after an early answer, or close",
            measured,
            frames(first),
        )
    how = "before the body was there" if early else f"when all {sent} bytes were read"
    return Outcome(Verdict.PASS, f"{reply} {how}, no reset", measured=measured, frames=frames(first, end))


# ---- the rows

CHECKS: Final = (
    Check(
        id="close-back",
        question="Does the server close when the client has closed?",
        does="a client that sent nothing and one whose request was answered send FIN and read on",
        measures="seconds from the client's FIN to the server's; the kernel's state, process and descriptor",
        passes=f"FIN within {PROMPT:g} s",
        warns="FIN later than that, within --idle: its idle timeout closes, not the end of file",
        fails="still CLOSE_WAIT after --idle: CLOSE_WAIT has no timeout; or RST though nothing was unread",
        informs="",
        source="RFC 9293, 3.6 (case 2) and 3.9.1.4",
        hurts="each such client costs a descriptor for good: in the end accept() fails with EMFILE and "
        "nobody is served",
        change="read until end of file on every connection, and close() when it comes",
        perform=close_back,
        waits=lambda plan, survey: 1.0,
    ),
    Check(
        id="half-close",
        question="Does a client that closes its sending side still get its reply?",
        does="request and FIN in one segment; for a short reply, and where there are such a slow one and a "
        "large one, which the client does not read at first",
        measures="the reply as the wire carries it, and how the connection ends",
        passes="the reply in full",
        warns="cut off by a close, or another status: allowed (RFC 1122, 4.2.2.13), and a policy of many "
        "servers, but clients that half-close (nc, some proxies) do not get their reply",
        fails="neither a full reply nor a close; or RST behind the reply",
        informs="",
        source="RFC 9293, 3.6 and 3.6.1; RFC 1122, 4.2.2.13",
        hurts="a client or proxy that shuts down its sending side behind its request loses the reply",
        change="take end of file for the end of requests, not of replies: finish what is under way, then "
        "close",
        perform=half_close,
        needs=(Need.REQUEST,),
        waits=lambda plan, survey: 1.0 + (survey.under_way.seconds if survey.under_way else 0.0),
    ),
    Check(
        id="early-reply",
        question="Does an answer to an upload survive the server's own close?",
        does=f"an upload of {UPLOAD_SIZE >> 20} MiB is sent without reading, with a receive buffer of "
        f"{SMALL_BUFFER} bytes; answered early, it goes on for a moment; then the reply is read",
        measures="when the answer came, RST behind it, bytes on the wire and bytes that could be read",
        passes="a whole answer and no RST, whether it came early or the body was read first",
        warns="answered early, and then the server neither reads nor closes",
        fails="RST behind the answer: close() with unread data; or no answer, or not all of it. (On Linux "
        "the "
        "client can often read it all the same; other systems throw it away at the reset)",
        informs="",
        source="RFC 9112, 9.6; RFC 2525, 2.17; RFC 1122, 4.2.2.13",
        hurts="the client sees `connection reset` instead of 413 or 401, retries the upload, and fails again",
        change="lingering close: answer, shutdown(SHUT_WR), read and discard for a second or two, close()",
        perform=early_reply,
        needs=(Need.UPLOAD, Need.REQUEST),
        waits=lambda plan, survey: 3.0,
    ),
)
