"""What the server leaves behind: processes, its port, descriptors."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from ...errors import TargetError
from ...tcp.states import State
from ..outcome import Outcome, Verdict, plural, seconds
from ..peer import Peer
from ..seen import at, between, frames
from ..stage import Stage
from ..survey import ANSWER_SECONDS
from ..target import find_listener
from ..waiting import until
from .misbehaving import NOTICED
from .table import Check, Need

EACH: Final = 10
"""Connections of each kind."""

LOOK: Final = 0.05
"""Seconds from one count of all descriptors to the next: it goes through all of /proc."""

SETTLED: Final = 1.5
"""Seconds after which descriptors that are to be closed are."""


# ---- kill


async def kill(stage: Stage) -> Outcome:
    if stage.case == "all":
        return await _kill_all(stage)
    if len(stage.pids()) == 1:
        await stage.cut()
        return Outcome(Verdict.SKIPPED, "it is one process")
    killed = stage.kill(all_of_it=False)
    await stage.target.gone(stage.plan.grace)
    left = stage.target.names()
    when = stage.target.all_ended_ns
    if when is not None:
        await stage.cut()
        took = between(killed, when)
        past = took - stage.plan.grace
        what = f"the others left {seconds(took)} later"
        return Outcome(
            Verdict.WARN if past > 0 else Verdict.PASS,
            f"{what}, {seconds(past)} past the grace" if past > 0 else what,
            measured={"orphans_seconds": round(took, 6)},
        )
    listens = bool(find_listener(stage.kernel, stage.address[1]))
    late = stage.peer()
    asked = None
    served = await late.connect() == "connected"
    if served and stage.dialogue.request is not None:
        asked = await stage.asked(late, stage.dialogue.request)
        served = await late.replied(asked, ANSWER_SECONDS)
    await stage.cut()
    seen = late.seen
    reply = seen.byte(asked.ends - 1, by_client=False) if asked and served else seen.server_end
    do = "served" if served else "accepted and not served" if listens else "refused"
    return Outcome(
        Verdict.WARN if served or not listens else Verdict.FAIL,
        f"{plural(len(left), 'process is', 'processes are')} left {seconds(stage.plan.grace)} "
        f"later ({', '.join(left)}), and a new client was {do}{at(reply)}",
        "after a crash of the master (or the OOM killer) its workers keep the port: the next start fails "
        "with "
        "EADDRINUSE, or old and new code serve side by side",
        "let workers end with their master (PR_SET_PDEATHSIG, a pipe); or have the supervisor kill the whole "
        "group (systemd: KillMode=control-group or mixed)",
        {"orphans": len(left), "orphans_serve": served},
        frames(reply),
    )


async def _kill_all(stage: Stage) -> Outcome:
    """The kernel closes for the dead: a control, which a server can hardly fail."""
    peers = [await stage.held()]
    if stage.known.keeps:
        peers.append(await stage.idle())
    killed = stage.kill(all_of_it=True)
    gone = await stage.target.gone(stage.plan.grace)
    for peer in peers:
        await peer.over(NOTICED)
    free = await until(lambda: not find_listener(stage.kernel, stage.address[1]), NOTICED)
    await stage.cut()
    ends = [peer.seen.server_end for peer in peers]
    marks = [end for end in ends if end is not None]
    measured = {"gone": gone, "port_free": free, "connections_ended": len(marks)}
    if not (gone and free) or len(marks) < len(peers):
        return Outcome(
            Verdict.FAIL,
            f"{len(marks)} of {len(peers)} connections ended, the port "
            f"{'free' if free else 'taken'}, still running: {', '.join(stage.target.names()) or 'nobody'}",
            measured=measured,
            frames=frames(*ends),
        )
    longest = max(between(killed, mark) for mark in marks)
    return Outcome(
        Verdict.PASS,
        f"{plural(len(marks), 'connection')} ended within {seconds(longest)}{at(*marks)}, port free",
        measured=measured,
        frames=frames(*marks),
    )


# ---- rebind


async def rebind(stage: Stage) -> Outcome:
    peer = await stage.held()
    stage.kill(all_of_it=True)
    await stage.target.gone(stage.plan.grace)
    await peer.over(NOTICED)
    peer.close()
    row = peer.kernel
    await until(lambda: (row := peer.kernel) is None or row.state is State.TIME_WAIT, NOTICED)
    row = peer.kernel
    waiting = row is not None and row.state is State.TIME_WAIT
    plain, reusing = _bind(stage.address, reuse=False), _bind(stage.address, reuse=True)
    measured: dict[str, object] = {"time_wait": waiting, "bind_plain": plain, "bind_reuseaddr": reusing}
    fin = (
        "a connection of the killed server is in TIME_WAIT"
        if waiting
        else "no connection was left in TIME_WAIT"
    )
    try:
        again = await stage.start()
        measured["start_seconds"] = round(again, 3)
    except TargetError as error:
        await stage.cut()
        return Outcome(
            Verdict.FAIL,
            f"{fin} (bind() without SO_REUSEADDR: {plain}, with it: {reusing}), and {error}",
            measured=measured,
            frames=frames(peer.seen.server_end),
        )
    served = True
    if stage.dialogue.request is not None:
        late = await stage.connect()
        served = await late.replied(await stage.asked(late, stage.dialogue.request), ANSWER_SECONDS)
    await stage.cut()
    if not waiting:
        return Outcome(Verdict.INCONCLUSIVE, f"{fin}: nothing was put to the test", measured=measured)
    if not served:
        return Outcome(
            Verdict.FAIL, f"{fin}; started again it listens, and did not answer", measured=measured
        )
    return Outcome(
        Verdict.PASS,
        f"listens again after {seconds(again)}, though {fin} (bind() without SO_REUSEADDR: {plain})",
        measured=measured,
        frames=frames(peer.seen.server_end),
    )


def _bind(address: tuple[str, int], *, reuse: bool) -> str:
    """What bind() says to a program that wants this port now."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            sock.bind(address)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))
    return "ok"


