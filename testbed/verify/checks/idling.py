"""Connections on which nothing happens: when they are ended, and who looks whether their client is there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from ..outcome import Outcome, Verdict, plural, seconds, together
from ..peer import Peer, with_goodbye
from ..seen import at, between, frames
from ..stage import Stage
from ..waiting import until
from .misbehaving import NOTICED
from .table import Check, Need
from .vanishing import USUAL_PROBE

SETTLED: Final = 0.5
"""Seconds within which a close is over on both sides."""


# ---- idle-timeout


async def idle_timeout(stage: Stage) -> Outcome:
    peers = {"fresh": await stage.fresh()}
    if stage.known.keeps:
        peers["idle"] = await stage.idle()

    def all_over() -> bool:
        for peer in peers.values():
            if peer.ended:
                peer.close()  # TLS: a server that said goodbye may wait for ours before its FIN
        return all(peer.ended for peer in peers.values())

    holders = {kind: stage.holder(peer) for kind, peer in peers.items()}
    await until(all_over, stage.plan.idle)
    await until(lambda: all(peer.kernel is None for peer in peers.values() if peer.ended), SETTLED)
    await stage.cut()
    parts = {
        kind: _timed_out(stage, kind, peer, stage.ended_too(holders[kind])) for kind, peer in peers.items()
    }
    return together([replace(part, part=f"{kind} connection") for kind, part in parts.items()])


def _timed_out(stage: Stage, kind: str, peer: Peer, dead: str) -> Outcome:
    """How one connection ended; `dead`: that the process which held it has ended too, in words."""
    seen = peer.seen
    end, rst = seen.server_end, seen.server_rst
    if kind == "idle":
        since = seen.byte(peer.asked[0].ends - 1, by_client=False)
    else:
        since = seen.acknowledged(0, by_client=True)
    if since is None:
        return Outcome(Verdict.INCONCLUSIVE, "its last packet was not captured")
    if end is None:
        return Outcome(
            Verdict.INFO,
            f"still open after {seconds(stage.plan.idle)}",
            measured={f"{kind}_seconds": None},
        )
    took = between(since, end)
    measured = {f"{kind}_seconds": round(took, 3)}
    if end == rst:
        return Outcome(
            Verdict.WARN,
            f"reset{at(rst)} after {seconds(took)}, with nothing unread",
            measured=measured,
            frames=frames(since, rst),
        )
    what = f"FIN{at(end)} after {seconds(took)}{peer.unasked}{dead}"
    return with_goodbye(Outcome(Verdict.PASS, what, measured=measured, frames=frames(since, end)), peer)


# ---- keepalive-option


async def keepalive_option(stage: Stage) -> Outcome:
    peer = await (stage.idle() if stage.known.keeps else stage.fresh())
    await asyncio.sleep(NOTICED / 2)
    row, options = peer.kernel, stage.options(peer)
    await stage.cut()
    if options is None and row is None:
        return Outcome(Verdict.INCONCLUSIVE, "the kernel has no socket of the server's end any more")
    if options is None:
        assert row is not None
        armed = row.timer.name == "KEEPALIVE"
        what = f"armed, the first probe after {seconds(row.timer_ms / 1000)}" if armed else "not armed"
        return Outcome(
            Verdict.PASS if armed else Verdict.INFO, f"{what} (sock_diag's timer)", measured={"armed": armed}
        )
    if not options.keepalive:
        return Outcome(
            Verdict.INFO,
            "not armed: only the server's own timeouts notice a client that is gone",
            measured={"armed": False},
        )
    measured = {
        "armed": True,
        "idle_seconds": options.idle,
        "interval_seconds": options.interval,
        "probes": options.probes,
        "gives_up_seconds": options.gives_up,
    }
    numbers = (
        f"armed: first probe after {seconds(options.idle)}, then every {seconds(options.interval)}, "
        f"{plural(options.probes, 'probe')}: gives up after {seconds(options.gives_up)}"
    )
    if options.idle > USUAL_PROBE:
        return Outcome(
            Verdict.INFO,
            f"{numbers}. Load balancers and NAT forget idle connections after minutes: "
            "at the kernel's default it keeps none alive",
            measured=measured,
        )
    return Outcome(Verdict.PASS, numbers, measured=measured)


CHECKS: Final = (
    Check(
        id="idle-timeout",
        question="When does the server end connections on which nothing happens, and how?",
        does="a client that never sent a byte, and one that was served, stay connected and say nothing",
        measures="seconds from the last packet of the exchange (or the handshake) to FIN; FIN or RST",
        passes="FIN within --idle",
        warns="RST with nothing unread; in TLS, no close_notify before the FIN",
        fails="",
        informs="still open after --idle: what its timeout is, if any, cannot be said",
        source="RFC 9112, 9.5; RFC 8446, 6.1",
        hurts="a client that sends at that moment gets ECONNRESET, and logs fill with errors that are none",
        change="close() idle connections; no SO_LINGER {1, 0}, no reset_timedout_connection",
        perform=idle_timeout,
        waits=lambda plan, survey: plan.idle,
    ),
    Check(
        id="keepalive-option",
        question="Does the server have its kernel probe silent connections, and how soon?",
        does="a client stays connected",
        measures="SO_KEEPALIVE and its three numbers, by getsockopt() on the server's own socket "
        "(pidfd_getfd)",
        passes=f"armed, the first probe within {USUAL_PROBE / 60:g} min",
        warns="",
        fails="",
        informs="not armed; or armed with the kernel's two hours, which no middlebox waits for",
        source="RFC 9293, 3.8.4; RFC 1122, 4.2.3.6; tcp(7)",
        hurts="",
        change="",
        perform=keepalive_option,
        needs=(Need.LOCAL,),
        waits=lambda plan, survey: 0.5,
    ),
)
