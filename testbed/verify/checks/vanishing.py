"""A client that is gone without a word: who notices, and when."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final, NamedTuple

from ...kernel import DiagSocket
from ...kernel.owners import Owner
from ...tcp.states import State
from ..options import SocketOptions
from ..outcome import Outcome, Verdict, seconds, together
from ..peer import Peer
from ..seen import at, between, frames
from ..stage import Stage
from ..waiting import until
from .misbehaving import NOTICED
from .table import Check

USUAL_PROBE: Final = 600.0
"""Seconds; a keepalive probe later than this comes after most middleboxes have forgotten the connection."""

RETRIES: Final = 1
"""tcp_retries2 in the network of `client-vanishes`: a peer that acknowledges nothing is given up after
1.7 s instead of 15 minutes, sooner than most idle timeouts (a tail-loss probe, and then timeouts of 0.2, 0.4
and 0.8 s)."""

GIVEN_UP: Final = 8.0
"""Seconds after which that has happened, whatever the round-trip time was estimated at."""


# ---- client-vanishes


async def client_vanishes(stage: Stage) -> Outcome:
    quiet = await (stage.idle() if stage.known.keeps else stage.fresh())
    await asyncio.sleep(NOTICED / 2)
    options, holder = stage.options(quiet), stage.holder(quiet)
    due = None if stage.plan.attached else await _vanish_with_reply_due(stage)
    quiet.vanish()
    vanished = quiet.steps[-1].time_ns
    given_up = None if due is None else await _given_up(stage, *due)
    await until(lambda: not _held_open(quiet), stage.plan.idle - (time.time_ns() - vanished) / 1e9)
    row = quiet.kernel
    await stage.cut()
    idle = _noticed(stage, quiet, vanished, row, options, stage.ended_too(holder))
    parts = [replace(idle, part="idle")]
    if due is not None and given_up is not None:
        parts.insert(0, replace(_let_go(due[0], given_up), part="reply due"))
    return together(parts)


def _noticed(
    stage: Stage,
    quiet: Peer,
    vanished: int,
    row: DiagSocket | None,
    options: SocketOptions | None,
    dead: str,
) -> Outcome:
    """What the server has done about an idle client that is gone, or will do: `row` is its socket now.

    dead  that the process which held it has ended too, in words
    """
    end = quiet.seen.server_end
    if end is not None:
        took = between(vanished, end)
        return Outcome(
            Verdict.PASS,
            f"ended by the server {seconds(took)} after the client vanished{at(end)}{quiet.unasked}{dead}",
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


class _GivenUp(NamedTuple):
    """What became of a connection whose client is gone.

    waited  seconds for which it was looked for
    over    the process or the kernel has let go of it; else it is as it was
    exit    how the server ended, where it did
    holder  who has a descriptor of it
    """

    waited: float
    over: bool
    exit: str = ""
    holder: Owner | None = None


async def _given_up(stage: Stage, peer: Peer, inode: int) -> _GivenUp:
    """Wait until the kernel gives it up, or the server closes it before."""
    under_way = stage.known.under_way
    limit = GIVEN_UP + (under_way.seconds if under_way is not None else 0.0)
    if not await until(lambda: (row := peer.kernel) is None or not row.inode, limit):
        return _GivenUp(limit, over=False)
    await until(lambda: stage.holder_of(inode) is None, NOTICED)
    if await until(lambda: stage.target.main_ended, NOTICED):
        return _GivenUp(limit, over=True, exit=stage.target.exit_status)
    return _GivenUp(limit, over=True, holder=stage.holder_of(inode))


def _let_go(peer: Peer, given_up: _GivenUp) -> Outcome:
    """Whether the server lets go of a connection that its kernel has given up.  A kernel does so without a
    packet (tcp_write_err()), so that a FIN or RST is the server's own."""
    end, holder = peer.seen.server_end, given_up.holder
    if not given_up.over:
        waited = seconds(given_up.waited)
        return Outcome(Verdict.INCONCLUSIVE, f"the kernel had not given it up after {waited}")
    if given_up.exit:
        when = "after it had closed" if end else "when its kernel gave the client up"
        return Outcome(
            Verdict.FAIL,
            f"the server ended ({given_up.exit}) {when}{at(end)}",
            "one client's lost network takes everybody's server down",
            "take ETIMEDOUT for the end of that connection alone",
            frames=frames(end),
        )
    if holder is not None:
        return Outcome(
            Verdict.FAIL,
            f"the kernel has given the connection up (ETIMEDOUT), and process {holder.pid} "
            f"({holder.command}) still holds it as descriptor {holder.fd}",
            "clients whose network fails cost a descriptor each, for good",
            "close() a connection on any error of read or write; ETIMEDOUT is one",
            {"reply_due": "held"},
        )
    if end is not None:
        return Outcome(
            Verdict.PASS,
            f"closed by the server{at(end)} before its kernel gave the client up",
            measured={"reply_due": "closed"},
            frames=frames(end),
        )
    return Outcome(Verdict.PASS, "let go of when the kernel gave it up", measured={"reply_due": "released"})


CHECKS: Final = (
    Check(
        id="client-vanishes",
        question="Does the server ever notice that a client is gone without a word?",
        does="two clients answer no packet any more, like hosts without power: one is idle, the other's "
        "reply is "
        f"due (there the kernel's own patience is cut from 15 min to 2 s: tcp_retries2 {RETRIES})",
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
)