# ---- descriptor-leak


async def descriptor_leak(stage: Stage) -> Outcome:
    kinds = _kinds(stage)
    for use in kinds.values():  # what is opened once and kept is open from here on
        await use(await stage.connect())
    await asyncio.sleep(SETTLED)
    before = sofar = stage.descriptors()
    grown: dict[str, int] = {}
    for kind, use in kinds.items():
        peers = [await stage.connect() for _ in range(EACH)]
        await asyncio.gather(*(use(peer) for peer in peers))
        await until(lambda: _growth(sofar, stage.descriptors()) <= 0, SETTLED, every=LOOK)  # noqa: B023  awaited here
        now = stage.descriptors()
        grown[kind] = _growth(sofar, now)
        sofar = now
    under_way = stage.known.under_way
    at_work = 0.0 if under_way is None or under_way.request.rest else EACH * under_way.seconds
    await until(lambda: _growth(before, stage.descriptors()) <= 0, stage.plan.idle + at_work, every=LOOK)
    after = stage.descriptors()
    ended = bool(stage.targets) and stage.target.main_ended
    held = len(stage.kernel.dump(states={State.CLOSE_WAIT}, ports=(stage.address[1],)))
    await stage.cut()
    same = before.keys() & after.keys()
    had, has = (sum(counts[pid] for pid in same) for counts in (before, after))
    measured = {
        "connections_each": EACH,
        "before": had,
        "after": has,
        "processes_compared": len(same),
        "processes_started": len(after) - len(same),
        "processes_ended": len(before) - len(same),
        "close_wait": held,
        "grown": grown,
    }
    total = EACH * len(kinds)
    if ended:
        return Outcome(
            Verdict.FAIL,
            f"the server ended ({stage.target.exit_status}) while {total} connections came and went",
            measured=measured,
        )
    if not same:
        return Outcome(
            Verdict.INCONCLUSIVE,
            f"none of its processes lived through {total} connections: there is nothing to compare",
            measured=measured,
        )
    leaks = [f"{kind} ({count})" for kind, count in grown.items() if count >= EACH // 2]
    compared = f"{had} descriptors before, {has} after {total} connections"
    others = _others(len(same), len(after) - len(same), len(before) - len(same))
    if has - had >= EACH // 2:
        return Outcome(
            Verdict.FAIL,
            f"{compared} that are all over{others}; after clients that "
            f"{', '.join(leaks) or 'came and went'}; {held} in CLOSE_WAIT",
            measured=measured,
        )
    late = " (late)" if leaks else ""
    return Outcome(Verdict.PASS, f"{compared} of {len(kinds)} kinds{late}{others}", measured=measured)


def _growth(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """How many descriptors more there are in the processes that are in both."""
    return sum(after[pid] - before[pid] for pid in before.keys() & after.keys())


def _others(same: int, started: int, ended: int) -> str:
    """Which processes were compared, where it is not all of them: a new one's descriptors are no leak."""
    if not started and not ended:
        return ""
    news = [f"{count} {what} meanwhile" for count, what in ((started, "started"), (ended, "ended")) if count]
    return f", in {plural(same, 'process', 'processes')} ({' and '.join(news)}: not compared)"


def _kinds(stage: Stage) -> dict[str, Callable[[Peer], Awaitable[None]]]:
    """What clients do with a connection before it is over."""
    dialogue, under_way = stage.dialogue, stage.known.under_way

    async def served(peer: Peer) -> None:
        assert dialogue.request is not None
        await peer.replied(await stage.asked(peer, dialogue.request), ANSWER_SECONDS)

    async def say_nothing(peer: Peer) -> None:
        peer.close()

    async def ask_and_close(peer: Peer) -> None:
        await served(peer)
        peer.close()

    async def half_close(peer: Peer) -> None:
        await served(peer)
        peer.half_close()
        await peer.over(NOTICED)
        peer.close()

    async def be_told_to_close(peer: Peer) -> None:
        assert dialogue.last is not None
        await peer.ask(dialogue.last)
        await peer.over(NOTICED)
        peer.close()

    async def reset_at_once(peer: Peer) -> None:
        await until(lambda: (row := peer.kernel) is None or bool(row.inode), NOTICED)
        peer.reset()

    async def ask_and_reset(peer: Peer) -> None:
        await served(peer)
        peer.reset()

    async def reset_half_way(peer: Peer) -> None:
        assert dialogue.stalled is not None
        await peer.send(dialogue.stalled)
        await until(lambda: (row := peer.kernel) is None or (bool(row.inode) and not row.rqueue), NOTICED)
        peer.reset()

    async def reset_before_the_reply(peer: Peer) -> None:
        assert under_way is not None
        await stage.asked(peer, under_way.request)
        await until(lambda: (row := peer.kernel) is None or (bool(row.inode) and not row.rqueue), NOTICED)
        peer.reset()

    kinds: dict[str, Callable[[Peer], Awaitable[None]]] = {"say nothing": say_nothing}
    if dialogue.request is not None:
        kinds |= {"ask and close": ask_and_close, "half-close": half_close}
    if dialogue.last is not None:
        kinds["ask with Connection: close"] = be_told_to_close
    kinds["reset at once"] = reset_at_once
    if dialogue.request is not None:
        kinds["ask and reset"] = ask_and_reset
    if dialogue.stalled is not None:
        kinds["reset in the middle of a request"] = reset_half_way
    if under_way is not None:
        kinds["reset while the reply is due"] = reset_before_the_reply
    return kinds


CHECKS: Final = (
    Check(
        id="kill",
        question="Killed with SIGKILL, what stays behind?",
        does="SIGKILL for the main process alone, and in another run for all",
        measures="processes left, whether they listen and serve; how connections end; whether the port is "
        "free",
        passes="the others leave too, within the grace; all killed: connections ended, port free",
        warns="workers go on listening and serving without their master",
        fails="workers go on listening and serve nobody",
        informs="",
        source="RFC 9293, 3.10.4 (the kernel closes for a dead process); systemd.kill(5), KillMode=",
        hurts="orphaned workers hold the port and accept connections that nobody serves",
        change="let workers end with their master",
        perform=kill,
        needs=(Need.OWN,),
        waits=lambda plan, survey: 1.0 if survey.processes < 2 else plan.grace / 2,
        cases=("master alone", "all"),
    ),
    Check(
        id="rebind",
        question="Can the server be started again at once, while old connections are in TIME_WAIT?",
        does="SIGKILL with a connection open, so that the server's end is the one in TIME_WAIT; then a new "
        "start",
        measures="the kernel's TIME_WAIT; bind() with and without SO_REUSEADDR; whether the server comes up",
        passes="it listens and serves",
        warns="",
        fails="it does not come up: EADDRINUSE for 60 s",
        informs="",
        source="RFC 9293, 3.6.1 (2 MSL); socket(7): SO_REUSEADDR",
        hurts="after a crash the service is down for a minute, restart after restart",
        change="setsockopt(SO_REUSEADDR) before bind()",
        perform=rebind,
        needs=(Need.OWN,),
        waits=lambda plan, survey: 1.0 + survey.start_seconds,
    ),
    Check(
        id="descriptor-leak",
        question="Are all descriptors closed again, however the client leaves?",
        does=f"{EACH} connections of each kind: silent, served, half-closed, reset at every stage",
        measures="the descriptors of each of the server's processes before and after, and after each kind; "
        "processes that started or ended meanwhile are told of and not compared",
        passes="as many as before, at the latest when its idle timeouts have fired and what it was asked is "
        "done, one request after the other",
        warns="",
        fails=f"{EACH // 2} or more are left: some kind of connection leaks",
        informs="",
        source="close(2); after a reset the socket leaves the kernel's tables, the descriptor does not",
        hurts="in the end accept() fails with EMFILE and nobody is served, hours after the cause",
        change="close() in a finally, on every path: end of file, error, reset, timeout",
        perform=descriptor_leak,
        needs=(Need.LOCAL,),
        waits=lambda plan, survey: 4.0 + (survey.under_way.seconds if survey.under_way else 0.0),
    ),
)
