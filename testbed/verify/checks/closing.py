"""The client closes: does the server close back, and does it finish its reply first?"""

from __future__ import annotations

from typing import Final

from ..outcome import Outcome, Verdict, seconds, together
from ..peer import Peer
from ..seen import at, between, frames
from ..stage import Stage
from .table import Check

PROMPT: Final = 1.0
"""Seconds within which an application that waits for input has read an end of file."""


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
        await stage.until(lambda: all(peer.ended for peer in peers.values()), stage.plan.idle)
    await stage.until(lambda: all(peer.kernel is None for peer in peers.values() if peer.ended), PROMPT)
    held = {kind: _holding(stage, peer) for kind, peer in peers.items()}
    await stage.cut()
    return together([_closed_back(stage, kind, peer, held[kind]) for kind, peer in peers.items()])


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


def _closed_back(stage: Stage, kind: str, peer: Peer, held: str) -> Outcome:
    seen = peer.seen
    ours, fin, rst = seen.client_fin, seen.server_fin, seen.server_rst
    if ours is None:
        return Outcome(Verdict.INCONCLUSIVE, f"{kind} connection: the client's FIN was not captured")
    if fin is not None and fin.time_ns < ours.time_ns:
        return Outcome(
            Verdict.PASS,
            f"{kind} connection: the server closed first{at(fin)}",
            measured={f"{kind}_seconds": 0.0},
            frames=frames(fin),
        )
    if fin is not None and (rst is None or fin.time_ns < rst.time_ns):
        took = between(ours, fin)
        late = took > PROMPT
        return Outcome(
            Verdict.WARN if late else Verdict.PASS,
            f"{kind} connection: FIN {seconds(took)} after the client's{at(ours, fin)}",
            "each client that has left holds a descriptor for that long: connections pile up behind "
            "a load balancer that opens and closes many"
            if late
            else "",
            measured={f"{kind}_seconds": round(took, 6)},
            frames=frames(ours, fin),
        )
    if rst is not None:
        return Outcome(
            Verdict.FAIL,
            f"{kind} connection: the server answered the client's FIN with RST{at(ours, rst)}, "
            f"{seconds(between(ours, rst))} later, with nothing left unread",
            "a reset destroys what the client has not read yet, and turns an ordinary goodbye into "
            "ECONNRESET in its logs",
            "close() without SO_LINGER {1, 0}",
            {f"{kind}_seconds": round(between(ours, rst), 6), f"{kind}_reset": True},
            frames(ours, rst),
        )
    waited = stage.plan.idle + PROMPT
    return Outcome(
        Verdict.FAIL,
        f"{kind} connection: no FIN within {seconds(waited)} of the client's{at(ours)}; "
        f"the kernel has it in {held or 'no state any more'}",
        measured={f"{kind}_seconds": None, f"{kind}_held": held},
        frames=frames(ours),
    )


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
)
