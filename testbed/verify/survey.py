"""What is learned of a server before it is verified: how it listens, answers and keeps connections.

One run of the server is spent on it.  Then every check knows what a reply of this server's looks like
when nobody disturbs it, and one that has nothing to ask of this server is skipped with the reason.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..errors import TargetError
from ..kernel.sample import name_of
from ..tcp.states import State
from .dialogue import Request
from .outcome import seconds
from .replies import Reply

if TYPE_CHECKING:
    from .stage import Stage

ANSWER_SECONDS: Final = 10.0
"""How long the first reply of a server that has just come up may take."""

SLOW_SECONDS: Final = 30.0
QUIET: Final = 0.3
"""A stream that nothing comes through for so long has nothing to say at present."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request that is under way for a while, and what it draws when nothing disturbs it.

    how      in words: ``GET /slow (1.02 s)``
    seconds  until its reply was whole; of one that is held back, from its rest on
    """

    request: Request
    how: str
    seconds: float
    reply: Reply


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of the server.

    address      where it is reached
    processes    how many it is
    reply        what an ordinary request draws; None where none is made (protocol `none`)
    keeps        it leaves the connection open after a reply
    under_way    a request that takes a while, None with `no_under_way` saying why
    daemon       the command ends when it has left a server in the background
    deferred     a connection is not handed to it before its first byte (TCP_DEFER_ACCEPT)
    """

    address: tuple[str, int]
    start_seconds: float
    processes: int
    reply: Reply | None = None
    keeps: bool = False
    under_way: UnderWay | None = None
    no_under_way: str = ""
    deferred: bool = False
    daemon: bool = False


async def survey(stage: Stage) -> Survey:
    """Learn what there is to know.  TargetError where the server cannot be used as the plan says."""
    known = await _talked_to(stage)
    daemon = bool(stage.targets) and stage.target.ended is not None
    return replace(known, daemon=daemon)


async def _talked_to(stage: Stage) -> Survey:
    started = await stage.start()
    processes = len(stage.pids())
    deferred = await _defers(stage)
    if stage.dialogue.request is None:
        return Survey(stage.address, started, processes, deferred=deferred, no_under_way="protocol none")
    reply, keeps = await _first_reply(stage, stage.dialogue.request)
    under_way, why_not = await _under_way(stage)
    return Survey(stage.address, started, processes, reply, keeps, under_way, why_not, deferred)


async def _defers(stage: Stage) -> bool:
    """Whether a connection without a byte stays a request socket though its handshake is over."""
    peer = stage.peer()
    told = await peer.connect()
    if told != "connected":
        where = name_of(stage.address)
        raise TargetError(_unusable(stage, f"a client could not connect to {where}: {told}"))
    await asyncio.sleep(QUIET)
    socket = peer.kernel
    peer.close()
    return socket is not None and socket.state is State.SYN_RECEIVED


async def _first_reply(stage: Stage, request: Request) -> tuple[Reply, bool]:
    peer = await stage.connect()
    asked = await peer.ask(request)
    if stage.dialogue.protocol == "tcp":
        await peer.replied(asked, ANSWER_SECONDS)
        size = -1
        while size != peer.received and not peer.ended:  # nobody says where such a reply ends
            size = peer.received
            await asyncio.sleep(QUIET)
    elif not await peer.replied(asked, ANSWER_SECONDS):
        raise TargetError(_unusable(stage, _no_answer(stage, peer.ended, asked.reply, peer.kernel)))
    if not asked.reply.size:
        raise TargetError(_unusable(stage, _no_answer(stage, peer.ended, asked.reply, peer.kernel)))
    await peer.over(QUIET)
    keeps = peer.ended is None and not asked.reply.last
    peer.close()
    return asked.reply, keeps


def _no_answer(stage: Stage, ended: str | None, reply: Reply, socket: object) -> str:
    from ..kernel import DiagSocket

    how = stage.dialogue.protocol
    if reply.problem:
        return f"its answer is not {how}: {reply.problem}; say --protocol tcp and --request FILE"
    if ended:
        return f"it ended the connection ({ended}) with {reply} for an answer to a first request ({how})"
    taken = ""
    if isinstance(socket, DiagSocket):
        nobody = " and nobody accepted the connection" if not socket.inode else ""
        taken = f"; {socket.rqueue} bytes lie unread in its kernel{nobody}"
    hint = "" if how != "http" else "; does it speak HTTP? else --protocol tcp --request FILE, or none"
    return (
        f"it listens, and a first request ({how}) drew {reply} within {seconds(ANSWER_SECONDS)}{taken}{hint}"
    )


def _unusable(stage: Stage, what: str) -> str:
    return stage.told(what)


async def _under_way(stage: Stage) -> tuple[UnderWay | None, str]:
    """A request that takes a while: the user's slow one, or one that is held back."""
    dialogue = stage.dialogue
    if dialogue.slow is not None:
        peer = await stage.connect()
        began = time.monotonic()
        asked = await peer.ask(dialogue.slow)
        whole = await peer.replied(asked, SLOW_SECONDS)
        took = time.monotonic() - began
        if dialogue.protocol == "tcp":
            await asyncio.sleep(QUIET)
        peer.close()
        if not whole:
            return None, f"the slow request drew {asked.reply} within {seconds(SLOW_SECONDS)}"
        if took < QUIET:
            return None, f"the slow request was answered in {seconds(took)}: too soon to be under way"
        what = stage.plan.slow_path or "the slow request"
        return UnderWay(dialogue.slow, f"{what}, {seconds(took)}", took, asked.reply), ""
    if dialogue.held is None:
        return None, "say --slow-path or --slow-request: a request that takes a second or two"
    peer = await stage.connect()
    asked = await peer.ask(dialogue.held)
    early = await peer.replied(asked, QUIET) or peer.received or peer.ended
    if early:
        peer.close()
        return None, (
            f"{asked.request.method} {stage.plan.path} was answered ({asked.reply}) before its body was "
            "there; say --slow-path: a page that takes a second or two"
        )
    began = time.monotonic()
    await peer.finish(asked)
    whole = await peer.replied(asked, ANSWER_SECONDS)
    peer.close()
    if not whole:
        return None, f"a request with its last bytes held back drew {asked.reply}; say --slow-path"
    how = f"{asked.request.method} {stage.plan.path}, its last bytes held back"
    return UnderWay(dialogue.held, how, time.monotonic() - began, asked.reply), ""
